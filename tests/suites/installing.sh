# Sourced by the install files of the suites, which run again do only what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[1]}")"

say() { echo "tests/suites/$(basename "$PWD")/install: $*"; }

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# need COMMAND PACKAGE: brings the Debian package unless the command is there.
need() {
    command -v "$1" >/dev/null && return
    say "installing $2 with apt-get"
    command -v apt-get >/dev/null || { say "no apt-get here; install $2 by hand" >&2; exit 1; }
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$2"
}

need_venv() {
    python3 -c 'import venv, ensurepip' 2>/dev/null && return
    say "installing python3-venv with apt-get"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3 python3-venv
}

# A stamp holds the checksum of what was installed; a half-finished installation has none.
is_current() { [ -f "$2" ] && [ "$(cat "$2")" = "$(cksum <"$1")" ]; }

install_python() {
    need_venv
    local list=requirements.txt stamp=.venv/.installed
    # The environment points to the interpreter that made it, which may be gone.
    if is_current "$list" "$stamp" && .venv/bin/python -c '' 2>/dev/null; then
        say "the Python packages are there"
        return
    fi
    say "installing the Python packages"
    python3 -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r "$list"
    cksum <"$list" >"$stamp"
}

install_node() {
    need node nodejs
    need npm npm
    local lock=package-lock.json stamp=node_modules/.installed
    if is_current "$lock" "$stamp"; then
        say "the npm packages are there"
        return
    fi
    say "installing the npm packages"
    npm ci --no-audit --no-fund
    cksum <"$lock" >"$stamp"
}
