"""Latency, memory, system calls and the time to start."""

import contextlib
import socket
import time

import tokens
from harness import free_port
from measure import Failed, holding, load, median, pss, serving, summary, syscalls
from peers import Envoy, Haproxy, Nginx, Slidecar

CONNECTIONS = 64
RATE = 5000
# What a proxy does after its start is no request's cost.
SETTLED = 1
PEERS = [("nginx", Nginx, {}), ("haproxy", Haproxy, {}), ("envoy", Envoy, {}), ("slidecar", Slidecar, {"session": True})]


def latency(directory, files, rounds, say):
    """At a rate that leaves every proxy time to spare, and without a proxy."""
    backend = f"127.0.0.1:{free_port()}"
    found = {"direct": []}
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(kind(directory, name, backend, **options))
                   for name, kind, options in PEERS}
        time.sleep(SETTLED)
        for number in range(rounds):
            say(f"latency, round {number + 1} of {rounds}")
            order = ["direct", *running]
            for name in order if number % 2 == 0 else reversed(order):
                target = running[name].address if name in running else backend
                one = load(f"{name} at {RATE}/s", mode="ask", backend=backend, target=target, rate=RATE, body=1024,
                           connections=CONNECTIONS, head=tokens.request(), tokens=files.some[64], warmup=0.1, seconds=0.6)
                found.setdefault(name, []).append({key: one[key] for key in ("p50_us", "p90_us", "p99_us")})
    for name, runs in found.items():
        for run, direct in zip(runs, found["direct"]):
            run["added_p50_us"] = run["p50_us"] - direct["p50_us"]
    return {"rate": RATE, "peers": {name: summary(runs) for name, runs in found.items()}}


def memory(directory, files, hard_limit, say):
    """Idle, and with so many idle connections: a process of its own for each number."""
    say("memory")
    counts = [count for count in (1000, 9500) if 2 * count + 500 < hard_limit]
    found = {}
    with contextlib.ExitStack() as stack:
        # Each with a backend of its own, which is the process that holds its connections.
        running = {(name, count): stack.enter_context(kind(directory, f"{name}-{count}", f"127.0.0.1:{free_port()}", **options))
                   for name, kind, options in PEERS for count in counts}
        time.sleep(SETTLED)
        before = {key: pss(peer.pids()) for key, peer in running.items()}
        opened = {}
        for (name, count), peer in running.items():
            stack.enter_context(holding(f"{name} with {count} connections", backend=peer.backend, target=peer.address, body=1024,
                                        connections=count, head=tokens.request(), tokens=files.cached))
            opened[name, count] = time.monotonic()
        for seconds in (2, 15):
            for (name, count), peer in running.items():
                time.sleep(max(0, opened[name, count] + seconds - time.monotonic()))
                bytes_each = (pss(peer.pids()) - before[name, count]) * 1024 / count
                found.setdefault(name, {"idle_kb": before[name, counts[0]]})[f"{count} connections, {seconds} s idle"] = bytes_each
    return found


def system_calls(directory, files, say):
    say("system calls")
    backend = f"127.0.0.1:{free_port()}"
    found = {}
    for name, kind, options in PEERS:
        with kind(directory, f"{name}-traced", backend, **options) as peer:
            # Few connections, so that what opening them takes is a little only; many would take long under strace.
            connections, each = 16, 200
            spec = {"mode": "ask", "backend": backend, "target": peer.address, "body": 1024, "connections": connections,
                    "head": tokens.request(), "tokens": files.some[64], "seconds": 20, "requests": each * connections}
            # Each connection's first request comes before those that are counted.
            found[name] = syscalls(peer.pids(), lambda: load(f"{name} under strace", **spec)["requests"] + connections)
    return found


def start(directory, files, say, times=10):
    """Milliseconds from the fork to the first 200 that came through, and of the same binary's size."""
    say("start")
    backend = f"127.0.0.1:{free_port()}"
    found = {}
    with serving(backend):
        for name, kind, options in PEERS:
            taken = []
            for number in range(times):
                peer = kind(directory, f"{name}-start-{number}", backend, **options)
                command = peer.command()
                # Configurations are written before the clock runs.
                peer.command = lambda: command
                began = time.perf_counter()
                try:
                    peer.spawn()
                    first_answer(peer, files.one)
                    taken.append((time.perf_counter() - began) * 1000)
                finally:
                    peer.stop()
            found[name] = {"ms": median(taken), "all": taken}
    return found


def first_answer(peer, token):
    request = tokens.request().replace(tokens.TOKEN, token).encode()
    end = time.monotonic() + 10
    while time.monotonic() < end and peer.child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", peer.port), 1) as connection:
            connection.settimeout(1)
            connection.sendall(request)
            if connection.recv(4096).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.0002)
    raise Failed(f"{peer.name} did not become ready")
