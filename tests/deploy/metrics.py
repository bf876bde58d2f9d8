"""The numbers by name: what the alerts and the dashboard ask for, what deploy/prometheus/README.md describes, and what a running
slidecar tells are the same."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import http.server
import json
import re
import shutil
import socket
import subprocess
import threading
import time

from alerts import alerts
from dashboard import queries
from house import ROOT, check, fail, slidecar

README = ROOT / "deploy/prometheus/README.md"
KEY, OTHER = "a key for tests, of more than 32 bytes, and no other", "the other key of a rotation, for tests, long enough"
# Labels that Prometheus adds, and the one of every histogram.
ADDED = {"job", "namespace", "instance", "le"}
# Words in an expression that are no labels of a metric.
SELECTOR = re.compile(r"\b((?:slidecar|process)_[a-z_]+)\s*(?:\{([^}]*)\})?")


def described():
    """From the table of the README: name → (type, labels)."""
    rows = re.findall(r"^\| `((?:slidecar|process)_[a-z_]+)` \| (\w+) \| (.*?) \|", README.read_text(), re.M)
    check(len(rows) == len({name for name, _, _ in rows}), "deploy/prometheus/README.md describes a metric twice")
    return {name: (kind, set(re.findall(r"`([a-z]+)`", labels))) for name, kind, labels in rows}


def base(name, known):
    """A histogram is asked for by its parts."""
    for part in ("_bucket", "_sum", "_count"):
        if name not in known and name.endswith(part):
            return name.removesuffix(part)
    return name


def check_asked(where, expression, known):
    for name, selectors in SELECTOR.findall(expression):
        metric = base(name, known)
        check(metric in known, f"{where} asks for {name}, which deploy/prometheus/README.md does not describe")
        check(metric == name or known[metric][0] == "histogram", f"{where} asks for {name}, and {metric} is no histogram")
        labels = set(re.findall(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"', selectors)) - ADDED
        check(labels <= known[metric][1], f"{where} asks for labels {sorted(labels - known[metric][1])} of {name}")
    grouped = {word for words in re.findall(r"\bby \(([^)]*)\)", expression) for word in re.split(r"[,\s]+", words) if word}
    every = set().union(*(labels for _, labels in known.values())) | ADDED
    check(grouped <= every, f"{where} groups by {sorted(grouped - every)}, which no metric has")


def token(key, seconds, **claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    now = int(time.time())
    text = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({"sub": "ada", "iat": now, "exp": now + seconds, **claims})
    signature = hmac.new(key.encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"<!doctype html><html><head><title>legacy</title></head><body>hello</body></html>"
        self.send_response(200)
        if self.path == "/login":
            self.send_header("Set-Cookie", f"session={token(KEY, 7 * 86400)}; Path=/; HttpOnly; Max-Age=604800")
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def running(backend, **more):
    """A slidecar in front of the backend; gives its two ports."""
    environment = {
        "SLIDECAR_UPSTREAM": f"http://127.0.0.1:{backend}",
        "SLIDECAR_LISTEN": "127.0.0.1:0",
        "SLIDECAR_ADMIN_LISTEN": "127.0.0.1:0",
        "JWT_SECRET": KEY,
        "JWT_EXPIRES_IN": "1h",
        **more,
    }
    process = subprocess.Popen([slidecar()], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if '"event":"listening"' in line:
                about = json.loads(line)
                break
        else:
            fail("slidecar did not start:\n" + "".join(said))
        threading.Thread(target=process.stdout.read, daemon=True).start()
        about = {**about, **about.get("fields", {})}
        yield port(about, "address"), port(about, "admin")
    finally:
        # It has nothing to finish, and a graceful stop takes its five seconds.
        process.kill()
        process.wait()


@contextlib.contextmanager
def redis():
    """A store that keeps nothing on disk; gives its address."""
    check(shutil.which("redis-server"), "redis-server is not there (Debian: redis-server), so nobody can say what slidecar tells of a store")
    number = free_port()
    arguments = ["--bind", "127.0.0.1", "--port", str(number), "--save", "", "--maxmemory-policy", "noeviction"]
    process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{number}/0"
    finally:
        process.terminate()
        process.wait()


def free_port():
    with contextlib.closing(socket.socket()) as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def wait_for(holds, otherwise):
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError):
            if holds():
                return
        check(time.monotonic() < deadline, otherwise)
        time.sleep(0.05)


def port(about, word):
    check(word in about, f"the log line `listening` does not say {word}: {about}")
    return int(str(about[word]).rpartition(":")[2])


def get(to, path, cookie=None):
    connection = http.client.HTTPConnection("127.0.0.1", to, timeout=10)
    connection.request("GET", path, headers={"Cookie": f"session={cookie}"} if cookie else {})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


# Some numbers exist only during a rotation, or with pages to put the client into, or with a store that was heard.
ROTATING = {
    "JWT_PREVIOUS_SECRET": OTHER,
    "JWT_PREVIOUS_UNTIL": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200)),
    "SESSION_CLIENT": "inject",
    "SESSION_PROTECTED_PATHS": "/private",
}
A_LITTLE = (("/", None, 200), ("/login", None, 200), ("/work", token(KEY, 60), 200), ("/private", None, 401))


def told():
    """What slidecar tells after a little of everything: name → (type, labels); and what one tells that has seen no request."""
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    texts = []
    with redis() as store:
        for settings, requests in ((ROTATING, A_LITTLE), ({"SESSION_STORE": store}, ())):
            with running(backend.server_address[1], **settings) as (clients, admin):
                wait_for(lambda: get(admin, "/readyz")[0] == 200, "slidecar is not ready, whose store is there")
                for path, cookie, wanted in requests:
                    status, body = get(clients, path, cookie)
                    check(status == wanted, f"GET {path} is answered with {status}: {body}")
                status, text = get(admin, "/metrics")
                check(status == 200, f"/metrics is answered with {status}")
                texts.append(text)
    backend.shutdown()
    text = "\n".join(texts)
    kinds = dict(re.findall(r"^# TYPE ([a-z_]+) (\w+)$", text, re.M))
    labels = {name: set() for name in kinds}
    for name, found in re.findall(r"^([a-z_]+)(?:\{([^}]*)\})? ", text, re.M):
        labels[base(name, kinds)] |= set(re.findall(r'([a-z_]+)="', found)) - ADDED
    return {name: (kind, labels[name]) for name, kind in kinds.items()}, texts[-1]


def run(work):
    known = described()
    for name, rule in alerts().items():
        check_asked(f"the alert {name}", rule["expr"], known)
    for title, expression in queries():
        check_asked(f"the panel {title!r}", expression, known)

    exposed, fresh = told()
    own = {name: about for name, about in exposed.items() if name.startswith("slidecar_")}
    wanted = {name: about for name, about in known.items() if name.startswith("slidecar_")}
    missing, extra = sorted(set(wanted) - set(own)), sorted(set(own) - set(wanted))
    check(not missing, f"{slidecar()} does not tell {missing}, which deploy/prometheus/README.md describes")
    check(not extra, f"{slidecar()} tells {extra}, which deploy/prometheus/README.md does not describe")
    for name, about in known.items():
        check(exposed.get(name) == about, f"{name} is {exposed.get(name)} for slidecar, and {about} in deploy/prometheus/README.md")
    for event in set(re.findall(r'event="([a-z_]+)"', json.dumps([rule["expr"] for rule in alerts().values()]).replace("\\", ""))):
        check(f'event="{event}"' in fresh, f"an alert waits for the event {event}; without a zero from the start, the first one is no increase")
    for reason in ("upstream_unreachable", "upstream_timeout", "upstream_broken"):
        check(f'reason="{reason}"' in fresh, f"an alert waits for the reason {reason}; without a zero from the start, the first error is no increase")
    return f"{len(known)} metrics are told, described and asked for by the same names"
