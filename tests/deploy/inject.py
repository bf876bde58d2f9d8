"""What `slidecar inject` prints: the component's own container, and manifests that every Kubernetes takes."""

import yaml

from house import ROOT, VERSIONS, check, command, slidecar
from kustomize import KUBERNETES, judge
from manifests import Rendering, documents, validate

BEFORE = KUBERNETES / "example/before"
GOLDEN = ROOT / "tests/it/inject"


def run(work):
    written = yaml.safe_load((KUBERNETES / "sidecar/sidecar.yaml").read_text())["spec"]["template"]["spec"]["initContainers"][0]
    template = yaml.safe_load((ROOT / "src/cli/inject/container.yaml").read_text())
    check(template == {key: value for key, value in written.items() if key != "envFrom"},
          "src/cli/inject/container.yaml and deploy/kubernetes/sidecar/sidecar.yaml describe different containers")

    manifests = "---\n".join((BEFORE / name).read_text() for name in ("deployment.yaml", "service.yaml"))
    injected = Rendering(documents(command(slidecar(), "inject", "--secret", "legacy", input=manifests)))
    validate(injected.all)
    judge(injected)

    golden = sorted(GOLDEN.glob("*.out.*"))
    count = 0
    for path in golden:
        for document in documents(path.read_text(encoding="utf-8-sig")):
            items = document["items"] if document.get("kind") == "List" else [document]
            # What the API server knows by itself; the others are none of Kubernetes' own.
            own = [item for item in items if item.get("apiVersion") in ("v1", "apps/v1", "batch/v1")]
            validate(own, (VERSIONS[0], VERSIONS[-1]))
            count += len(own)
    check(count > 10, f"only {count} manifests in {GOLDEN}")
    return f"the example is injected as the component would, {count} manifests of other shapes are valid"
