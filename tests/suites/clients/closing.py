"""A connection that slidecar ends loses none of the answers that it sent, although the client has sent more."""

import socket
import time

from harness import Slidecar, equal

LIMIT = 20
SIZE = 20000


def check(verdict, upstream):
    with Slidecar(upstream, SLIDECAR_MAX_REQUESTS=LIMIT) as proxy:
        for name, padding in {"small heads": 0, "heads that are not all read": 2000}.items():
            verdict.attempt(f"pipelining beyond SLIDECAR_MAX_REQUESTS, {name}", lambda: pipeline(proxy, padding))


def pipeline(proxy, padding):
    request = b"GET /bytes/%d HTTP/1.1\r\nHost: localhost\r\nX-Padding: %s\r\n\r\n" % (SIZE, b"y" * padding)
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        client.sendall(request * 100)
        # By now slidecar has closed; whoever is reset then has lost what was not read.
        time.sleep(1)
        text = b""
        while part := client.recv(4096):
            text += part
    heads = text.count(b"HTTP/1.1 200 OK\r\n")
    bodies = sum(len(part.split(b"\r\n\r\n", 1)[1]) for part in text.split(b"HTTP/1.1 200 OK\r\n")[1:])
    equal((heads, bodies), (LIMIT, LIMIT * SIZE), "answers and bytes")
    return f"{heads} answers"
