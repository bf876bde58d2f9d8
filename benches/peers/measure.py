"""Runs the load against a proxy and reads what the kernel says of it."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

from peer import LOAD_CORE, pinned

LOAD = None
# Real-time work that takes more than 95 % of a second is stopped for the rest of it, in the midst of a measurement. The load
# takes all of its core; runs of up to 0.7 s with this between them stay below.
PAUSE = 0.06


class Failed(Exception):
    """A measurement that is none, because answers were wrong."""


def load(what, **spec):
    """One run of the load; every answer was checked."""
    time.sleep(PAUSE)
    child = pinned([LOAD, json.dumps(spec, default=str)], LOAD_CORE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, errors = child.communicate(timeout=60)
    finally:
        end(child)
    if child.returncode != 0:
        raise Failed(f"{what}: {errors.strip()}")
    return checked(what, json.loads(out))


def checked(what, result):
    if result["errors"]:
        raise Failed(f"{what}: {result['errors']} of {result['requests']} answers were wrong; the first: {result['first_error']}")
    return result


def end(child):
    if child.poll() is None:
        child.kill()
        child.wait()


@contextlib.contextmanager
def serving(backend, body=1024, core=LOAD_CORE):
    """A backend for other clients than the load."""
    child = pinned([LOAD, json.dumps({"mode": "serve", "backend": backend, "body": body})], core)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                status(backend, None)
                break
            time.sleep(0.01)
        yield
    finally:
        end(child)


@contextlib.contextmanager
def holding(what, **spec):
    """Idle connections that had an answer each, for as long as the block runs; none may be lost meanwhile."""
    child = pinned([LOAD, json.dumps({"mode": "hold", **spec}, default=str)], LOAD_CORE,
                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        checked(what, json.loads(child.stdout.readline()))
        yield
        child.stdin.close()
        checked(what + " while idle", json.loads(child.stdout.readline()))
    finally:
        end(child)


def status(address, cookie):
    """Status and Set-Cookie of one request."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", "/api/orders", headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("Set-Cookie")
    finally:
        connection.close()


def cpu_ns(pids):
    return sum(int(path.read_text().split()[0]) for pid in pids for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def pss(pids):
    """Memory that these processes have, kilobytes; what is shared counts by its share."""
    kilobytes = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        kilobytes += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
    return kilobytes


SOCKET_CALLS = {"read", "readv", "recvfrom", "recvmsg", "write", "writev", "sendto", "sendmsg", "sendfile", "splice"}


def syscalls(pids, run):
    """Traces these processes during `run`, which returns how many requests it made. Calls per request by name, and in sum
    those that move bytes of a socket (what goes to a log or wakes a thread does not)."""
    descriptor, out = tempfile.mkstemp(prefix="peers-trace-")
    os.close(descriptor)
    out = pathlib.Path(out)
    tracer = subprocess.Popen(["strace", "-f", "-y", "-q", "-s", "0", "-o", out, *(part for pid in pids for part in ("-p", str(pid)))],
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)
        requests = run()
        tracer.terminate()
        tracer.wait(10)
        names, moved = {}, 0
        for line in out.read_text(errors="replace").splitlines():
            call = re.match(r"\d+\s+(\w+)\((?:\d+<([^>]*)>)?", line)
            if call:
                names[call[1]] = names.get(call[1], 0) + 1
                moved += call[1] in SOCKET_CALLS and (call[2] or "").startswith("socket:")
    finally:
        end(tracer)
        out.unlink(missing_ok=True)
    if not names:
        raise Failed("strace saw nothing; is it permitted?")
    each = {name: round(count / requests, 3) for name, count in sorted(names.items(), key=lambda item: -item[1])}
    return {"socket_io": moved / requests, "calls": {name: count for name, count in each.items() if count >= 0.005}}


def median(values):
    return statistics.median(values)


def summary(rounds):
    """The median of each figure, and all of them."""
    return {**{key: median(one[key] for one in rounds) for key in rounds[0]}, "rounds": rounds}


def ratio(one, two, key):
    """The median of the rounds' own ratios, for the machine's speed changes between rounds."""
    return median(mine[key] / other[key] for mine, other in zip(one["rounds"], two["rounds"]))
