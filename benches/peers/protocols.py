"""TLS and HTTP/2 from the client, by h2load; WebSocket messages."""

import re
import subprocess

import tokens
from cpu import Job, measure
from harness import Authority, free_port
from measure import Failed, cpu_ns, serving, summary
from peer import LOAD_CORE, pinned
from peers import Nginx, Slidecar

REQUESTS = 8000
# h2load does not come back after a connection that ends by count, so that none ends.
ENDLESS = 1_000_000


def tls(enter, directory, files, rounds, say):
    backend = f"127.0.0.1:{free_port()}"
    pair = enter(Authority()).issue("localhost")
    settings = {"SLIDECAR_TLS_CERT_FILE": str(pair.cert), "SLIDECAR_TLS_KEY_FILE": str(pair.key), "SLIDECAR_MAX_REQUESTS": str(ENDLESS)}
    running = {
        "nginx": enter(Nginx(directory, "nginx-tls", backend, tls=pair, requests=ENDLESS)),
        "slidecar": enter(Slidecar(directory, "slidecar-tls", backend, session=True, settings=settings)),
    }
    protocols = {"TLS, HTTP/1.1": ("--h1", "-c64"), "TLS, HTTP/2": ("-c16", "-m8")}
    found = {}
    with serving(backend):
        for number in range(rounds):
            say(f"TLS, round {number + 1} of {rounds}")
            for protocol, flags in protocols.items():
                for name, peer in running.items() if number % 2 == 0 else reversed(running.items()):
                    found.setdefault(protocol, {}).setdefault(name, []).append(h2load(f"{name}, {protocol}", peer, flags, files.one))
    return {protocol: {name: summary(runs) for name, runs in by_name.items()} for protocol, by_name in found.items()}


def h2load(what, peer, flags, token):
    peer.forget_log()
    fields = [line.split(": ", 1) for line in tokens.request().replace(tokens.TOKEN, token).split("\r\n")[2:] if line]
    command = ["h2load", "-t1", f"-n{REQUESTS}", *flags, *(f"-H{name.lower()}: {value}" for name, value in fields),
               f"https://localhost:{peer.port}/api/orders?page=2"]
    before = cpu_ns(peer.pids())
    child = pinned(command, LOAD_CORE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = child.communicate(timeout=60)[0]
    finally:
        child.kill()
        child.wait()
    used = (cpu_ns(peer.pids()) - before) / 1000
    right = re.search(r"status codes: (\d+) 2xx", said)
    done = re.search(r"finished in ([\d.]+)(m?s), ([\d.]+) req/s", said)
    if not right or not done or int(right[1]) != REQUESTS:
        raise Failed(f"{what}: {said[-800:]}")
    seconds = float(done[1]) / (1000 if done[2] == "ms" else 1)
    return {"cpu_us": used / REQUESTS, "requests_per_second": float(done[3]), "busy": used / 1e6 / seconds}


def websocket(enter, directory, files, rounds, say):
    backend = f"127.0.0.1:{free_port()}"
    spec = {"head": tokens.websocket_request(), "tokens": files.some[64], "websocket": True, "body": 100}
    found = [
        Job("nginx", enter(Nginx(directory, "nginx-websocket", backend, websocket=True)), dict(spec)),
        Job("slidecar", enter(Slidecar(directory, "slidecar-websocket", backend, session=True)), dict(spec)),
    ]
    return measure(found, rounds, lambda text: say(f"WebSocket: {text}"))
