"""Collectors that behave as a test wants: over HTTP and gRPC, and programs that are none."""

from __future__ import annotations

import gzip
import socket
import threading
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from profiler.exchange.documents import items_of


@dataclass
class Collector:
    """What came, and what is answered."""

    items: list = field(default_factory=list)
    requests: list = field(default_factory=list)  # headers of each
    answers: list = field(default_factory=list)  # (status, body, headers) of the next ones; then 200
    rejected: int = 0
    most_bytes: int | None = None
    hold: threading.Event | None = None

    @property
    def names(self):
        return [item.span["name"] for item in self.items]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        does = self.server.collector
        body = self.rfile.read(int(self.headers["content-length"]))
        does.requests.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
        if does.hold is not None:
            does.hold.wait(300)
        if does.answers:
            return self._answer(*does.answers.pop(0))
        if does.most_bytes is not None and len(body) > does.most_bytes:
            return self._answer(413, b"too large", {})
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.headers["content-type"] == "application/json":
            import json

            does.items.extend(items_of(json.loads(body)))
            return self._answer(200, b'{"partialSuccess":{}}', {"content-type": "application/json"})
        does.items.extend(items_of(json_format.MessageToDict(ExportTraceServiceRequest.FromString(body))))
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = does.rejected
        response.partial_success.error_message = "no room" if does.rejected else ""
        return self._answer(200, response.SerializeToString(), {"content-type": "application/x-protobuf"})

    def _answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def http_collector():
    """(address, collector)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.collector = Collector()
    server.handle_error = lambda *args: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def grpc_collector(code=None):
    """(address, collector); with a code, every call ends with it."""
    collector = Collector()

    class Servicer(TraceServiceServicer):
        def Export(self, request, context):
            collector.requests.append(dict(context.invocation_metadata()))
            if code is not None:
                context.abort(code, "on purpose")
            collector.items.extend(items_of(json_format.MessageToDict(request)))
            response = ExportTraceServiceResponse()
            response.partial_success.rejected_spans = collector.rejected
            return response

    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", collector
    finally:
        server.stop(None).wait()


@contextmanager
def raw_server(answer=b"", *, hang=False):
    """A program that says something else, or nothing, to whoever connects."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    over = threading.Event()
    held = []

    def serve():
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            if hang:
                held.append(connection)
                continue
            with connection:
                connection.settimeout(2)
                try:
                    connection.recv(65536)
                    connection.sendall(answer)
                except OSError:
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        thread.join()
        for connection in held:
            connection.close()
        listener.close()


def free_port():
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def answering(pieces, pause_s=0.0):
    """A server that sends pieces to whoever connects, one after the other, and the last one again and again."""
    over = threading.Event()

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection):
        with connection, suppress(OSError):
            connection.recv(4096)
            for piece in pieces:
                connection.sendall(piece)
                if over.wait(pause_s):
                    return
            while pause_s and not over.wait(pause_s):
                connection.sendall(pieces[-1])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
