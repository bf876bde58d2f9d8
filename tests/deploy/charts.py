"""The charts, rendered by Helm itself: what they make is judged like any manifest, what they must refuse they refuse."""

import re
import shutil

import helm_python as helm
import yaml

from house import ROOT, check, command, fail
from kustomize import SECRETS, accepted
from manifests import CLOCKS, Rendering, check_around, check_ports, check_sidecar, check_slidecar, documents, validate

# Where copies of the charts lie while they are judged: Helm says a line for each symbolic link that it follows, and here there
# are none. Whoever clones the repository has them.
CHARTS = None
GOOD = {
    "settings": {"SLIDECAR_UPSTREAM": "http://legacy:80"},
    "secrets": {"JWT_SECRET": {"name": "legacy", "key": "JWT_SECRET"}},
}


def values(settings=None, secrets=None, **more):
    """Those of GOOD, with some others; None takes one out."""
    merged = {}
    for name, added in (("settings", settings), ("secrets", secrets)):
        both = {**GOOD[name], **(added or {})}
        merged[name] = {key: value for key, value in both.items() if value is not None}
    return {"slidecar": {**merged, **more}}


# What must be refused, and a word that the refusal has to say.
BAD = (
    (values({"JWT_EXPIRES_INN": "2h"}), "JWT_EXPIRES_INN"),
    (values({"JWT_EXPIRES_IN": "2 hours"}), "JWT_EXPIRES_IN"),
    (values({"SESSION_CLIENT": "on"}), "SESSION_CLIENT"),
    (values({"JWT_ALGORITHM": "none"}), "JWT_ALGORITHM"),
    (values({"SLIDECAR_MAX_HEAD": 10}), "SLIDECAR_MAX_HEAD"),
    (values({"SESSION_PROTECTED_PATHS": "app"}), "SESSION_PROTECTED_PATHS"),
    # No secret in plain sight, neither by itself nor in an address.
    (values({"JWT_SECRET": "in plain sight"}), "JWT_SECRET"),
    (values({"SESSION_STORE": "redis://:password@redis"}), "SESSION_STORE"),
    (values(secrets={"JWT_SECRET": "in plain sight"}), "JWT_SECRET"),
    (values(secrets={"JWT_SECRET": {"name": "legacy", "key": "a", "value": "in plain sight"}}), "JWT_SECRET"),
    (values(secrets={"SESSION_COOKIE_NAME": {"name": "legacy", "key": "a"}}), "SESSION_COOKIE_NAME"),
    # What a schema cannot say.
    (values({"SLIDECAR_UPSTREAM": None}), "SLIDECAR_UPSTREAM"),
    (values(secrets={"JWT_SECRET": None}), "JWT_SECRET"),
    (values({"JWT_EXPIRES_IN": "2h"}, policyConfigMap="policy"), "two clocks"),
    (values({"SESSION_STORE": "memory"}, {"SESSION_STORE": {"name": "a", "key": "b"}}), "SESSION_STORE"),
    (values({"SESSION_POLICY_DIR": "/policy"}), "SESSION_POLICY_DIR"),
    (values(image={"repo": "slidecar"}), "repo"),
    ({**values(), "replica": 3}, "replica"),
    ({**values(), "service": {"port": "http"}}, "port"),
)


def render(chart, given=None):
    with helm.Chart.load(CHARTS / chart) as loaded:
        loaded.validate_schema(given or {})
        rendered = loaded.render(values=given, name="front")
    return Rendering([found for name, text in rendered.items() if name.endswith(".yaml") for found in documents(text)])


def check_lint(chart, given=None):
    for version in ("v1.29.0", "v1.37.0"):
        report = helm.lint(CHARTS / chart, values=given, strict=True, kube_version=version)
        # 1 is advice, such as an icon.
        problems = [message["error"] for message in report["messages"] if message["severity"] > 1] + report["errors"]
        check(not problems, f"helm lint {chart}, Kubernetes {version}: {problems}")


