"""What the tests of the image share: containers as compose.yaml describes them, and what is beside them in their network."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
WORK = Path(os.environ["WORK"])
IMAGE = os.environ["IMAGE"]
PODMAN = os.environ["PODMAN"].split()
# What the image holds, as a folder.
FILES = Path(os.environ["FILES"])
BINARY = FILES / "usr/local/bin/slidecar"
# The longest that anything may take; what is waited for usually takes milliseconds.
PATIENCE = 20


def podman(*arguments, check=True):
    done = subprocess.run([*PODMAN, *arguments], capture_output=True, text=True, timeout=60)
    if check and done.returncode:
        raise AssertionError(f"podman {' '.join(arguments)}: {done.stderr}")
    return done


def compose(*files):
    """The service slidecar of deploy/compose, with later files merged into the first as Compose does it."""
    service = {}
    for file in files:
        for name, value in YAML(typ="safe").load(ROOT / "deploy/compose" / file)["services"]["slidecar"].items():
            if isinstance(value, dict):
                service.setdefault(name, {}).update(value)
            elif isinstance(value, list):
                service.setdefault(name, []).extend(value)
            else:
                service[name] = value
    return service


def environment(file):
    """An env file, as Docker and systemd read it."""
    lines = (line.strip() for line in Path(file).read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def seconds(duration):
    return {"s": 1, "m": 60, "h": 3600}[duration[-1]] * int(duration[:-1])


def default_drain():
    return seconds(re.search(r"^#SLIDECAR_DRAIN=(.*)$", (ROOT / "config/slidecar.env").read_text(), re.M)[1])


def secret():
    """A key in a file that everybody may read, as it must be in Compose. Alone in its folder, for slidecar looks at each change there."""
    file = WORK / "secrets/jwt"
    if not file.exists():
        file.parent.mkdir()
        file.write_text(os.urandom(32).hex())
        file.chmod(0o644)
    return file


def options(service):
    """What `podman run` is told so that it does what Compose does. Without `ulimits`: this machine may not allow as much."""
    flags = ["--network", "none", "--pull", "never", "--log-driver", "none", "--user", service["user"]]
    flags += [f"--memory={service['mem_limit']}", f"--pids-limit={service['pids_limit']}"]
    flags += [f"--cap-drop={capability}" for capability in service["cap_drop"]]
    flags += [f"--security-opt={option.removesuffix(':true')}" for option in service["security_opt"]]
    if service["read_only"]:
        # podman would put writable folders into it, Docker would not.
        flags += ["--read-only", "--read-only-tmpfs=false"]
    for name in service["secrets"]:
        flags += ["--volume", f"{secret()}:/run/secrets/{name}:ro"]
    for name, value in service["environment"].items():
        flags += ["--env", f"{name}={value}"]
    # All services are on the loopback of one network, as in a pod.
    for host in ("app", "valkey"):
        flags += ["--add-host", f"{host}:127.0.0.1"]
    return flags


class Running:
    """A program of which each line of output is an event."""

    def __init__(self, command, **more):
        self.command = command
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **more)

    def line(self, word):
        """The next line with this word."""
        seen = []
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                seen.append(line)
                if word in line:
                    return line
        finally:
            watchdog.cancel()
        raise AssertionError(f"{' '.join(map(str, self.command))} ended before it said {word!r}; it said: {''.join(seen)}")

    def tell(self, line):
        print(line, file=self.process.stdin, flush=True)

    def end(self):
        """Its exit code, once it has ended by itself."""
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.communicate()


class Slidecar:
    """A container of the image, as soon as it listens."""

    count = 0

    def __init__(self, service, *more):
        Slidecar.count += 1
        self.name = f"slidecar-{Slidecar.count}"
        begin = time.monotonic()
        self.run = Running([*PODMAN, "run", "--name", self.name, *options(service), *more, IMAGE])
        self.run.line('"listening"')
        self.start_time = time.monotonic() - begin
        state = json.loads(podman("inspect", self.name).stdout)[0]["State"]
        self.pid = state["Pid"]
        self.beside = []

    def inside(self, *command):
        """A command with the container's network."""
        return ["nsenter", f"--target={self.pid}", "--net", *map(str, command)]

    def add(self, *command, said, **more):
        """Runs a program in the container's network until it said that it is there."""
        running = Running(self.inside(*command), **more)
        self.beside.append(running)
        running.line(said)
        return running

    def backend(self):
        return self.add(sys.executable, "-B", ROOT / "tests/image/backend.py", 3000, said="listening")

    def get(self, address):
        """Status, head and body."""
        curl = self.inside("curl", "--silent", "--include", "--max-time", PATIENCE, address)
        answer = subprocess.run(curl, capture_output=True).stdout.decode()
        head, _, body = answer.partition("\r\n\r\n")
        return (int(head.split()[1]) if head else None), head.lower(), body

    def until(self, address, wanted):
        """Asks until the answer is as wanted."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.get(address)
            if wanted(answer):
                return answer
            if time.monotonic() > deadline:
                raise AssertionError(f"{address} still answers {answer}")

    def health(self):
        return podman("exec", self.name, *compose("compose.yaml")["healthcheck"]["test"][1:], check=False).returncode

    def remove(self):
        for running in self.beside:
            running.kill()
        podman("rm", "--force", "--time", "0", self.name, check=False)
        self.run.kill()


@contextlib.contextmanager
def slidecar(service, *more):
    container = Slidecar(service, *more)
    try:
        yield container
    finally:
        container.remove()


def tool(name):
    found = shutil.which(name)
    assert found, f"{name} is missing; tests/image/install brings it"
    return found
