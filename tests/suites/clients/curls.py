"""curl with each protocol, in front of each kind of backend."""

import hashlib
import json
import os
import subprocess
import tempfile

from harness import Slidecar, equal

SIZE = 5 * 1024 * 1024
BLOB = os.urandom(SIZE)
DIGEST = hashlib.sha256(BLOB).hexdigest()


def check(verdict, kind, plain, secure, authority):
    fronts = {
        "HTTP/1.1": (f"http://127.0.0.1:{plain.port}", ["--http1.1"], "1.1"),
        "HTTP/2": (f"http://127.0.0.1:{plain.port}", ["--http2-prior-knowledge"], "2"),
        "TLS, HTTP/1.1": (f"https://localhost:{secure.port}", ["--http1.1", "--cacert", authority.root], "1.1"),
        "TLS, HTTP/2": (f"https://localhost:{secure.port}", ["--http2", "--cacert", authority.root], "2"),
    }
    for name, (base, options, version) in fronts.items():
        verdict.attempt(f"curl {name}, backend {kind}", lambda: exchange(base, options, version, kind))
    verdict.attempt(f"curl TLS 1.2 and 1.3 only, backend {kind}", lambda: tls_versions(secure, authority))


def check_untrusted(verdict, upstream):
    def refused():
        with Slidecar(upstream) as proxy:
            equal(curl(f"http://127.0.0.1:{proxy.port}/", [], "%{http_code}")[1], "502")

    verdict.attempt("an https backend of an unknown root is refused", refused)


def exchange(base, options, version, kind):
    backend_version = "2.0" if kind in ("h2c", "https with h2") else "1.1"

    body, said = curl(f"{base}/", options, "%{http_code} %{http_version} %{header_json}")
    status, spoken, fields = said.split(" ", 2)
    equal((body, status, spoken), (b"hello\n", "200", version), "GET")
    equal(json.loads(fields)["x-backend"], [backend_version], "the backend's protocol")

    equal(curl(f"{base}/", [*options, "--head", "--output", os.devnull], "%{http_code} %{size_download}")[1], "200 0", "HEAD")
    for status in ("204", "304", "404", "500"):
        equal(curl(f"{base}/status/{status}", options, "%{http_code}"), (b"", status))

    seen = json.loads(curl(f"{base}/seen", [*options, "-H", "X-One: 1", "-b", "a=1; b=2"], "")[0])
    equal((seen["method"], seen["headers"]["x-one"], seen["headers"]["cookie"]), ("GET", "1", "a=1; b=2"))
    host = base.split("//")[1]
    equal(seen["headers"].get("host", seen["headers"].get(":authority")), host, "the host")

    equal(curl(f"{base}/gzip", [*options, "--compressed"], "")[0], b"hello", "gzip")

    with tempfile.NamedTemporaryFile() as file:
        file.write(BLOB)
        file.flush()
        up = ["--data-binary", f"@{file.name}"]
        whole = {"length": SIZE, "sha256": DIGEST}
        equal(json.loads(curl(f"{base}/hash", [*options, *up], "")[0]), whole, "5 MB up")
        equal(json.loads(curl(f"{base}/hash", [*options, *up, "-H", "Expect: 100-continue"], "")[0]), whole, "5 MB up after 100")
        unknown = ["-T", "-", "-X", "POST"]
        equal(json.loads(curl(f"{base}/hash", [*options, *unknown], "", stdin=BLOB)[0]), whole, "5 MB of unknown length up")
        equal(curl(f"{base}/mirror", [*options, *up], "")[0] == BLOB, True, "5 MB both ways")
    equal(len(curl(f"{base}/bytes/{SIZE}", options, "")[0]), SIZE, "5 MB down")

    # Debian's curl 7.88 cannot use a connection of prior knowledge twice, with any server.
    if "--http2-prior-knowledge" not in options:
        more = [f"{base}/number/2", f"{base}/number/3"]
        equal(curl(f"{base}/number/1", options, "%{num_connects}", more=more), (b"123", "100"), "kept alive")


def tls_versions(secure, authority):
    url = f"https://localhost:{secure.port}/"
    for options in (["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3"]):
        equal(curl(url, [*options, "--cacert", authority.root], "")[0], b"hello\n", options[0])


def curl(url, options, said, stdin=None, more=()):
    """The body, and what curl says of the exchange."""
    # What is said goes to standard error, that it does not mix with the body.
    command = ["curl", "--silent", "--show-error", "--max-time", "20", "--write-out", f"%{{stderr}}{said}", *map(str, options), url, *more]
    ran = subprocess.run(command, capture_output=True, input=stdin if stdin is not None else b"", timeout=30)
    if ran.returncode:
        raise AssertionError(f"curl {url} ended with {ran.returncode}: {ran.stderr.decode()[-300:]}")
    return ran.stdout, ran.stderr.decode()
