"""Requests and frames that are wrong, and what must become of them."""

import struct

from raw import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
                 frame, request)

LONG = "x" * 9000


def bad(*fields, path="/bad", method="GET", authority="localhost"):
    return request(path, method, authority, fields)


def without(name):
    return [field for field in bad() if field[0] != name]


def replaced(name, value):
    return [(name, value) if field[0] == name else field for field in bad()]


# A head alone, which ends the stream.
HEADS = {
    "no :path": without(":path"),
    "no :method": without(":method"),
    "no :scheme": without(":scheme"),
    "no host at all": without(":authority"),
    "an empty :path": replaced(":path", ""),
    ":path without a slash": replaced(":path", "bad"),
    ":path with a space": replaced(":path", "/bad HTTP/1.1"),
    ":path with CR LF": replaced(":path", "/bad HTTP/1.1\r\nHost: evil\r\n\r\nGET /bad2"),
    ":path with NUL": replaced(":path", "/bad\0"),
    ":path with a URL": replaced(":path", "http://evil/bad"),
    ":path with *": [(":method", "OPTIONS"), (":scheme", "http"), (":authority", "localhost"), (":path", "*")],
    ":path with a bad escape": replaced(":path", "/bad%zz"),
    ":path with %00": replaced(":path", "/bad%00"),
    ":path too long": replaced(":path", "/bad" + LONG),
    ":method with CR LF": replaced(":method", "GET /bad HTTP/1.1\r\nHost: evil\r\n\r\nGET"),
    ":method with a space": replaced(":method", "GET /bad"),
    ":method CONNECT": [(":method", "CONNECT"), (":authority", "bad:443")],
    ":method TRACE": replaced(":method", "TRACE"),
    ":scheme ftp": replaced(":scheme", "ftp"),
    ":scheme with CR LF": replaced(":scheme", "http\r\nx: y"),
    ":authority with a user": replaced(":authority", "user@localhost"),
    ":authority with CR LF": replaced(":authority", "localhost\r\nx: y"),
    ":authority with a path": replaced(":authority", "localhost/bad"),
    ":authority is not host": bad(("host", "evil")),
    "host twice": without(":authority") + [("host", "localhost"), ("host", "evil")],
    "host with a space": without(":authority") + [("host", "local host")],
    ":path twice": bad() + [(":path", "/bad2")],
    ":method twice": [(":method", "POST")] + bad(),
    ":status in a request": [(":status", "200")] + bad(),
    "an unknown pseudo field": [(":bad", "1")] + bad(),
    ":protocol without being asked": [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "localhost"), (":path", "/bad")],
    "a pseudo field after others": [*bad()[:3], ("x", "y"), (":path", "/bad")],
    "transfer-encoding": bad(("transfer-encoding", "chunked")),
    "connection": bad(("connection", "close")),
    "keep-alive": bad(("keep-alive", "5")),
    "proxy-connection": bad(("proxy-connection", "keep-alive")),
    "upgrade": bad(("upgrade", "websocket")),
    "te other than trailers": bad(("te", "gzip")),
    "a name in upper case": bad(("X-Upper", "1")),
    "a name with a space": bad(("x y", "1")),
    "a name with a colon": bad(("x:y", "1")),
    "a name with CR LF": bad(("x\r\ny", "1")),
    "an empty name": bad(("", "1")),
    "a name beyond ASCII": bad((b"x\xff", "1")),
    "a value with CR LF": bad(("x", "1\r\nhost: evil")),
    "a value with LF": bad(("x", "1\nhost: evil")),
    "a value with CR": bad(("x", "1\rhost: evil")),
    "a value with NUL": bad(("x", "1\0")),
    "content-length with an end": bad(("content-length", "5"), method="POST"),
    "content-length twice": bad(("content-length", "0"), ("content-length", "5"), method="POST"),
    "content-length with a sign": bad(("content-length", "+0"), method="POST"),
    "content-length of no number": bad(("content-length", "zero"), method="POST"),
    "content-length of two": bad(("content-length", "0, 0"), method="POST"),
    "authorization twice": bad(("authorization", "a"), ("authorization", "b")),
    "an unknown expectation": bad(("expect", "the spanish inquisition")),
    "a hundred and one fields": bad(*((f"x-{number}", "1") for number in range(101))),
    "a hundred and one crumbs": bad(*(("cookie", f"a{number}=1") for number in range(101))),
    "a head of 40 KB": bad(*((f"x-{number}", "y" * 4000) for number in range(10))),
    "a head of 1 MB": bad(*((f"x-{number}", "y" * 16000) for number in range(64))),
}


