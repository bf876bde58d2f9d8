"""The component and its variants: rendered, judged as a cluster would, and their settings given to slidecar itself."""

import difflib
import shutil
import subprocess

import yaml

from house import HERE, ROOT, check, command, slidecar
from manifests import CLOCKS, Rendering, check_around, check_ports, check_sidecar, check_slidecar, documents, validate

KUBERNETES = ROOT / "deploy/kubernetes"
EXAMPLE = KUBERNETES / "example"
MOST_LINES = 10
# What is sealed in the Secret of the example: a key, and a clock that has no business there.
SECRETS = {"legacy": {"JWT_SECRET": "a key for tests, of more than 32 bytes, and no other", "JWT_EXPIRES_IN": "7d", "DATABASE_URL": "postgres://u:p@db/app"}}


def kubectl():
    return HERE / ".venv/bin/kubectl"


def render(folder):
    return Rendering(documents(command(kubectl(), "kustomize", folder)))


def difference(before, after):
    """Lines that were added (+) or removed (-) between two folders of the user's own files, after the name of each file."""
    lines = []
    for name in sorted({path.name for folder in (before, after) for path in folder.iterdir()}):
        old, new = ((folder / name).read_text().splitlines() if (folder / name).exists() else [] for folder in (before, after))
        changed = [line for line in difflib.unified_diff(old, new, lineterm="", n=0) if line[:3] not in ("+++", "---", "@@ ")]
        lines += [f" {name}", *changed] if changed else []
    return lines


def judge(rendering):
    validate(rendering.all)
    check_ports(rendering)
    check_slidecar(rendering)
    check_sidecar(rendering)
    check_around(rendering)


