"""The Autobahn test suite, against an echo server directly and through slidecar: each case must end alike."""

import asyncio
import json
import logging
import pathlib
import subprocess
import sys
import tempfile
import threading
from collections import Counter

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import websockets
from harness import Slidecar, Verdict

# 9.* (performance) and 12.*/13.* with big messages take minutes and test the server, not the way to it.
CASES = sys.argv[1:] or ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.1", "9.1.2", "9.2.1", "9.2.2", "9.7.1", "9.8.1", "10.*", "12.1.1", "12.1.10", "13.3.1"]

AGAIN = 4


async def echo(socket):
    try:
        async for message in socket:
            await socket.send(message)
    except websockets.ConnectionClosed:
        pass


def serve():
    """An echo server in a thread of its own; its port."""
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    started, port = threading.Event(), []

    async def run():
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=64 << 20) as server:
            port.append(server.sockets[0].getsockname()[1])
            started.set()
            await asyncio.Future()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    started.wait(10)
    return port[0]


def suite_against(port, directory, cases):
    spec = {
        "outdir": str(directory),
        "servers": [{"agent": "agent", "url": f"ws://127.0.0.1:{port}", "options": {"version": 18}}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    path = directory / "spec.json"
    path.write_text(json.dumps(spec))
    log = open(directory / "log", "w")
    return subprocess.Popen([HERE / ".venv27/bin/wstest", "-m", "fuzzingclient", "-s", path], cwd=directory, stdout=log, stderr=log)


def both_ways(home, ports, cases):
    """What became of each case, by way."""
    children = []
    try:
        for way, port in ports.items():
            directory = pathlib.Path(tempfile.mkdtemp(prefix=way, dir=home))
            children.append((suite_against(port, directory, cases), directory))
        for child, _ in children:
            child.wait(1500)
    finally:
        for child, _ in children:
            child.kill()
    return [json.loads((directory / "index.json").read_text())["agent"] for _, directory in children]


def end_of(result):
    return tuple(result.get(key) for key in ("behavior", "behaviorClose", "remoteCloseCode"))


def main():
    verdict = Verdict("autobahn")
    port = serve()
    with tempfile.TemporaryDirectory(prefix="autobahn-") as home, Slidecar(f"http://127.0.0.1:{port}") as proxy:
        ports = {"direct": port, "through": proxy.port}
        direct, through = both_ways(home, ports, CASES)
        verdict.check("all cases ran both ways", through.keys() == direct.keys() and len(through) > 0, f"{len(direct)} and {len(through)}")
        # How some cases end is a race within the echo server, with or without a proxy: those that differ are run again, and
        # all the ways in which they end are compared.
        ends = {case: ({end_of(direct.get(case, {}))}, {end_of(through.get(case, {}))}) for case in direct.keys() | through.keys()}
        for _ in range(AGAIN):
            different = [case for case, (one, other) in ends.items() if one.isdisjoint(other)]
            if not different:
                break
            for found, way in zip(both_ways(home, ports, different), (0, 1)):
                for case, result in found.items():
                    ends[case][way].add(end_of(result))
        for case, (one, other) in sorted(ends.items()):
            if one.isdisjoint(other):
                verdict.check(f"case {case}", False, f"direct {one}, through {other}")
        words = Counter(result["behavior"] for result in through.values())
        alike = sum(not one.isdisjoint(other) for one, other in ends.values())
        verdict.check("all cases end alike", alike == len(ends), f"{alike} of {len(ends)}: " + ", ".join(f"{count} {word}" for word, count in sorted(words.items())))
        verdict.check("slidecar is well", proxy.is_alive() and not proxy.panics(), "%.0f MB, %.0f at the most" % proxy.memory())
    verdict.end()


main()
