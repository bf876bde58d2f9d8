"""A proxy under test: how it is started, pinned and ended."""

import contextlib
import os
import pathlib
import resource
import signal
import subprocess

from harness import free_port, wait_for_port

PROXY_CORE, LOAD_CORE = 1, 0


def pinned(command, core, **options):
    """A child on that core, ahead of everything else there: the time slices of others would show as latency and as cold
    caches. Both are ours for a moment and inherited: a taskset and a chrt in between would show in the time to start."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, core if isinstance(core, set) else {core})
    try:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        return subprocess.Popen([str(part) for part in command], stdin=options.pop("stdin", subprocess.DEVNULL), **options)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, before)


def raise_limits():
    """Children inherit it: ten thousand connections need more than the usual 1024 files."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Peer:
    """A proxy that runs while the block does. Its access log is a file in `directory`."""

    is_realtime = False

    def __init__(self, directory, name, backend, core=PROXY_CORE, **options):
        self.directory = directory / f"{name}-{free_port()}"
        self.directory.mkdir()
        self.name, self.backend, self.core, self.options = name, backend, core, options
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = self.directory / "access.log"
        self.errors = self.directory / "errors.log"
        self.child = None

    def command(self):
        """Command and environment."""
        raise NotImplementedError

    def spawn(self):
        command, env = self.command()
        # Appending: the log can be emptied between two rounds.
        with open(self.log, "ab") as log, open(self.errors, "ab") as errors:
            env = {name: value for name, value in env.items() if value is not None}
            self.child = pinned(command, self.core, env={"PATH": os.environ["PATH"], **env}, stdout=log, stderr=errors)
        Peer.is_realtime = os.sched_getscheduler(self.child.pid) == os.SCHED_FIFO

    def __enter__(self):
        self.spawn()
        try:
            wait_for_port(self.port, self.child)
        except BaseException as error:
            self.stop()
            said = self.log.read_text(errors="replace") + self.errors.read_text(errors="replace")
            raise RuntimeError(f"{self.name} did not start: {error}\n{said[-2000:]}") from error
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.child is None:
            return
        children = self.pids()
        self.child.send_signal(signal.SIGTERM)
        try:
            # Those that drain politely do it without us.
            self.child.wait(0.3)
        except subprocess.TimeoutExpired:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.child.wait()
        self.child = None

    def pids(self):
        """Its processes; nginx has two."""
        found, todo = [], [self.child.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                # A thread may be gone by now.
                with contextlib.suppress(OSError):
                    todo += [int(child) for child in children.read_text().split()]
        return found

    def forget_log(self):
        os.truncate(self.log, 0)