def ask_slidecar(rendering, secrets, work):
    """Runs `slidecar check` in the environment and with the files that a kubelet would give it."""
    container = rendering.slidecar
    files = rendering.files(container, secrets)
    for path, text in files.items():
        place = work / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    folders = {mount["mountPath"]: str(work) + mount["mountPath"] for mount in container["volumeMounts"]}
    environment = {}
    for name, value in rendering.environment(container, secrets).items():
        for folder, real in folders.items():
            if value == folder or value.startswith(folder + "/"):
                value = real + value.removeprefix(folder)
        environment[name] = value
    # What Kubernetes adds by itself for a Service called slidecar.
    environment["SLIDECAR_SERVICE_HOST"] = "10.0.0.1"
    done = subprocess.run([slidecar(), "check"], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def accepted(name, rendering, secrets, work):
    code, text = ask_slidecar(rendering, secrets, work / name)
    check(code == 0, f"{name}: slidecar check refuses what the manifests set:\n{text}")
    check("is no setting" not in text, f"{name}: slidecar check does not know a setting:\n{text}")
    return text


def the_judge_judges(rendering):
    """A slip of the pen, and a field that came with 1.29, are seen."""
    for version, spoil in (
        ("1.37", lambda pod: pod["initContainers"][0].update(restartPolicie="Always")),
        ("1.28", lambda pod: None),
    ):
        manifest = yaml.safe_load(yaml.safe_dump(rendering.one("Deployment")))
        spoil(manifest["spec"]["template"]["spec"])
        try:
            validate([manifest], [version])
        except Exception:
            continue
        check(False, f"the schemas of Kubernetes {version} let a wrong manifest through, so their silence means nothing")


def run(work):
    after = render(EXAMPLE / "after")
    adoption = difference(EXAMPLE / "before", EXAMPLE / "after")
    lines = sum(line[0] in "+-" for line in adoption)
    check(0 < lines <= MOST_LINES, f"from example/before to example/after {lines} lines change; at most {MOST_LINES} are promised")
    shown = (ROOT / "deploy/README.md").read_text().partition("```diff\n")[2].partition("```")[0].splitlines()
    check(shown == adoption, "deploy/README.md shows other lines than example/before and example/after differ by:\n" + "\n".join(adoption))
    validate(render(EXAMPLE / "before").all)
    the_judge_judges(after)

    examples = {path.name: render(path) for path in sorted(EXAMPLE.iterdir()) if path.name not in ("before", "untouched")}
    written = yaml.safe_load((KUBERNETES / "sidecar/sidecar.yaml").read_text())["spec"]["template"]["spec"]["initContainers"][0]
    for name, rendering in examples.items():
        try:
            judge(rendering)
        except Exception as error:
            raise type(error)(f"example/{name}: {error}") from error
        accepted(name, rendering, SECRETS, work)
        # Variants add to the container and change nothing of it.
        rest = {key: value for key, value in rendering.slidecar.items() if key not in ("env", "envFrom", "volumeMounts", "image")}
        check(rest == {key: written[key] for key in rest}, f"example/{name} changes the container beyond what it adds")

    # The sealed value wins where nothing is done about it, and loses to `env`.
    app = after.pod["containers"][0]
    check(after.environment(app, SECRETS)["JWT_EXPIRES_IN"] == "7d", "envFrom does not reach the application")
    sealed = examples["sealed"]
    both = [sealed.environment(container, SECRETS)["JWT_EXPIRES_IN"] for container in (sealed.pod["containers"][0], sealed.slidecar)]
    check(both == ["2h", "2h"], f"the application and slidecar follow {both}, not one clock of 2h")
    check(sealed.slidecar["image"] == "registry.example.com/slidecar:0.1.0", "images: does not name the registry")
    check({manifest["kind"] for manifest in sealed.all} >= {"NetworkPolicy", "PodMonitor"}, "example/sealed lacks a variant")

    hot = examples["hot-reload"]
    names = {manifest["metadata"]["name"] for manifest in hot.of("ConfigMap")}
    check("slidecar-policy" in names, f"the policy's ConfigMap has a name that changes with its content: {names}")
    check(not CLOCKS & set(hot.environment(hot.slidecar, SECRETS)), "a clock stands in the environment, where it never changes")
    check("SESSION_POLICY_DIR" in hot.environment(hot.slidecar, SECRETS), "nothing says where the clocks are mounted")
    hot.config_map(hot.slidecar["envFrom"][0]["configMapRef"]["name"])["JWT_EXPIRES_IN"] = "7d"
    code, text = ask_slidecar(hot, SECRETS, work / "two-clocks")
    check(code == 64 and "JWT_EXPIRES_IN" in text and "two clocks" in text, f"two clocks are let in, with exit code {code}:\n{text}")

    probe = examples["loopback"].pod["containers"][0]["readinessProbe"]["httpGet"]
    check(probe == {"path": "/probe/upstream?path=/healthz", "port": 9180}, f"the application on 127.0.0.1 is asked at {probe}")

    several(work / "several")
    private_key(work / "private-key")
    alerts = documents(command(kubectl(), "kustomize", KUBERNETES / "alerts"))
    check([manifest["kind"] for manifest in alerts] == ["PrometheusRule"], "the alerts for the operator are not one PrometheusRule")
    return f"{len(examples)} examples hold, adopted by {lines} lines"


def overlay(work, components, more, base="../example/before"):
    """An application of somebody else, in a copy, for kustomize reads no component from outside a relative path."""
    shutil.copytree(KUBERNETES, work / "kubernetes")
    folder = work / "kubernetes/overlay"
    folder.mkdir()
    listed = "".join(f"  - ../{component}\n" for component in components)
    (folder / "kustomization.yaml").write_text(f"resources:\n  - {base}\n  - more.yaml\ncomponents:\n{listed}{more}")
    return folder


def several(work):
    """A StatefulSet with an init container and a hook of its own, among others that have nothing to do with slidecar."""
    more = "configMapGenerator:\n  - name: slidecar\n    literals: [SLIDECAR_UPSTREAM=http://127.0.0.1:3000, JWT_EXPIRES_IN=2h]\n"
    folder = overlay(work, ["sidecar", "one-clock"], more)
    pod = {"initContainers": [{"name": "migrate", "image": "a"}], "containers": [{"name": "x", "image": "b"}, {"name": "y", "image": "c"}]}
    pod["containers"][0]["lifecycle"] = {"postStart": {"exec": {"command": ["true"]}}}
    mine = []
    for kind, name, labels in (("Deployment", "other", {"app": "other"}), ("StatefulSet", "own", {"slidecar": "on"})):
        spec = {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": pod}}
        if kind == "StatefulSet":
            spec["serviceName"] = name
        mine.append({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec})
        spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
        mine.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}, "spec": spec})
    (folder / "more.yaml").write_text(yaml.safe_dump_all(mine))
    rendered = render(folder).all
    validate(rendered)
    by_name = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in rendered}
    for manifest in mine[:2]:
        found = by_name[manifest["kind"], "other"]
        check(found == manifest, f'{manifest["kind"]} without the label slidecar: "on" was changed: {found}')
    own = by_name["StatefulSet", "own"]["spec"]["template"]["spec"]
    check([container["name"] for container in own["initContainers"]] == ["slidecar", "migrate"], "an init container was lost, or comes first")
    hooks = own["containers"][0]["lifecycle"]
    check(set(hooks) == {"postStart", "preStop"}, f"the application's own hook was lost: {hooks}")
    check([variable["name"] for variable in own["containers"][0]["env"]] == ["JWT_EXPIRES_IN"], "the application does not get the clock")
    check(set(own["containers"][1]) == {"name", "image"}, "more than the application was changed")
    check(by_name["Service", "own"]["spec"]["ports"] == [{"port": 80, "targetPort": 8080}], "a Service without targetPort was not led to slidecar")


def private_key(work):
    key = (ROOT / "tests/keys/rsa.pem").read_text()
    more = "configMapGenerator:\n  - name: slidecar\n    literals: [SLIDECAR_UPSTREAM=http://127.0.0.1:3000, JWT_ALGORITHM=RS256]\n"
    folder = overlay(work, ["sidecar", "private-key"], more, base="../example/untouched")
    (folder / "more.yaml").write_text("")
    mounted = work / "kubernetes/example/untouched/key.yaml"
    mounted.write_text(mounted.read_text().replace("JWT_SECRET", "JWT_PRIVATE_KEY"))
    rendering = render(folder)
    judge(rendering)
    accepted("private-key", rendering, {"legacy": {**SECRETS["legacy"], "JWT_PRIVATE_KEY": key}}, work)
