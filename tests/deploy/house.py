"""What the checks of this folder share."""

import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOOLS = HERE / ".tools"
# The versions that the charts and the component promise to hold for: the first with native sidecars on, and all since.
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]


class Wrong(Exception):
    """A check that failed; the text says what and why."""


def fail(message):
    raise Wrong(message)


def check(holds, message):
    if not holds:
        fail(message)


def settings():
    """Every setting of slidecar, and the names by which it is given as a file."""
    names = set(re.findall(r"^#([A-Z][A-Z0-9_]+)=", (ROOT / "config/slidecar.env").read_text(), re.M))
    return names | {f"{name}_FILE" for name in names}


def slidecar():
    """The binary: $SLIDECAR, or the one that cargo has built last."""
    path = pathlib.Path(os.environ.get("SLIDECAR") or ROOT / "target/debug/slidecar")
    check(path.exists(), f"{path} is not there; build it (cargo build), or name another as SLIDECAR")
    return path


def command(*arguments, **options):
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, **options)
    check(done.returncode == 0, f"{' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def say(message):
    print(message, flush=True)
    sys.stdout.flush()
