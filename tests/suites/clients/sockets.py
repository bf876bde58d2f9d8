"""WebSockets with the real library at both ends."""

import asyncio
import os
import ssl
import struct
from socket import SO_LINGER, SOL_SOCKET

import websockets
from harness import Slidecar, equal

MEGABYTE = 1 << 20
PATIENCE = 5


def reset(socket):
    """As after a crash: the peer gets a reset and no end."""
    socket.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    socket.transport.abort()


class Server:
    """Echoes, and remembers how connections to some paths ended."""

    def __init__(self):
        self.ends = {path: asyncio.Queue() for path in ("/bye", "/gone", "/reset")}

    async def handle(self, socket):
        path = socket.request.path
        try:
            if path == "/closes":
                await socket.close(4002, "enough")
            elif path == "/pings":
                await asyncio.wait_for(await socket.ping(b"are you there"), PATIENCE)
                await socket.send("there")
                await socket.wait_closed()
            elif path == "/drops":
                await socket.recv()
                socket.transport.abort()
            elif path == "/resets":
                await socket.recv()
                reset(socket)
            else:
                async for message in socket:
                    await socket.send(message)
        except websockets.ConnectionClosed:
            pass
        await socket.wait_closed()
        if path in self.ends:
            await self.ends[path].put((socket.close_code, socket.close_reason))

    @staticmethod
    def refuse(connection, request):
        if request.path == "/forbidden":
            return connection.respond(403, "not you\n")
        return None


class Check:
    def __init__(self, connect, server):
        self.connect, self.server = connect, server

    async def text_and_binary(self):
        async with self.connect("/") as socket:
            for message in ("", "grüße ☃ 𝄞", "x" * 70000, b"", os.urandom(MEGABYTE)):
                await socket.send(message)
                equal(await socket.recv() == message, True)

    async def a_message_in_fragments(self):
        async with self.connect("/") as socket:
            await socket.send([b"one ", b"two ", b"three"])
            equal(await socket.recv(), b"one two three")

    async def a_hundred_in_turns(self):
        async with self.connect("/") as socket:
            for number in range(100):
                await socket.send(str(number))
                equal(await socket.recv(), str(number))

    async def pings_both_ways(self):
        async with self.connect("/pings") as socket:
            await asyncio.wait_for(await socket.ping(b"hello"), PATIENCE)
            equal(await asyncio.wait_for(socket.recv(), PATIENCE), "there")

    async def the_client_closes(self):
        async with self.connect("/bye") as socket:
            await socket.send("x")
            await socket.recv()
            await socket.close(3001, "bye")
            equal((socket.close_code, socket.close_reason), (3001, "bye"))
        equal(await asyncio.wait_for(self.server.ends["/bye"].get(), PATIENCE), (3001, "bye"))

    async def the_server_closes(self):
        async with self.connect("/closes") as socket:
            await asyncio.wait_for(socket.wait_closed(), PATIENCE)
            equal((socket.close_code, socket.close_reason), (4002, "enough"))

    async def the_client_drops_out(self):
        async with self.connect("/gone") as socket:
            await socket.send("x")
            await socket.recv()
            socket.transport.abort()
        equal(await asyncio.wait_for(self.server.ends["/gone"].get(), PATIENCE), (1006, ""))

    async def the_server_drops_out(self):
        async with self.connect("/drops") as socket:
            await socket.send("x")
            await asyncio.wait_for(socket.wait_closed(), PATIENCE)
            equal(socket.close_code, 1006)

    async def the_client_is_reset(self):
        async with self.connect("/reset") as socket:
            await socket.send("x")
            await socket.recv()
            reset(socket)
        equal(await asyncio.wait_for(self.server.ends["/reset"].get(), PATIENCE), (1006, ""))

    async def the_server_is_reset(self):
        async with self.connect("/resets") as socket:
            await socket.send("x")
            await asyncio.wait_for(socket.wait_closed(), PATIENCE)
            equal(socket.close_code, 1006)

    async def a_subprotocol_and_compression(self):
        async with self.connect("/") as socket:
            equal(socket.subprotocol, "chat")
            equal([type(extension).__name__ for extension in socket.protocol.extensions], ["PerMessageDeflate"])
            await socket.send("a" * 100000)
            equal(await socket.recv(), "a" * 100000)

    async def a_refused_handshake(self):
        try:
            async with self.connect("/forbidden"):
                raise AssertionError("opened")
        except websockets.InvalidStatus as refused:
            equal((refused.response.status_code, bytes(refused.response.body)), (403, b"not you\n"))

    async def fifty_at_once(self):
        async def one(number):
            async with self.connect("/") as socket:
                for turn in range(20):
                    await socket.send(f"{number}-{turn}")
                    equal(await socket.recv(), f"{number}-{turn}")

        await asyncio.gather(*(one(number) for number in range(50)))


CHECKS = [name for name, item in vars(Check).items() if callable(item) and not name.startswith("_")]


def check(verdict, authority, front):
    asyncio.run(all_ways(verdict, authority, front))


async def all_ways(verdict, authority, front):
    behind = authority.issue("sockets")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(behind.cert, behind.key)
    trust = ssl.create_default_context(cafile=authority.root)
    server = Server()
    path = str(authority.dir / "sockets.sock")
    options = {"max_size": 4 * MEGABYTE, "subprotocols": ["chat"], "process_request": server.refuse}
    async with (
        websockets.serve(server.handle, "127.0.0.1", 0, **options) as plain,
        websockets.serve(server.handle, "127.0.0.1", 0, ssl=tls, **options) as secure,
        websockets.unix_serve(server.handle, path, **options),
    ):
        port, tls_port = (one.sockets[0].getsockname()[1] for one in (plain, secure))
        await run(verdict, "direct", server, f"ws://127.0.0.1:{port}", None)
        ways = {
            "through": (f"http://127.0.0.1:{port}", None, {}),
            "TLS in front": (f"http://127.0.0.1:{port}", front, {}),
            "TLS behind": (f"https://localhost:{tls_port}", None, {"SLIDECAR_UPSTREAM_CA_FILE": authority.root}),
            "a path behind": (f"unix:{path}", None, {}),
        }
        for way, (upstream, pair, settings) in ways.items():
            with Slidecar(upstream, tls=pair, **settings) as proxy:
                base = f"wss://localhost:{proxy.port}" if pair else f"ws://127.0.0.1:{proxy.port}"
                await run(verdict, way, server, base, trust if pair else None)
                verdict.check(f"websockets {way}: slidecar is well", proxy.is_alive() and not proxy.panics())


async def run(verdict, way, server, base, trust):
    def connect(path, **options):
        return websockets.connect(base + path, ssl=trust, subprotocols=["chat"], max_size=4 * MEGABYTE, open_timeout=PATIENCE, proxy=None, **options)

    # What an earlier way left hanging has ended by now.
    await asyncio.sleep(0.2)
    for ends in server.ends.values():
        while not ends.empty():
            ends.get_nowait()
    for name in CHECKS:
        label = f"websockets {way}: {name.replace('_', ' ')}"
        try:
            await asyncio.wait_for(getattr(Check(connect, server), name)(), 20)
            verdict.check(label, True)
        except Exception as error:
            verdict.check(label, False, f"{type(error).__name__}: {error}")
