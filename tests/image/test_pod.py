"""The image at work, beside a backend, under the restrictions of deploy/compose/compose.yaml."""

import json
import os
import subprocess
import unittest
from pathlib import Path

from harness import IMAGE, ROOT, compose, default_drain, options, podman, seconds, secret, slidecar
from ruamel.yaml import YAML

PROXY = "http://127.0.0.1:8080"
ADMIN = "http://127.0.0.1:9180"


class Pod(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = compose("compose.yaml")
        cls.slidecar = cls.enterClassContext(slidecar(cls.service))
        cls.backend = cls.slidecar.backend()
        print(f"\n  a container of it listens after {cls.slidecar.start_time * 1000:.0f} ms, most of it podman's", flush=True)

    def proc(self, name):
        return Path(f"/proc/{self.slidecar.pid}/{name}").read_text()

    def test_has_no_rights(self):
        status = dict(line.split(":\t", 1) for line in self.proc("status").splitlines())
        self.assertEqual(status["Uid"].split(), ["65532"] * 4)
        self.assertEqual(status["Gid"].split(), ["65532"] * 4)
        self.assertEqual(status["Groups"].strip() or "65532", "65532")
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2", "filtered")

    def test_can_write_nothing(self):
        mounts = [line.split() for line in self.proc("mountinfo").splitlines()]
        writable = {mount[4] for mount in mounts if "rw" in mount[5].split(",")}
        # What every container has of the kernel, where user 65532 may nothing.
        self.assertEqual({place for place in writable if not place.startswith(("/proc", "/dev", "/sys"))}, set())
        self.assertIn("/", {mount[4] for mount in mounts})

    def test_has_a_limit_of_memory(self):
        limit = self.service["mem_limit"]
        self.assertTrue(limit.endswith("m"), limit)
        groups = dict(line.split(":", 2)[1:] for line in self.proc("cgroup").splitlines())
        old = next((path for name, path in groups.items() if "memory" in name.split(",")), None)
        file = f"/sys/fs/cgroup/memory{old}/memory.limit_in_bytes" if old else f"/sys/fs/cgroup{groups['']}/memory.max"
        self.assertEqual(int(Path(file).read_text()), int(limit[:-1]) * 1024 * 1024)

    def test_is_alive_and_ready(self):
        for path in ("/livez", "/startupz", "/readyz"):
            self.assertEqual(self.slidecar.get(ADMIN + path)[0], 200, path)

    def test_says_so_itself(self):
        self.assertEqual(self.slidecar.health(), 0)
        # The HEALTHCHECK of the image.
        self.assertEqual(podman("healthcheck", "run", self.slidecar.name, check=False).returncode, 0)

    def test_forwards_a_request(self):
        status, _, body = self.slidecar.get(f"{PROXY}/some/page?a=b")
        self.assertEqual((status, body), (200, "the backend was asked for /some/page?a=b\n"))

    def test_follows_the_clocks_of_the_compose_file(self):
        policy = json.loads(self.slidecar.get(f"{PROXY}/auth/session-policy")[2])
        environment = self.service["environment"]
        self.assertEqual(policy["accessTokenTtlMs"], seconds(environment["JWT_EXPIRES_IN"]) * 1000)
        self.assertEqual(policy["refreshThresholdMs"], seconds(environment["SESSION_REFRESH_THRESHOLD"]) * 1000)


class Key(unittest.TestCase):
    def test_is_taken_up_when_it_is_written_into_the_mounted_file(self):
        # The kernel tells nobody in the container of this change; it is found by looking.
        with slidecar(compose("compose.yaml")) as sidecar:
            secret().write_text(os.urandom(32).hex())
            sidecar.until(f"{ADMIN}/readyz?verbose", lambda answer: "generation 2" in answer[2])


class Stopping(unittest.TestCase):
    def test_finishes_what_is_in_flight_and_ends_well(self):
        with slidecar(compose("compose.yaml")) as sidecar:
            backend = sidecar.backend()
            request = subprocess.Popen(sidecar.inside("curl", "--silent", "--include", f"{PROXY}/slow"), stdout=subprocess.PIPE, text=True)
            backend.line("slow")
            podman("kill", "--signal", "TERM", sidecar.name)
            sidecar.until(f"{ADMIN}/readyz", lambda answer: answer[0] == 503)
            # What comes in the five seconds until load balancers have noticed is served, and told not to come again.
            status, head, _ = sidecar.get(f"{PROXY}/late")
            self.assertEqual(status, 200)
            self.assertIn("connection: close", head)
            self.assertEqual(sidecar.health(), 1)
            self.assertEqual(sidecar.get(f"{ADMIN}/livez")[0], 200)
            self.assertIsNone(request.poll())
            backend.tell("now")
            self.assertIn("the backend was asked for /slow", request.communicate(timeout=20)[0])
            self.assertEqual(sidecar.run.process.wait(timeout=20), 0)

    def test_has_the_time_that_it_takes(self):
        self.assertGreater(seconds(compose("compose.yaml")["stop_grace_period"]), default_drain())


class Settings(unittest.TestCase):
    def run_once(self, service, *arguments):
        return podman("run", "--rm", *options(service), IMAGE, *arguments, check=False)

    def test_a_bad_one_stops_the_start_and_is_named(self):
        service = compose("compose.yaml")
        service["environment"] = {**service["environment"], "JWT_EXPIRES_IN": "soon"}
        done = self.run_once(service)
        self.assertEqual(done.returncode, 64, done.stderr)
        self.assertRegex(done.stderr, r"slidecar: JWT_EXPIRES_IN\b.*soon")

    def test_a_key_that_cannot_be_read_is_named(self):
        service = compose("compose.yaml")
        service["secrets"] = []
        done = self.run_once(service)
        self.assertEqual(done.returncode, 64, done.stderr)
        self.assertIn("/run/secrets/jwt", done.stderr)

    def test_those_of_the_compose_files_are_good(self):
        for files in (["compose.yaml"], ["compose.yaml", "compose.valkey.yaml"]):
            done = self.run_once(compose(*files), "check")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertNotIn("is no setting", done.stdout + done.stderr)


class Store(unittest.TestCase):
    def test_is_found_by_name_and_told_as_the_compose_file_says(self):
        valkey = YAML(typ="safe").load(ROOT / "deploy/compose/compose.valkey.yaml")["services"]["valkey"]
        program, *arguments = valkey["command"]
        folder = Path(os.environ["WORK"]) / "valkey"
        folder.mkdir()
        with slidecar(compose("compose.yaml", "compose.valkey.yaml")) as sidecar:
            server = ROOT / "tests/store/.venv" / program
            sidecar.add(server, *arguments, said="Ready to accept", cwd=folder)
            sidecar.until(f"{ADMIN}/readyz?verbose", lambda answer: answer[0] == 200 and "[+] store" in answer[2])
            self.assertTrue(any(folder.rglob("*.aof")), "what is written would not outlive a restart")
