"""gRPC with the real library at both ends: directly (to know that the checks are right), through slidecar over h2c, and
with TLS in front."""

import concurrent.futures
import contextlib
import pathlib
import queue
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import grpc
from harness import Authority, Slidecar, Verdict, equal, free_port

PATIENCE = 10
MEGABYTE = 1 << 20


class Service(grpc.GenericRpcHandler):
    """Methods on bytes, so that nothing has to be generated."""

    def __init__(self):
        self.cancelled = threading.Event()
        self.released = threading.Event()
        self.arrived = threading.Event()

    def service(self, call):
        name = call.method.rsplit("/", 1)[1]
        kinds = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
            "Release": grpc.unary_unary_rpc_method_handler(self.release),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Drip": grpc.unary_stream_rpc_method_handler(self.drip),
            "Break": grpc.unary_stream_rpc_method_handler(self.break_off),
            "Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
        }
        return kinds.get(name)

    def echo(self, request, context):
        metadata = context.invocation_metadata()
        sent = [(pair.key, pair.value) for pair in metadata if pair.key.startswith("x-")]
        context.send_initial_metadata([("x-initial", "first"), *sent])
        context.set_trailing_metadata([("x-trailing", "last"), ("x-trailing-bin", bytes(range(256)))])
        return request

    def fail(self, request, context):
        context.set_trailing_metadata([("x-why", "no such thing"), ("grpc-status-details-bin", b"\x08\x05\xff")])
        context.abort(grpc.StatusCode.NOT_FOUND, "not found: größe 100%")

    def hang(self, request, context):
        gone = threading.Event()
        context.add_callback(gone.set)
        self.arrived.set()
        if gone.wait(PATIENCE):
            self.cancelled.set()
        return b""

    def release(self, request, context):
        self.released.set()
        return b""

    def count(self, request, context):
        for number in range(int(request)):
            yield b"%d" % number

    def drip(self, request, context):
        """The second message waits for a call that only a client can make that has the first."""
        yield b"one"
        yield b"two" if self.released.wait(PATIENCE) else b"late"

    def break_off(self, request, context):
        yield b"one"
        context.abort(grpc.StatusCode.DATA_LOSS, "broke")

    def sum(self, requests, context):
        total = 0
        for request in requests:
            total += len(request)
            self.arrived.set()
        return b"%d" % total

    def talk(self, requests, context):
        yield from requests


@contextlib.contextmanager
def serving(port, service):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(40), handlers=[service])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield server
    finally:
        server.stop(0).wait()


