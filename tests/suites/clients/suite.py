"""Real clients in front of slidecar, and every kind of backend behind it."""

import contextlib
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import closing
import curls
import sockets
from harness import Authority, Process, Slidecar, Verdict


STREAMS = ["-c", "4", "-m", "100"]


class Backend(Process):
    """Ports by kind, and a path."""

    def __init__(self, authority):
        pair = authority.issue("backend")
        self.path = authority.dir / "backend.sock"
        super().__init__(["node", "backend.mjs", pair.cert, pair.key, self.path], cwd=HERE, name="backend")

    def __enter__(self):
        super().__enter__()
        end = time.monotonic() + 20
        while time.monotonic() < end and not self.output().endswith("\n"):
            time.sleep(0.05)
        ports = json.loads(self.output())
        self.upstreams = {
            "http": f"http://127.0.0.1:{ports['http']}",
            "unix": f"unix:{self.path}",
            "https": f"https://localhost:{ports['https']}",
            "https with h2": f"https://localhost:{ports['h2']}",
            "h2c": f"h2c://127.0.0.1:{ports['h2c']}",
        }
        return self


def node_clients(verdict, plain, secure, authority):
    command = ["node", "node_clients.mjs", str(plain.port), str(secure.port), str(authority.root)]
    ran = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=240)
    for line in ran.stdout.splitlines():
        word, _, rest = line.partition(" ")
        name, _, why = rest.partition(": ") if word == "fail" else (rest, "", "")
        verdict.check(f"node: {name}", word == "ok", why)
    verdict.check("node: came to its end", ran.returncode == 0, ran.stderr[-300:])


def load(verdict, name, *arguments):
    """Ten thousand requests, none of which may fail."""
    ran = subprocess.run(["h2load", "-n", "10000", *arguments], capture_output=True, text=True, timeout=120)

    def line(start):
        return next((line for line in ran.stdout.splitlines() if line.startswith(start)), "no result")

    requests, codes, rate = line("requests:"), line("status codes:"), line("finished in")
    good = "10000 succeeded, 0 failed, 0 errored, 0 timeout" in requests and codes.startswith("status codes: 10000 2xx")
    verdict.check(f"h2load: {name}", good, rate if good else f"{requests}; {codes}; {ran.stderr[-200:]}")


def main():
    verdict = Verdict("clients")
    with contextlib.ExitStack() as stack:
        authority = stack.enter_context(Authority())
        front = authority.issue("front")
        backend = stack.enter_context(Backend(authority))
        fronts = {}
        for kind, upstream in backend.upstreams.items():
            ca = {"SLIDECAR_UPSTREAM_CA_FILE": authority.root} if upstream.startswith("https") else {}
            plain = stack.enter_context(Slidecar(upstream, **ca))
            secure = stack.enter_context(Slidecar(upstream, tls=front, **ca))
            fronts[kind] = (plain, secure)
            curls.check(verdict, kind, plain, secure, authority)

        curls.check_untrusted(verdict, backend.upstreams["https"])

        node_clients(verdict, *fronts["http"], authority)

        for kind in ("http", "h2c"):
            plain, secure = fronts[kind]
            load(verdict, f"without TLS, backend {kind}", *STREAMS, f"http://127.0.0.1:{plain.port}/")
            load(verdict, f"with TLS, backend {kind}", *STREAMS, f"https://127.0.0.1:{secure.port}/")
        load(verdict, "with HTTP/1.1, backend http", "--h1", "-c", "20", f"http://127.0.0.1:{fronts['http'][0].port}/")

        closing.check(verdict, backend.upstreams["http"])
        sockets.check(verdict, authority, front)

        for kind, pair in fronts.items():
            well = all(proxy.is_alive() and not proxy.panics() for proxy in pair)
            verdict.check(f"slidecar is well, backend {kind}", well, ", ".join("%.0f MB" % proxy.memory()[1] for proxy in pair))
    verdict.end()


main()
