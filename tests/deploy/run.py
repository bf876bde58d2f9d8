"""Judges everything under deploy/ that Kubernetes, Helm, Prometheus and Grafana read. Called by tests/deploy/run."""

import pathlib
import sys
import tempfile
import time

import alerts
import charts
import dashboard
import kustomize
import metrics
import probes
from house import Wrong, say

STEPS = {"kustomize": kustomize, "charts": charts, "alerts": alerts, "dashboard": dashboard, "metrics": metrics, "probes": probes}


def main():
    chosen = sys.argv[1:] or list(STEPS)
    unknown = [name for name in chosen if name not in STEPS]
    if unknown:
        sys.exit(f"tests/deploy/run: there is no step {', '.join(unknown)}; there are {', '.join(STEPS)}")
    failed = []
    for name in chosen:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as work:
            try:
                say(f"{name}: {STEPS[name].run(pathlib.Path(work))} ({time.monotonic() - began:.1f}s)")
            except Wrong as wrong:
                failed.append(name)
                say(f"{name}: FAILED\n{wrong}")
    if failed:
        sys.exit(f"tests/deploy/run: failed: {', '.join(failed)}")


main()
