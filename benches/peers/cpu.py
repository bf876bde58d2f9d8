"""CPU time per request of every peer and job, in interleaved rounds, and how it grows."""

import contextlib
import dataclasses

import tokens
from harness import free_port
from measure import Failed, load, serving, status, summary
from peer import LOAD_CORE, PROXY_CORE, Peer
from peers import Envoy, Haproxy, Nginx, Slidecar

CONNECTIONS = 64


@dataclasses.dataclass
class Job:
    """One line of the table: a proxy, and what is asked of it."""

    name: str
    peer: Peer
    spec: dict
    # Requests before each measurement: one for each token, so that a cache holds of them what it can.
    prime: int = 0
    rounds: list = dataclasses.field(default_factory=list)

    def measure(self, seconds=0.3):
        self.peer.forget_log()
        spec = {"mode": "ask", "backend": self.peer.backend, "target": self.peer.address, "connections": CONNECTIONS, "body": 1024,
                "head": tokens.request(), **self.spec}
        if self.prime:
            load(self.name, seconds=20, requests=self.prime, **spec)
        result = load(self.name, pids=self.peer.pids(), warmup=0.1, seconds=seconds, **spec)
        if spec.get("cycle"):
            # The next round goes on where this one ended, or it would meet what is still cached.
            self.spec["first"] = spec.get("first", 0) + int(result["requests"] * 1.5)
        used = result["cpu_ns"] / 1000
        ticks = result["user_ms"] + result["system_ms"]
        self.rounds.append({
            "cpu_us": used / result["requests"],
            "user_share": result["user_ms"] / ticks if ticks else 0,
            "requests_per_second": result["requests"] / result["seconds"],
            "busy": used / 1e6 / result["seconds"],
        })


class TokenFiles:
    def __init__(self, directory):
        self.cached = tokens.hs256(directory / "tokens", 60_000, 7000)
        self.renewing = tokens.hs256(directory / "renewing", 60_000, 1800)
        lines = self.cached.read_text().splitlines(keepends=True)
        self.some = {}
        for count in (64, 1000, 5000, 20_000):
            self.some[count] = directory / f"tokens-{count}"
            self.some[count].write_text("".join(lines[:count]))
        self.some[60_000] = self.cached
        self.one = lines[0].strip()
        self.due = self.renewing.read_text().split("\n", 1)[0]


def jobs(enter, directory, files, is_quick):
    """And what this slidecar cannot do yet. `enter` starts a proxy and ends it with the run."""
    backend = f"127.0.0.1:{free_port()}"

    def start(kind, name, backend=backend, **options):
        return enter(kind(directory, name, backend, **options))

    cached = {"tokens": files.some[64]}
    uncached = {"tokens": files.cached, "cycle": True}
    renewing = {"tokens": files.renewing, "cycle": True, "renewed": True}
    found = [
        Job("nginx", start(Nginx, "nginx"), cached),
        Job("haproxy", start(Haproxy, "haproxy"), cached),
        Job("nginx + lua HS256", start(Nginx, "nginx-lua", session=True), cached),
        Job("haproxy jwt_verify", start(Haproxy, "haproxy-jwt", session=True), cached),
        Job("envoy jwt_authn", start(Envoy, "envoy-jwt", session=True), cached),
        Job("slidecar anonymous", start(Slidecar, "slidecar-anonymous"), {"head": tokens.request(session=False)}),
        Job("slidecar session", start(Slidecar, "slidecar-session", session=True), cached),
        Job("slidecar session, 60000 tokens", start(Slidecar, "slidecar-many", session=True), uncached),
        Job("slidecar renewing all", start(Slidecar, "slidecar-renewing", session=True), renewing),
    ]
    if is_quick:
        return found, []
    found += [Job("envoy", start(Envoy, "envoy"), cached)]
    some = {"tokens": files.some[5000], "cycle": True}
    found += [Job("slidecar session, 5000 tokens", start(Slidecar, "slidecar-5000", session=True), some, prime=5000)]
    not_supported = []
    for algorithm in tokens.KEYS:
        private, public = tokens.key_pair(directory, algorithm)
        settings = {"JWT_ALGORITHM": algorithm, "JWT_SECRET": None, "JWT_PRIVATE_KEY_FILE": str(private), "JWT_PUBLIC_KEY_FILE": str(public)}
        if not Slidecar.accepts(settings):
            not_supported.append(algorithm)
            continue
        for remaining, name in ((7000, "session"), (1800, "renewing all")):
            file = tokens.asymmetric(directory / f"{algorithm}-{remaining}", algorithm, private, CONNECTIONS, remaining)
            peer = start(Slidecar, f"slidecar-{algorithm}-{remaining}", session=True, settings=settings)
            found += [Job(f"slidecar {name}, {algorithm}", peer, {"tokens": file, "renewed": remaining < tokens.THRESHOLD})]
    big = {**cached, "body": 64 * 1024, "connections": 16}
    found += [Job(f"{name}, 64 KiB", start(kind, f"{name}-64k"), big) for name, kind in
              (("nginx", Nginx), ("haproxy", Haproxy), ("slidecar", Slidecar))]
    path = f"unix:{directory}/backend"
    found += [Job(f"{name}, unix", start(kind, f"{name}-unix", path), cached) for name, kind in
              (("nginx", Nginx), ("slidecar", Slidecar))]
    return found, not_supported


