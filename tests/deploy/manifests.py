"""What the API server and the kubelet would make of manifests: schemas strictly, and what no schema sees."""

import functools
import json

import yaml
from kubernetes_validate import utils

from house import VERSIONS, check, fail, settings

# They come with the Prometheus operator, not with Kubernetes; what they point to is checked below.
WITHOUT_SCHEMA = {"PodMonitor", "PrometheusRule"}
# Each is some megabytes, and every manifest of a version asks for the same ones.
utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)
PORT, ADMIN = 8080, 9180
CLOCKS = {
    "JWT_EXPIRES_IN",
    "JWT_DEMO_EXPIRES_IN",
    "SESSION_REFRESH_THRESHOLD",
    "SESSION_HEARTBEAT_INTERVAL",
    "SESSION_TIMEOUT_BUFFER",
    "SESSION_ABSOLUTE_TIMEOUT",
}
# What must never stand in plain sight. PEM certificates and public keys are no secrets.
SECRETS = {"JWT_SECRET", "JWT_PRIVATE_KEY", "JWT_PREVIOUS_SECRET", "SLIDECAR_ADMIN_TOKEN", "SLIDECAR_TLS_KEY"}


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


@functools.lru_cache(maxsize=None)
def _validate(manifest, version):
    try:
        utils.validate(json.loads(manifest), version, strict=True)
    except utils.ValidationError as error:
        place = "/".join(map(str, error.absolute_path))
        return f"Kubernetes {version} refuses {place}: {error.message}"
    except utils.SchemaNotFoundError as error:
        return error.message
    return None


def validate(manifests, versions=VERSIONS):
    for manifest in manifests:
        if manifest["kind"] in WITHOUT_SCHEMA:
            continue
        for version in versions:
            problem = _validate(json.dumps(manifest, sort_keys=True), version)
            if problem:
                fail(f"{manifest['kind']} {manifest['metadata']['name']}: {problem}")


class Rendering:
    """The manifests of one application, rendered."""

    def __init__(self, manifests):
        self.all = manifests

    def of(self, kind):
        return [manifest for manifest in self.all if manifest["kind"] == kind]

    def one(self, kind):
        found = self.of(kind)
        check(len(found) == 1, f"{len(found)} of kind {kind}, not one")
        return found[0]

    def config_map(self, name):
        for found in self.of("ConfigMap"):
            if found["metadata"]["name"] == name:
                return found["data"]
        return fail(f"there is no ConfigMap {name}")

    @property
    def template(self):
        return self.one("Deployment")["spec"]["template"]

    @property
    def pod(self):
        return self.template["spec"]

    @property
    def slidecar(self):
        everything = self.pod.get("initContainers", []) + self.pod["containers"]
        found = [container for container in everything if container["name"] == "slidecar"]
        check(len(found) == 1, f"{len(found)} containers are called slidecar, not one")
        return found[0]

    def environment(self, container, secrets):
        """As the kubelet makes it: envFrom in its order, a later one over an earlier, then env over all of them."""
        environment = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                environment |= self.config_map(source["configMapRef"]["name"])
            else:
                environment |= secrets[source["secretRef"]["name"]]
        for variable in container.get("env", []):
            if "value" in variable:
                environment[variable["name"]] = variable["value"]
            else:
                reference = variable["valueFrom"]["configMapKeyRef"]
                data = self.config_map(reference["name"])
                check(reference["key"] in data, f"ConfigMap {reference['name']} has no {reference['key']}")
                environment[variable["name"]] = data[reference["key"]]
        return environment

    def files(self, container, secrets):
        """What the container finds in its mounts: path → text."""
        volumes, files = {volume["name"]: volume for volume in self.pod.get("volumes", [])}, {}
        for mount in container.get("volumeMounts", []):
            volume = volumes.get(mount["name"]) or fail(f"{container['name']} mounts {mount['name']}, and the pod has no such volume")
            for name, text in self._content(volume, secrets).items():
                files[f"{mount['mountPath']}/{name}"] = text
        return files

    def _content(self, volume, secrets):
        if "configMap" in volume:
            return self.config_map(volume["configMap"]["name"])
        if "projected" in volume:
            sources = [source["secret"] for source in volume["projected"]["sources"]]
            parts = [self._keys(secrets.get(source["name"]), source) for source in sources]
            return functools.reduce(dict.__or__, parts, {})
        return self._keys(secrets.get(volume["secret"]["secretName"]), volume["secret"])

    @staticmethod
    def _keys(secret, source):
        optional = source.get("optional", False)
        check(secret is not None or optional, f"there is no Secret of the name in {source}")
        items = source.get("items") or [{"key": key, "path": key} for key in secret or {}]
        content = {item["path"]: (secret or {}).get(item["key"]) for item in items}
        missing = [path for path, text in content.items() if text is None]
        check(not missing or optional, f"the Secret has no {missing}, so the pod would never start")
        return {path: text for path, text in content.items() if text is not None}


