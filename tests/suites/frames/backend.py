"""A backend that records what reaches it, whole or not."""

import asyncio
import threading

BLOCK = b"x" * 65536


class Backend:
    """/slow answers after a second, /stall never reads a body, /big answers with many bytes."""

    def __init__(self):
        self.records, self.lock = [], threading.Lock()
        self.open = self.most_open = 0
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait(10)

    async def _serve(self, ready):
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0, limit=1 << 20, backlog=2000)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def _converse(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                record = {"head": head, "path": head.split(b" ")[1].decode("latin-1"), "body": b"", "complete": False}
                with self.lock:
                    self.records.append(record)
                    self.open += 1
                    self.most_open = max(self.most_open, self.open)
                try:
                    await self._answer(record, reader, writer)
                finally:
                    with self.lock:
                        self.open -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, record, reader, writer):
        if record["path"].startswith("/stall"):
            # Until the connection is ended, which a reader that does not read would not hear of.
            while not writer.transport.is_closing() and not reader.at_eof():
                await asyncio.sleep(0.1)
            raise ConnectionError
        fields = record["head"].lower()
        if b"\r\ntransfer-encoding: chunked" in fields:
            while True:
                size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
                record["body"] += (await reader.readexactly(size + 2))[:-2]
                if size == 0:
                    break
        elif b"\r\ncontent-length: " in fields:
            length = int(fields.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
            while len(record["body"]) < length:
                part = await reader.read(length - len(record["body"]))
                if not part:
                    raise ConnectionError
                record["body"] += part
        record["complete"] = True
        if record["path"].startswith("/slow"):
            await asyncio.sleep(1)
        blocks = 80 if record["path"].startswith("/big") else 0
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nok" % (2 + blocks * len(BLOCK)))
        for _ in range(blocks):
            writer.write(BLOCK)
            await writer.drain()
        await writer.drain()

    def of(self, start):
        with self.lock:
            return [record for record in self.records if record["path"].startswith(start)]
