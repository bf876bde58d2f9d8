"""Requests as a browser sends them, and session tokens."""

import base64
import hashlib
import hmac
import json
import secrets
import subprocess
import time

# No comma or quote: every configuration language takes it as it is.
SECRET = "a-secret-of-the-benchmark-which-is-longer-than-the-hash-it-keys"
ISSUER = "https://id.example.com"
AUDIENCE = "https://app.example.com"
COOKIE = "session"
# Of an HS256 token with the claims below.
LENGTH = 329
TTL, THRESHOLD = 7200, 3600

# None of these fields is special to any of the proxies; together with a token they are about 700 bytes.
FIELDS = (
    "Host: app.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Accept-Language: en-GB,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Referer: https://app.example.com/account/orders\r\n"
)
OTHERS = ["theme=dark", "locale=en-GB"]
TOKEN = "@TOKEN@"


def request(session=True, others=OTHERS, padding=0):
    """Without a session, a cookie of the same length stands in its place, so that all pass on as many bytes."""
    value = f"{COOKIE}={TOKEN}" if session else "history=" + "4f" * ((LENGTH + len(COOKIE) - len("history")) // 2)
    cookies = "; ".join([*others[:1], value, *others[1:]])
    pad = ""
    while padding > 0:
        # Fields of the size that tracing and client hints have, rather than one of a size that none has.
        part = min(padding, 512)
        pad += f"X-Padding-{padding}: ".ljust(20) + "p" * max(part - 22, 1) + "\r\n"
        padding -= part
    return f"GET /api/orders?page=2 HTTP/1.1\r\n{FIELDS}{pad}Cookie: {cookies}\r\n\r\n"


def websocket_request():
    return (f"GET /socket HTTP/1.1\r\n{FIELDS}Cookie: {COOKIE}={TOKEN}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def payload(number, remaining):
    now = int(time.time())
    # Signed a TTL before it ends, as a backend with this TTL would have.
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": f"user-{number:08}", "sid": secrets.token_hex(16),
              "iat": now + remaining - TTL, "exp": now + remaining, "role": "account-manager"}
    return json.dumps(claims, separators=(",", ":")).encode()


def head(algorithm):
    return b64(json.dumps({"alg": algorithm, "typ": "JWT"}, separators=(",", ":")).encode())


def hs256(path, count, remaining):
    """So many tokens with so many seconds left, all of different sessions, one a line."""
    keyed, start = hmac.new(SECRET.encode(), None, hashlib.sha256), head("HS256") + b"."
    with open(path, "wb") as out:
        for number in range(count):
            mac, signed = keyed.copy(), start + b64(payload(number, remaining))
            mac.update(signed)
            out.write(signed + b"." + b64(mac.digest()) + b"\n")
    return path


KEYS = {
    "RS256": ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "ES256": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "EdDSA": ("ED25519",),
}


def key_pair(directory, algorithm):
    private, public = directory / f"{algorithm}.pem", directory / f"{algorithm}.pub.pem"
    openssl("genpkey", "-algorithm", *KEYS[algorithm], "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    return private, public


def asymmetric(path, algorithm, private, count, remaining):
    with open(path, "wb") as out:
        for number in range(count):
            signed = head(algorithm) + b"." + b64(payload(number, remaining))
            path.with_suffix(".part").write_bytes(signed)
            digest = [] if algorithm == "EdDSA" else ["-digest", "sha256"]
            signature = openssl("pkeyutl", "-sign", "-rawin", *digest, "-inkey", private, "-in", path.with_suffix(".part"))
            out.write(signed + b"." + b64(joined(signature) if algorithm == "ES256" else signature) + b"\n")
    return path


def joined(der):
    """The two numbers of an ECDSA signature as JWS has them: 32 bytes each."""
    first = der[3]
    numbers = der[4:4 + first], der[6 + first:]
    return b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in numbers)


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True).stdout
