"""deploy/systemd, judged by systemd's own tools and by what the program asks of the kernel."""

import json
import re
import subprocess
import unittest
from pathlib import Path

from harness import BINARY, PATIENCE, ROOT, WORK, Running, default_drain, environment, secret, tool

UNIT = ROOT / "deploy/systemd/slidecar.service"
ENVIRONMENT = ROOT / "deploy/systemd/slidecar.env"
# Of ten, as `systemd-analyze security` counts; what is left is that it is reached over the network.
MOST_EXPOSURE = 1.2


def analyze(*arguments):
    done = subprocess.run([tool("systemd-analyze"), "--no-pager", *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def values(name):
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.M)


def settings():
    """As the unit would start it; %d is where systemd puts the key."""
    return {**environment(ENVIRONMENT), "JWT_SECRET_FILE": str(secret())}


class Unit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # The program is not installed on the machine that tests it.
        cls.unit = WORK / "slidecar.service"
        cls.unit.write_text(UNIT.read_text().replace("ExecStart=/usr/local/bin/slidecar\n", f"ExecStart={BINARY}\n"))

    def test_is_understood(self):
        self.assertEqual(analyze("verify", self.unit), (0, ""))

    def test_is_exposed_to_little(self):
        code, report = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE * 10:.0f}", self.unit)
        overall = next(line for line in report.splitlines() if "Overall exposure" in line)
        print(f"\n  {overall.lstrip('→ ')}", flush=True)
        self.assertEqual(code, 0, report)

    def test_has_the_time_that_it_takes(self):
        self.assertGreater(int(*values("TimeoutStopSec")), default_drain())

    def test_gives_the_key_as_a_file(self):
        self.assertEqual(values("LoadCredential"), ["jwt:/etc/slidecar/jwt"])
        self.assertIn("JWT_SECRET_FILE=%d/jwt", values("Environment"))
        self.assertNotRegex(ENVIRONMENT.read_text(), r"(?m)^JWT_SECRET")

    def test_the_settings_are_good(self):
        done = subprocess.run([BINARY, "check"], env=settings(), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("is no setting", done.stdout + done.stderr)

    def test_forbids_no_call_that_the_program_makes(self):
        trace = WORK / "trace"
        # Nobody listens behind it, but the way there takes the same calls; a name makes it ask the resolver too.
        own = {
            "SLIDECAR_UPSTREAM": "http://localhost:9", "SLIDECAR_LISTEN": "127.0.0.1:0", "SLIDECAR_ADMIN_LISTEN": "127.0.0.1:0",
            "SLIDECAR_DRAIN": "1s",
        }
        run = Running([tool("strace"), "-f", "-qq", "-o", trace, BINARY], env={**settings(), **own})
        try:
            listening = json.loads(run.line('"listening"'))
            main = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().strip()
            for address in (f"{listening['address']}/", f"{listening['admin']}/metrics"):
                curl = [tool("curl"), "--silent", "--max-time", str(PATIENCE), f"http://{address}"]
                subprocess.run(curl, check=True, capture_output=True)
            subprocess.run(["kill", "-HUP", main], check=True)
            run.line('"reload')
            subprocess.run(["kill", "-TERM", main], check=True)
            self.assertEqual(run.end(), 0)
        finally:
            run.kill()
        calls = trace.read_text()
        made = set(re.findall(r"^\d+ +(\w+)\(", calls, re.M))
        self.assertIn("accept4", made)
        forbidden = made - allowed()
        self.assertEqual(forbidden, set(), "SystemCallFilter= of the unit forbids what the program does")
        families = set(re.findall(r" socket\((AF_\w+)", calls))
        self.assertIn("AF_INET", families)
        self.assertLessEqual(families, set(values("RestrictAddressFamilies")[0].split()))


def allowed():
    """The calls that the unit's filters leave."""
    calls = set()
    for line in values("SystemCallFilter"):
        named = set().union(*(expand(name) for name in line.lstrip("~").split()))
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def expand(name):
    if not name.startswith("@"):
        return {name}
    code, text = analyze("syscall-filter", name)
    assert code == 0, text
    names = [line.strip() for line in text.splitlines() if line.startswith("    ") and not line.strip().startswith("#")]
    return set().union(*(expand(name) for name in names))
