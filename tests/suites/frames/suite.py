"""HTTP/2 frames as no honest client would send them: no malformed request reaches the backend whole, and after every one a fresh
connection is answered, in bounded memory."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from backend import Backend
from floods import ALL, Floods
from harness import Slidecar, Verdict
from malformed import BODIES, FRAMES, HEADS
from raw import Raw, request

# Resident megabytes that slidecar may have after a flood. It begins with about ten; a thousand answers on ten connections that
# nobody reads take the most, up to 375 KB each when this was written.
MOST_MEMORY = 120
MOST_MEMORY_UNREAD = 300
# Requests that may reach the backend at once: SLIDECAR_MAX_STREAMS on ten connections, and as many that a flood before has left.
MOST_AT_ONCE = 2000 + 50


def fresh(proxy, path="/ok"):
    """What a new and honest client sees."""
    with Raw(proxy.port) as raw:
        raw.send(raw.headers(1, request(path)))
        return raw.outcome()


def is_refused(name, outcome):
    # Whoever takes a request back waits for no answer.
    return outcome == "closed" or outcome.startswith(("4", "5", "reset", "goaway")) or name.startswith("the client resets")


def malformed(verdict, proxy, backend):
    for name, fields in HEADS.items():
        judge(verdict, proxy, backend, f"head: {name}", lambda raw: raw.send(raw.headers(1, fields)))
    for pause in (0, 0.1):
        for name, (fields, rest) in BODIES.items():
            def send(raw):
                raw.send(raw.headers(1, fields, end_stream=False))
                # So that the backend has the head before the fault comes.
                time.sleep(pause)
                raw.send(rest(raw) if callable(rest) else rest)

            judge(verdict, proxy, backend, f"body{', later' if pause else ''}: {name}", send)
    for name, frames in FRAMES.items():
        judge(verdict, proxy, backend, f"frame: {name}", lambda raw: raw.send(frames(raw)))


def judge(verdict, proxy, backend, name, send):
    with Raw(proxy.port) as raw:
        send(raw)
        outcome = raw.outcome(seconds=0.5 if "the client resets" in name else 3)
    time.sleep(0.03)
    reached = [record for record in backend.of("") if not record["path"].startswith("/ok")]
    backend.records.clear()
    # With more data than content-length the backend may have had all that was declared before the fault; never more.
    is_declared = lambda record: "more data" in name and record["body"] == b"abcde"
    whole = [record["path"] for record in reached if record["complete"] and not is_declared(record)]
    # A head is judged before it goes; only of a body the backend may see a part.
    is_held = not whole and (name.startswith("body") or not reached)
    is_answered = fresh(proxy) == "200"
    seen = f"whole: {whole}" if whole else f"{len(reached)} reached the backend in part" if reached else "none reached the backend"
    ok = is_refused(name.split(": ")[1], outcome) and is_held and is_answered
    verdict.check(name, ok, f"{outcome}; {seen}{'' if is_answered else '; a fresh connection is not answered'}")


def floods(verdict, proxy, backend, only):
    tests = Floods(proxy, backend)
    for name in ALL:
        if only and name not in only:
            continue
        with backend.lock:
            backend.most_open = 0
        before = len(backend.of(""))
        start = time.monotonic()
        try:
            sent, how = getattr(tests, name)()
        except OSError as error:
            how = f"{type(error).__name__} at the beginning"
        seconds = time.monotonic() - start
        own = fresh(proxy, "/auth/session-policy")
        # The backend may still be at work on what the flood has asked of it.
        for _ in range(5):
            outcome = fresh(proxy)
            if outcome == "200":
                break
            time.sleep(1)
        is_answered = outcome == own == "200"
        now, most = proxy.memory()
        reached = len(backend.of("")) - before - 1
        wrong = backend.of("/bad")
        limit = MOST_MEMORY_UNREAD if name.startswith("answers") else MOST_MEMORY
        ok = is_answered and most < limit and backend.most_open < MOST_AT_ONCE and not wrong
        detail = f"{how}; {reached} reached the backend, {backend.most_open} at once; {now:.0f} MB, {most:.0f} at the most; {seconds:.1f} s"
        verdict.check(f"flood: {name.replace('_', ' ')}", ok, detail + ("" if is_answered else f"; a fresh connection sees {outcome} of the backend, {own} of slidecar itself"))


def main():
    verdict = Verdict("frames")
    backend = Backend()
    only = sys.argv[1:]
    if not only:
        with Slidecar(f"http://127.0.0.1:{backend.port}") as proxy:
            verdict.check("an honest request is answered, and recorded", fresh(proxy) == "200" and len(backend.of("/ok")) == 1)
            malformed(verdict, proxy, backend)
            verdict.check("slidecar is well", proxy.is_alive() and not proxy.panics(), "%.0f MB at the most" % proxy.memory()[1])
    with Slidecar(f"http://127.0.0.1:{backend.port}") as proxy:
        floods(verdict, proxy, backend, only)
        verdict.check("slidecar is well after the floods", proxy.is_alive() and not proxy.panics(), "%.0f MB, %.0f at the most" % proxy.memory())
    verdict.end()


main()
