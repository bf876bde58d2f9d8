"""HTTP/2 byte by byte: nothing here keeps anyone from sending what is forbidden."""

import select
import socket
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CODES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
         "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"]


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def code(payload):
    number = struct.unpack(">I", payload[:4])[0]
    return CODES[number] if number < len(CODES) else str(number)


def request(path="/", method="GET", authority="localhost", fields=()):
    return [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path), *fields]


class Raw:
    def __init__(self, port, settings=b""):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder, self.buffer = hpack.Encoder(), hpack.Decoder(), b""
        self.decoder.max_header_list_size = 1 << 20
        self.goaway = None
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def block(self, fields):
        # Literals that are never indexed keep the encoder's table, which a refused block would put out of step.
        return self.encoder.encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields], huffman=False)

    def headers(self, stream, fields, end_stream=True):
        """The bytes of a head, in as many frames as it needs."""
        block = self.block(fields)
        parts = [block[at:at + 16384] for at in range(0, len(block), 16384)] or [b""]
        out = b""
        for number, part in enumerate(parts):
            flags = END_HEADERS if number == len(parts) - 1 else 0
            if number == 0:
                out += frame(HEADERS, flags | (END_STREAM if end_stream else 0), stream, part)
            else:
                out += frame(CONTINUATION, flags, stream, part)
        return out

    def frames(self, seconds):
        """Whatever comes in this time; ends with the connection."""
        end = time.monotonic() + seconds
        while True:
            yield from self.parsed()
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                yield "timeout", 0, 0, b""
                return
            try:
                data = self.socket.recv(1 << 18)
            except OSError:
                data = b""
            if not data:
                yield "closed", 0, 0, b""
                return
            self.buffer += data

    def parsed(self):
        """The whole frames of what was read."""
        at, found = 0, []
        while len(self.buffer) - at >= 9:
            length = int.from_bytes(self.buffer[at:at + 3], "big")
            if len(self.buffer) - at < 9 + length:
                break
            kind, flags, stream = self.buffer[at + 3], self.buffer[at + 4], int.from_bytes(self.buffer[at + 5:at + 9], "big")
            payload = self.buffer[at + 9:at + 9 + length]
            at += 9 + length
            if kind == SETTINGS and not flags & ACK:
                self.try_send(frame(SETTINGS, ACK))
            if kind == GOAWAY:
                self.goaway = code(payload[4:])
            if kind == HEADERS:
                # Each one, for the decoder's table has to follow.
                payload = dict(self.decoder.decode(payload))
            found.append((kind, flags, stream, payload))
        self.buffer = self.buffer[at:]
        return found

    def try_send(self, data):
        try:
            self.send(data)
        except OSError:
            pass

    def outcome(self, stream=1, seconds=5):
        """What becomes of a request: a status, a reset, the connection's end, or silence."""
        for kind, _, of, payload in self.frames(seconds):
            if kind == HEADERS and of == stream:
                return payload[":status"]
            if kind == RST_STREAM and of == stream:
                return f"reset {code(payload)}"
            if kind == GOAWAY and self.goaway != "NO_ERROR":
                return f"goaway {self.goaway}"
            if kind in ("closed", "timeout"):
                return kind

    def flood(self, chunk, times, seconds, reads=True):
        """Sends until all went, the peer has had enough, or it takes nothing more; says how often and why it ended."""
        self.socket.setblocking(False)
        end, sent, left = time.monotonic() + seconds, 0, b""
        while time.monotonic() < end:
            if not left:
                if sent == times:
                    return sent, "all sent"
                left, sent = (chunk(sent) if callable(chunk) else chunk), sent + 1
            readable, writable, _ = select.select([self.socket] if reads else [], [self.socket], [], 0.2)
            try:
                if readable:
                    data = self.socket.recv(1 << 18)
                    if not data:
                        return sent, "closed"
                    self.buffer += data
                    self.parsed()
                if writable:
                    left = left[self.socket.send(left):]
            except BlockingIOError:
                continue
            except OSError as error:
                return sent, type(error).__name__
        return sent, "takes nothing more" if left else "time is up"

    def reason(self, seconds=1):
        """Why a connection was ended, if it was."""
        self.socket.setblocking(True)
        for kind, *_ in self.frames(seconds):
            if self.goaway not in (None, "NO_ERROR"):
                return f"GOAWAY {self.goaway}"
            if kind == "closed":
                return "closed"
        return "still open"
