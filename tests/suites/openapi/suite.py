"""slidecar's own endpoints, held to their description in openapi.yaml by schemathesis, with a session and without."""

import base64
import hashlib
import hmac
import json
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import SECRET, Slidecar, Verdict


def token():
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    now = int(time.time())
    claims = {"sub": "somebody", "sid": "one", "iat": now, "exp": now + 7200}
    text = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(hmac.new(SECRET.encode(), text, hashlib.sha256).digest())).decode()


def hold(verdict, name, port, *options):
    command = [str(HERE / ".venv/bin/schemathesis"), "run", str(HERE / "openapi.yaml"), "--url", f"http://127.0.0.1:{port}",
               "--checks", "all", "--max-examples", "40", "--generation-deterministic", "--no-color", *options]
    with tempfile.TemporaryDirectory() as home:
        ran = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=240)
    lines = [line.strip() for line in ran.stdout.splitlines() if line.strip()]
    verdict.check(name, ran.returncode == 0, "; ".join(line for line in lines if "generated" in line or "passed" in line))
    if ran.returncode:
        print(ran.stdout[-8000:], ran.stderr[-1000:])


def main():
    verdict = Verdict("openapi")
    # A closed port will do behind it, for the backend sees none of these calls.
    with Slidecar("http://127.0.0.1:9") as proxy:
        session = ["-H", f"Cookie: session={token()}"]
        # The cookie comes with every request here, so none is without it.
        known = ["--exclude-checks", "ignored_auth,negative_data_rejection"]
        hold(verdict, "without a session", proxy.port, "--include-tag", "session")
        # A logout would end the session that the others are tried with.
        hold(verdict, "with a session", proxy.port, "--include-tag", "session", "--exclude-operation-id", "logout", *session, *known)
        hold(verdict, "logout", proxy.port, "--include-operation-id", "logout", *session, *known)
        hold(verdict, "admin", proxy.admin, "--include-tag", "admin")
        verdict.check("slidecar is well", proxy.is_alive() and not proxy.panics())
    verdict.end()


main()