def post(length):
    return bad(("content-length", str(length)), method="POST")


def trailers(fields, end_stream=True):
    return lambda raw: raw.headers(1, fields, end_stream)


# A head that does not end the stream, and what follows. The head may reach the backend before the fault is seen, but the
# message never as a whole.
BODIES = {
    "less data than content-length": (post(5), frame(DATA, END_STREAM, 1, b"abc")),
    "no data where content-length says some": (post(5), frame(DATA, END_STREAM, 1, b"")),
    "more data than content-length": (post(5), frame(DATA, 0, 1, b"abcde") + frame(DATA, END_STREAM, 1, b"GET /bad2 HTTP/1.1\r\n\r\n")),
    "more data than content-length in one frame": (post(5), frame(DATA, END_STREAM, 1, b"abcdefgh")),
    "trailers that are not the end": (bad(method="POST"), trailers([("x", "y")], end_stream=False)),
    "CR LF in trailers": (bad(method="POST"), trailers([("x", "y\r\n\r\nGET /bad2")])),
    "an upper case name in trailers": (bad(method="POST"), trailers([("X", "y")])),
    "connection in trailers": (bad(method="POST"), trailers([("connection", "close")])),
    "padding longer than the frame": (post(5), frame(DATA, END_STREAM | 8, 1, b"\xffabcde")),
    "the client resets": (post(5), frame(DATA, 0, 1, b"abc") + frame(RST_STREAM, 0, 1, struct.pack(">I", 8))),
    "the client resets a body of unknown length": (bad(method="POST"), frame(DATA, 0, 1, b"abc") + frame(RST_STREAM, 0, 1, struct.pack(">I", 8))),
}


def whole(raw, stream=1):
    return raw.headers(stream, bad())


# Breaches of the protocol itself: the connection has to go (RFC 9113), or the stream.
FRAMES = {
    "an even stream": lambda raw: whole(raw, 2),
    "stream 0": lambda raw: whole(raw, 0),
    "data on an idle stream": lambda raw: frame(DATA, END_STREAM, 1, b"x"),
    "a reset of an idle stream": lambda raw: frame(RST_STREAM, 0, 1, struct.pack(">I", 8)),
    "a window update of 0": lambda raw: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0)),
    "a window beyond 2^31": lambda raw: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF)) * 2,
    "settings of 5 bytes": lambda raw: frame(SETTINGS, 0, 0, b"12345"),
    "settings on a stream": lambda raw: frame(SETTINGS, 0, 1, b""),
    "a setting out of range": lambda raw: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0x80000000)),
    "a ping of 7 bytes": lambda raw: frame(PING, 0, 0, b"1234567"),
    "a push promise": lambda raw: frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + raw.block(bad())),
    "a frame of 20 KB": lambda raw: frame(DATA, 0, 1, b"x" * 20000),
    "a head that is no HPACK": lambda raw: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff"),
    "an index of HPACK that is not there": lambda raw: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xfe"),
    "a table of HPACK beyond its bound": lambda raw: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xff\xff\x3f" + raw.block(bad())),
    "another frame within a head": lambda raw: frame(HEADERS, END_STREAM, 1, raw.block(bad())) + frame(PING, 0, 0, b"12345678"),
    "a continuation of another stream": lambda raw: frame(HEADERS, END_STREAM, 1, raw.block(bad())) + frame(CONTINUATION, END_HEADERS, 3, b""),
    "a continuation of nothing": lambda raw: frame(CONTINUATION, END_HEADERS, 1, raw.block(bad())),
    "a stream that depends on itself": lambda raw: frame(HEADERS, END_HEADERS | END_STREAM | 0x20, 1, struct.pack(">IB", 1, 1) + raw.block(bad())),
    "a priority of 4 bytes": lambda raw: frame(PRIORITY, 0, 1, b"1234"),
}
