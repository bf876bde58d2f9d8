"""What the manifests let a kubelet and Prometheus ask, asked of a running slidecar."""

import http.server
import threading

from house import check
from kustomize import EXAMPLE, render
from metrics import get, running


class Backend(http.server.BaseHTTPRequestHandler):
    """Well at /healthz, and not at /sick."""

    def do_GET(self):
        self.send_response({"/healthz": 204, "/sick": 503}.get(self.path, 404))
        self.end_headers()

    def log_message(self, *_):
        pass


def run(work):
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    serving = threading.Thread(target=backend.serve_forever, daemon=True)
    serving.start()
    sealed, loopback = render(EXAMPLE / "sealed"), render(EXAMPLE / "loopback")
    probes = [sealed.slidecar[kind]["httpGet"]["path"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")]
    numbers = [endpoint["path"] for endpoint in sealed.one("PodMonitor")["spec"]["podMetricsEndpoints"]]
    relayed = loopback.pod["containers"][0]["readinessProbe"]["httpGet"]["path"]
    # Nothing listens at port 1. The application starts only after slidecar has said yes, so slidecar cannot wait for it.
    with running(1) as (_, admin):
        for path in probes + numbers:
            check(get(admin, path)[0] == 200, f"without a backend, GET {path} on the admin port is answered with {get(admin, path)[0]}")
    with running(backend.server_address[1]) as (_, admin):
        for path, wanted in ((relayed, 204), (relayed.replace("/healthz", "/sick"), 503)):
            status, body = get(admin, path)
            check(status == wanted, f"GET {path} on the admin port is answered with {status}, not with the backend's {wanted}: {body}")
    backend.shutdown()
    return f"{len(probes + numbers)} paths are answered, the application's own probe is handed on"
