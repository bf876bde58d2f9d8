"""What sslyze says of slidecar's TLS, by Mozilla's intermediate profile."""

import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import Authority, Slidecar, Verdict

KEYS = {"EC": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "RSA": ("rsa:2048",)}
# Nobody trusts a root that was made a moment ago.
EXPECTED = {"certificate_path_validation"}


def scan(verdict, kind, authority, proxy):
    command = [sys.executable, "-m", "sslyze", "--mozilla_config=intermediate", "--certinfo_ca_file", str(authority.root), f"localhost:{proxy.port}"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    _, _, compliance = said.partition("COMPLIANCE AGAINST TLS CONFIGURATION")
    complaints = set(re.findall(r"^\s+\* (\w+): ", compliance, re.M))
    verdict.check(f"{kind}: the scan came to its end", "SCANS COMPLETED" in said and "Checking results" in compliance, said[-300:] if not compliance else "")
    verdict.check(f"{kind}: Mozilla's intermediate profile", complaints <= EXPECTED, f"complaints: {', '.join(sorted(complaints)) or 'none'}")
    faults = [line.strip() for line in said.splitlines() if re.search(r"VULNERABLE|ERROR: ", line) and "Not vulnerable" not in line]
    verdict.check(f"{kind}: no known weakness", not faults, "; ".join(faults))
    accepted = re.findall(r"^\s+(TLS_\w+)\s+\d+", said, re.M)
    verdict.check(f"{kind}: cipher suites", len(accepted) == 6, ", ".join(accepted))


def main():
    verdict = Verdict("tls")
    with Authority() as authority:
        for kind, key in KEYS.items():
            # A closed port will do behind it: the front is what is looked at.
            with Slidecar("http://127.0.0.1:9", tls=authority.issue(kind, key)) as proxy:
                scan(verdict, kind, authority, proxy)
                verdict.check(f"{kind}: slidecar is well", proxy.is_alive() and not proxy.panics())
    verdict.end()


main()