def check_ports(rendering):
    """Every probe asks a port that is there, by a name that it can know; the Service leads to slidecar."""
    pod = rendering.pod
    containers = pod.get("initContainers", []) + pod["containers"]
    numbers = {port["containerPort"] for container in containers for port in container.get("ports", [])}
    for container in containers:
        names = {port["name"] for port in container.get("ports", []) if "name" in port}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container.get(kind, {}).get("httpGet", {}).get("port")
            if isinstance(port, str):
                check(port in names, f"{kind} of {container['name']} asks port {port}, of which that container has none")
            elif port is not None:
                check(port in numbers, f"{kind} of {container['name']} asks port {port}, and nothing in the pod says that it listens there")
    ports = {port["name"]: port["containerPort"] for port in rendering.slidecar["ports"]}
    check(ports == {"slidecar": PORT, "admin": ADMIN}, f"the ports of slidecar are {ports}")
    for service in rendering.of("Service"):
        target = service["spec"]["ports"][0].get("targetPort")
        # A name would lead nowhere before Kubernetes 1.32, where it is that of a sidecar.
        check(target == PORT, f"Service {service['metadata']['name']} leads to {target!r}, not to the number {PORT}")
        labels = rendering.template["metadata"]["labels"]
        check(service["spec"]["selector"].items() <= labels.items(), "the Service does not select the pods")


def check_slidecar(rendering):
    """What holds wherever slidecar runs."""
    container = rendering.slidecar
    for kind, path in (("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        check(container[kind]["httpGet"] == {"path": path, "port": "admin"}, f"{kind} of slidecar asks {container[kind]['httpGet']}")
    context = container["securityContext"]
    wanted = {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    check(context == wanted, f"the security context of slidecar is {context}")
    check("securityContext" not in rendering.pod, "a security context of the pod would bind the application too")
    names = [variable["name"] for variable in container.get("env", [])]
    check(len(names) == len(set(names)), f"a variable stands twice: {names}")
    mounts = container["volumeMounts"]
    check(all("subPath" not in mount for mount in mounts), "a file that is mounted with subPath never changes")
    check(all(mount.get("readOnly") for mount in mounts), "a mount of slidecar can be written to")
    plain = {variable["name"] for variable in container.get("env", [])}
    for source in container.get("envFrom", []):
        check("configMapRef" in source, "a Secret as variables shows in /proc and in crash dumps; it has to be mounted")
        plain |= set(rendering.config_map(source["configMapRef"]["name"]))
    unknown = plain - settings()
    check(not unknown, f"slidecar has no settings {sorted(unknown)}")
    check(not plain & SECRETS, f"secrets in plain sight: {sorted(plain & SECRETS)}")
    for config_map in rendering.of("ConfigMap"):
        check(not set(config_map["data"]) & SECRETS, f"secrets in ConfigMap {config_map['metadata']['name']}")
    for variable in container.get("env", []):
        if variable["name"].endswith("_FILE"):
            folder = variable["value"].rpartition("/")[0]
            check(folder in {mount["mountPath"] for mount in mounts}, f"{variable['name']} lies in {folder}, which is not mounted")


def check_sidecar(rendering):
    """What holds beside an application."""
    pod, container = rendering.pod, rendering.slidecar
    check(container in pod["initContainers"], "slidecar is an ordinary container: it starts with the application, and ends with it")
    check(container.get("restartPolicy") == "Always", "without restartPolicy Always it is a plain init container, and the application waits for ever")
    check(rendering.template["metadata"]["labels"].get("slidecar") == "on", "the pods lack the label by which policy and monitor find them")
    check("slidecar" not in rendering.one("Deployment")["spec"]["selector"]["matchLabels"], "a selector cannot be changed after the fact")
    sleep = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds")
    check(isinstance(sleep, int) and sleep >= 5, f"the application stops at once (preStop sleeps {sleep!r}) while requests still come")
    check("lifecycle" not in container, "a preStop of slidecar delays nothing: the application gets its signal at the same moment")
    grace = pod["terminationGracePeriodSeconds"]
    check(grace >= sleep + 30 + 25, f"{grace} s are too short for {sleep} s of waiting, 30 of the application and 25 of slidecar")


def check_around(rendering):
    """What else points to the pods does."""
    labels = rendering.template["metadata"]["labels"]
    for policy in rendering.of("NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"]
        check(selector.items() <= labels.items(), f"the NetworkPolicy is for {selector}, the pods are {labels}")
        check(policy["spec"]["policyTypes"] == ["Ingress"], "the NetworkPolicy is about more than who comes in")
        for rule in policy["spec"]["ingress"]:
            ports = [port["port"] for port in rule["ports"]]
            allowed = [PORT] if "from" not in rule else [ADMIN]
            check(ports == allowed, f"the NetworkPolicy lets {rule.get('from', 'everybody')} reach {ports}, not {allowed}")
    for monitor in rendering.of("PodMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        check(selector.items() <= labels.items(), f"the PodMonitor is for {selector}, the pods are {labels}")
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            names = {port["name"] for port in rendering.slidecar["ports"]}
            check(endpoint == {"port": "admin", "path": "/metrics"} and "admin" in names, f"the PodMonitor reads {endpoint}")
