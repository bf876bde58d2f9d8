"""What every suite needs: slidecar on a free port, certificates, and a verdict. Standard library only."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECRET = "a key for the suites, which sign nothing with it"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process=None, seconds=20):
    """A server that is started by a command line says nothing we could wait for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nobody listens on port {port}")


class Process:
    """A child that ends with the block. Its output is a file: a pipe that nobody reads would stop it."""

    def __init__(self, command, env=None, cwd=None, name=None):
        self.command, self.env, self.cwd = [str(part) for part in command], env, cwd
        self.log = tempfile.NamedTemporaryFile(prefix=f"{name or 'child'}-", suffix=".log", delete=False)

    def __enter__(self):
        self.child = subprocess.Popen(self.command, env=self.env, cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(3)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.log.close()
        os.unlink(self.log.name)

    def output(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")


class Slidecar(Process):
    def __init__(self, upstream, tls=None, **settings):
        binary = os.environ.get("SLIDECAR", str(ROOT / "target/release/slidecar"))
        if not os.access(binary, os.X_OK):
            sys.exit(f"{binary} is not there: cargo build --release, or set SLIDECAR")
        env = {
            "PATH": os.environ.get("PATH", ""),
            "JWT_SECRET": SECRET,
            "SLIDECAR_UPSTREAM": upstream,
            "SLIDECAR_LISTEN": "127.0.0.1:0",
            "SLIDECAR_ADMIN_LISTEN": "127.0.0.1:0",
            # Whoever ends a suite does not wait for kubelets.
            "SLIDECAR_DRAIN": "100ms",
            **({"SLIDECAR_TLS_CERT_FILE": str(tls.cert), "SLIDECAR_TLS_KEY_FILE": str(tls.key)} if tls else {}),
            **{name: str(value) for name, value in settings.items()},
        }
        super().__init__([binary], env=env, name="slidecar")

    def __enter__(self):
        super().__enter__()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            for line in self.output().splitlines():
                if '"listening"' in line and line.startswith("{"):
                    said = json.loads(line)
                    self.port = int(said["address"].rsplit(":", 1)[1])
                    self.admin = int(said["admin"].rsplit(":", 1)[1])
                    self.pid = self.child.pid
                    return self
            if self.child.poll() is not None:
                break
            time.sleep(0.02)
        said = self.output()
        self.__exit__()
        raise RuntimeError(f"slidecar did not start:\n{said}")

    def events(self):
        return [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]

    def is_alive(self):
        return self.child.poll() is None

    def memory(self):
        """Resident megabytes, now and at the highest."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))

    def panics(self):
        return [line for line in self.output().splitlines() if "panicked" in line]


class Pair:
    """A certificate and its key."""

    def __init__(self, cert, key):
        self.cert, self.key = cert, key


class Authority:
    """A certificate authority of our own, in a directory that goes with the block."""

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="slidecar-ca-"))
        self.root = self.dir / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=a root for tests",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", "ca.key", "-out", "ca.pem")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def issue(self, name, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """For localhost and 127.0.0.1."""
        (self.dir / "extensions").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\n"
                                             "basicConstraints=critical,CA:FALSE\nauthorityKeyIdentifier=keyid\n")
        self._openssl("req", "-newkey", *key, "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                      "-extfile", "extensions", "-out", f"{name}.pem")
        return Pair(self.dir / f"{name}.pem", self.dir / f"{name}.key")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.dir, check=True, capture_output=True)


class Verdict:
    """Says what was checked as it goes, and the sum at the end."""

    def __init__(self, suite):
        self.suite, self.passed, self.failed, self.start = suite, 0, [], time.monotonic()
        # Threads may check too.
        self.lock = threading.Lock()

    def check(self, name, ok, detail=""):
        with self.lock:
            if ok:
                self.passed += 1
                print(f"  ok    {name}{f'  ({detail})' if detail else ''}", flush=True)
            else:
                self.failed.append(name)
                print(f"  FAIL  {name}{f': {detail}' if detail != '' else ''}", flush=True)
        return ok

    def attempt(self, name, test):
        """Runs a test that returns a detail, or raises."""
        try:
            return self.check(name, True, test() or "")
        except Exception as error:  # Whatever goes wrong is that test's result, not the suite's.
            return self.check(name, False, f"{type(error).__name__}: {error}")

    def end(self):
        seconds = time.monotonic() - self.start
        print(f"{self.suite}: {self.passed} passed, {len(self.failed)} failed ({seconds:.0f} s)", flush=True)
        sys.exit(1 if self.failed else 0)


def equal(found, expected, what=""):
    if found != expected:
        raise AssertionError(f"{what + ': ' if what else ''}{found!r:.300} instead of {expected!r:.300}")


# A suite that is stopped still ends its children.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