def defaults():
    """Every setting that has a default, set to it: what the code takes by itself, the schema must not refuse."""
    found = dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.+)$", (ROOT / "config/slidecar.env").read_text(), re.M))
    check(len(found) > 30, "config/slidecar.env does not list the defaults as it did")
    return found


def run(work):
    global CHARTS
    CHARTS = shutil.copytree(ROOT / "deploy/helm", work / "charts")
    for script in ("deploy/helm/schema", "deploy/prometheus/operator", "deploy/grafana/build"):
        command(ROOT / script, "--check")
    for chart, given in (("slidecar", None), ("slidecar-front", values()), ("example", None)):
        check_lint(chart, given)

    beside = render("example")
    judge(beside)
    check_sidecar(beside)
    accepted("chart-example", beside, SECRETS, work)
    same_as_component(beside.slidecar, sidecar=True)

    numbers = {"SLIDECAR_WORKERS": 2, "SLIDECAR_MAX_CONNECTIONS": 1000000, "SESSION_REFRESH_THRESHOLD": 3600}
    everything = values(defaults() | numbers)
    everything |= {"podMonitor": {"enabled": True}, "networkPolicy": {"enabled": True, "monitoringNamespace": "observability"}}
    front = render("slidecar-front", everything)
    judge(front)
    same_as_component(front.slidecar, sidecar=False)
    environment = front.environment(front.slidecar, SECRETS)
    check(environment["SLIDECAR_MAX_CONNECTIONS"] == "1000000", f"a number became {environment['SLIDECAR_MAX_CONNECTIONS']}")
    kinds = sorted(manifest["kind"] for manifest in front.all)
    check(kinds == ["Deployment", "NetworkPolicy", "PodMonitor", "Service"], f"the front chart makes {kinds}")
    accepted("chart-front", front, SECRETS, work)

    secrets = {
        "SESSION_STORE": {"name": "redis", "key": "url"},
        # No key is being rotated: neither is there, and the pod starts all the same.
        "JWT_PREVIOUS_SECRET": {"name": "legacy", "key": "none"},
        "JWT_PREVIOUS_UNTIL": {"name": "none", "key": "none"},
    }
    hot = render("slidecar-front", values(None, secrets, policyConfigMap="policy"))
    hot.all.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "policy"}, "data": {"JWT_EXPIRES_IN": "30m"}})
    judge(hot)
    check(not CLOCKS & set(hot.environment(hot.slidecar, SECRETS)), "a clock stands in the environment, where it never changes")
    text = accepted("chart-hot", hot, SECRETS | {"redis": {"url": "redis://:password@redis:6379/0"}}, work)
    check("30m" in text and "password" not in text, f"slidecar check does not find the mounted policy, or shows a password:\n{text}")

    for given, word in BAD:
        refused(given, word)
    return f"3 charts hold, {len(BAD)} bad values are refused"


def judge(rendering):
    validate(rendering.all)
    check_ports(rendering)
    check_slidecar(rendering)
    check_around(rendering)


def same_as_component(container, sidecar):
    """Chart and component run the same container; they differ in where its settings come from."""
    component = yaml.safe_load((ROOT / "deploy/kubernetes/sidecar/sidecar.yaml").read_text())
    component = component["spec"]["template"]["spec"]["initContainers"][0]
    own = {"env", "envFrom", "imagePullPolicy"} | (set() if sidecar else {"restartPolicy"})
    one, other = ({key: value for key, value in found.items() if key not in own} for found in (container, component))
    other["volumeMounts"] = [mount for mount in other["volumeMounts"] if mount in one["volumeMounts"]]
    check(one == other, f"chart and component differ:\n{one}\n{other}")


def refused(given, word):
    try:
        render("slidecar-front", given)
    except (helm.HelmValuesError, helm.HelmRenderError) as error:
        check(word in str(error), f"{given} is refused, but not because of {word}: {error}")
        return
    fail(f"the chart takes {given}")