def verify(found, files):
    """That each does the job it is measured at: whoever lets a bad signature in has not checked one."""
    good = f"{tokens.COOKIE}={files.one}"
    signature = files.one.rindex(".") + 1
    bad = good[:len(tokens.COOKIE) + 1 + signature] + ("B" if files.one[signature] == "A" else "A") + files.one[signature + 1:]
    backends = {job.peer.backend for job in found if not job.peer.backend.startswith("unix:")}
    with contextlib.ExitStack() as stack:
        for backend in backends:
            stack.enter_context(serving(backend))
        for job in found:
            # Asymmetric tokens are checked by the load: nothing but a valid one gets a 200 on a protected path.
            if job.peer.backend.startswith("unix:") or "settings" in job.peer.options:
                continue
            wanted = [200, 401, 401] if job.peer.options.get("session") else [200, 200, 200]
            got = [status(job.peer.address, cookie)[0] for cookie in (good, bad, None)]
            if got != wanted:
                raise Failed(f"{job.name} answers {got} to a good token, a bad one and none, instead of {wanted}")
            if isinstance(job.peer, Slidecar) and job.peer.options.get("session"):
                renewed = status(job.peer.address, f"{tokens.COOKIE}={files.due}")[1] or ""
                if not renewed.startswith(f"{tokens.COOKIE}=") or files.due in renewed:
                    raise Failed(f"{job.name} does not renew a session that is due: {renewed!r}")


def measure(found, rounds, say):
    for number in range(rounds):
        say(f"CPU per request, round {number + 1} of {rounds}")
        # Forward and backward, so that a machine that slows down favours nobody.
        for job in found if number % 2 == 0 else reversed(found):
            job.measure()
    return {job.name: summary(job.rounds) for job in found}


def growth(enter, directory, files, rounds, say):
    """How slidecar's cost grows with what a request brings."""
    backend = f"127.0.0.1:{free_port()}"
    peer = enter(Slidecar(directory, "slidecar-growth", backend, session=True))
    cached = {"tokens": files.some[64]}
    many = ["theme=dark", *(f"cookie-{number}=value-{number:04}" for number in range(48))]
    plain = len(tokens.request()) - len(tokens.TOKEN) + tokens.LENGTH
    kib = 1024
    tables = {
        "bytes of a request's head": {size: {**cached, "head": tokens.request(padding=size - plain) if size > plain else short(size)}
                                      for size in (512, 1024, 2048, 4096, 8192)},
        "cookies": {count: {**cached, "head": tokens.request(others=many[:count - 1])} for count in (1, 10, 50)},
        "different tokens": {count: {"tokens": file, "cycle": True} for count, file in files.some.items()},
        "connections": {count: {**cached, "connections": count} for count in (1, 16, 64, 256, 1024)},
        "bytes of an answer's body": {size * kib: {**cached, "body": size * kib, "connections": 16} for size in (1, 16, 64, 256, 1024)},
    }
    found = {title: {value: Job(f"{value} {title}", peer, spec) for value, spec in specs.items()} for title, specs in tables.items()}
    for count, job in found["different tokens"].items():
        if count < 60_000:
            job.prime = count
        else:
            # More than any cache holds; only those that the line before has just brought must not come first.
            job.spec["first"] = 20_000
    two = {"session": True, "settings": {"SLIDECAR_WORKERS": "2"}}
    found["workers"] = {
        "1": Job("1 worker", peer, dict(cached)),
        "2, on the same core": Job("2 workers", enter(Slidecar(directory, "slidecar-two", backend, **two)), dict(cached)),
        "2, on both cores, one of them the load's": Job("2 workers, 2 cores", enter(
            Slidecar(directory, "slidecar-both", backend, core={LOAD_CORE, PROXY_CORE}, **two)), dict(cached)),
    }
    everything = [job for by_value in found.values() for job in by_value.values()]
    measure(everything, rounds, lambda text: say(f"growth: {text}"))
    return {title: {value: summary(job.rounds) for value, job in by_value.items()} for title, by_value in found.items()}


def short(size):
    """A head of that size, with hardly anything but the session."""
    head = f"GET / HTTP/1.1\r\nHost: app.example.com\r\nX-Pad: @\r\nCookie: {tokens.COOKIE}={tokens.TOKEN}\r\n\r\n"
    return head.replace("@\r", "p" * (size - len(head) + 1 + len(tokens.TOKEN) - tokens.LENGTH) + "\r", 1)