class Client:
    def __init__(self, channel, service):
        self.channel, self.service = channel, service
        self.unary = lambda name: channel.unary_unary(f"/t.T/{name}")
        self.server_stream = lambda name: channel.unary_stream(f"/t.T/{name}")
        self.client_stream = lambda name: channel.stream_unary(f"/t.T/{name}")
        self.both = lambda name: channel.stream_stream(f"/t.T/{name}")

    def unary_with_metadata_and_trailers(self):
        body, call = self.unary("Echo").with_call(b"hello", metadata=[("x-one", "1"), ("x-blob-bin", b"\x00\xff,")], timeout=PATIENCE)
        equal(body, b"hello")
        initial = dict(call.initial_metadata())
        equal((initial["x-initial"], initial["x-one"], initial["x-blob-bin"]), ("first", "1", b"\x00\xff,"))
        trailing = dict(call.trailing_metadata())
        equal((trailing["x-trailing"], trailing["x-trailing-bin"]), ("last", bytes(range(256))))
        equal(call.code(), grpc.StatusCode.OK)

    def an_empty_message(self):
        equal(self.unary("Echo")(b"", timeout=PATIENCE), b"")

    def an_error_status_with_its_details(self):
        error = fails(lambda: self.unary("Fail")(b"", timeout=PATIENCE))
        equal((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "not found: größe 100%"))
        trailing = dict(error.trailing_metadata())
        equal((trailing["x-why"], trailing["grpc-status-details-bin"]), ("no such thing", b"\x08\x05\xff"))

    def an_unknown_method(self):
        equal(fails(lambda: self.unary("Nothing")(b"", timeout=PATIENCE)).code(), grpc.StatusCode.UNIMPLEMENTED)

    def server_streaming(self):
        equal(list(self.server_stream("Count")(b"500", timeout=PATIENCE)), [b"%d" % number for number in range(500)])

    def server_streaming_is_not_buffered(self):
        self.service.released.clear()
        answers = self.server_stream("Drip")(b"", timeout=PATIENCE)
        equal(next(answers), b"one")
        self.unary("Release")(b"", timeout=PATIENCE)
        equal(list(answers), [b"two"])

    def an_error_after_messages(self):
        answers = self.server_stream("Break")(b"", timeout=PATIENCE)
        equal(next(answers), b"one")
        error = fails(lambda: next(answers))
        equal((error.code(), error.details()), (grpc.StatusCode.DATA_LOSS, "broke"))

    def client_streaming(self):
        equal(self.client_stream("Sum")(iter([b"x" * 1000] * 100), timeout=PATIENCE), b"100000")

    def client_streaming_is_not_buffered(self):
        self.service.arrived.clear()

        def messages():
            yield b"x"
            # The rest is sent only when the server has the first.
            yield b"yy" if self.service.arrived.wait(PATIENCE / 2) else b""

        equal(self.client_stream("Sum")(messages(), timeout=PATIENCE), b"3")

    def talking_in_turns(self):
        questions = queue.Queue()
        answers = self.both("Talk")(iter(questions.get, None), timeout=PATIENCE)
        for number in range(200):
            questions.put(b"%d" % number)
            equal(next(answers), b"%d" % number)
        questions.put(None)
        equal(list(answers), [])
        equal(answers.code(), grpc.StatusCode.OK)

    def a_megabyte(self):
        blob = bytes(range(256)) * 4096
        equal(self.unary("Echo")(blob, timeout=PATIENCE) == blob, True)

    def sixteen_megabytes_in_messages_both_ways(self):
        blob = b"x" * (MEGABYTE // 4)
        answers = self.both("Talk")(iter([blob] * 64), timeout=PATIENCE)
        equal(sum(len(answer) for answer in answers), 16 * MEGABYTE)

    def a_hundred_at_once(self):
        calls = [self.unary("Echo").future(b"%d" % number, timeout=PATIENCE) for number in range(100)]
        equal([call.result() for call in calls], [b"%d" % number for number in range(100)])

    def a_deadline(self):
        self.service.cancelled.clear()
        equal(fails(lambda: self.unary("Hang")(b"", timeout=0.5)).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        equal(self.service.cancelled.wait(3), True, "the server heard of it")

    def a_cancellation(self):
        """Without a deadline, which the server would watch by itself."""
        self.service.cancelled.clear()
        self.service.arrived.clear()
        call = self.unary("Hang").future(b"")
        equal(self.service.arrived.wait(PATIENCE), True, "arrived")
        call.cancel()
        equal(self.service.cancelled.wait(3), True, "the server heard of it")


CHECKS = [name for name, item in vars(Client).items() if callable(item) and not name.startswith("_")]


def fails(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("no error")


def check_all(verdict, way, channel, service):
    client = Client(channel, service)
    for name in CHECKS:
        verdict.attempt(f"{way}: {name.replace('_', ' ')}", getattr(client, name))


def faults(verdict, port):
    """What a client sees of a backend that goes and comes."""
    service = Service()
    with Slidecar(f"h2c://127.0.0.1:{port}") as proxy, insecure(proxy.port) as channel:
        client = Client(channel, service)

        def no_backend():
            equal(fails(lambda: client.unary("Echo")(b"", timeout=PATIENCE)).code(), grpc.StatusCode.UNAVAILABLE)

        def comes():
            with serving(port, service) as server:
                equal(client.unary("Echo")(b"here", timeout=PATIENCE), b"here")
                service.released.clear()
                answers = client.server_stream("Drip")(b"", timeout=PATIENCE)
                equal(next(answers), b"one")
                server.stop(0)
                error = fails(lambda: list(answers))
                service.released.set()
                return f"cut off: {error.code().name}"

        def comes_again():
            with serving(port, service):
                equal(client.unary("Echo")(b"again", timeout=PATIENCE), b"again")

        verdict.attempt("faults: no backend is UNAVAILABLE", no_backend)
        verdict.attempt("faults: the backend comes, and is stopped in the middle of a stream", comes)
        verdict.attempt("faults: a backend that comes again is found", comes_again)
        verdict.check("faults: slidecar is well", proxy.is_alive() and not proxy.panics())


def insecure(port):
    return grpc.insecure_channel(f"127.0.0.1:{port}")


def main():
    verdict = Verdict("grpc")
    service, port = Service(), free_port()
    with serving(port, service):
        with insecure(port) as channel:
            check_all(verdict, "direct", channel, service)
        with Slidecar(f"h2c://127.0.0.1:{port}") as proxy, insecure(proxy.port) as channel:
            check_all(verdict, "through", channel, service)
            verdict.check("through: slidecar is well", proxy.is_alive() and not proxy.panics(), "%.0f MB, %.0f at the most" % proxy.memory())
        with Authority() as authority, Slidecar(f"h2c://127.0.0.1:{port}", tls=authority.issue("front")) as proxy:
            trust = grpc.ssl_channel_credentials(authority.root.read_bytes())
            with grpc.secure_channel(f"localhost:{proxy.port}", trust) as channel:
                check_all(verdict, "tls", channel, service)
    faults(verdict, free_port())
    verdict.end()


main()
