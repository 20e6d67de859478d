"""Live export, to real receivers over HTTP and gRPC: and to ones that are dead, slow or wrong."""

from __future__ import annotations

import socket
import threading
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from profiler.errors import UsageError
from profiler.record.live import LiveExport, protocol_of
from profiler.record.recorder import Recorder


@contextmanager
def http_collector(status=200, hold=None):
    names = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if hold is not None:
                hold.wait(300)
            names.extend(span_names(ExportTraceServiceRequest.FromString(body)))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *args: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", names
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def span_names(request):
    return [span.name for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


def send(endpoint, chains=1, wait_s=5.0):
    live = LiveExport(endpoint)
    with Recorder(service_name="agent", resource={}, sinks=[live.offer]) as recorder:
        for _ in range(chains):
            span = recorder.start_trace("chain", {}, 1)
            span.end(2)
            recorder.deliver(span.trace_id)
    return live.close(wait_s)


def test_spans_arrive_over_http():
    with http_collector() as (endpoint, names):
        export = send(endpoint, chains=3)
    assert names == ["chain"] * 3
    assert (export.sent, export.not_sent, export.protocol) == (3, 0, "http/protobuf")


def test_spans_arrive_over_grpc(monkeypatch):
    names = []

    class Servicer(TraceServiceServicer):
        def Export(self, request, context):
            names.extend(span_names(request))
            return ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    try:
        export = send(f"http://127.0.0.1:{port}", chains=2)
    finally:
        server.stop(None).wait()
    assert names == ["chain"] * 2
    assert (export.sent, export.not_sent, export.protocol) == (2, 0, "grpc")


def test_a_dead_collector_is_told_and_nothing_is_raised():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    export = send(f"http://127.0.0.1:{port}", chains=2, wait_s=0.3)
    assert (export.sent, export.not_sent) == (0, 2)
    assert export.error


def test_a_refusing_collector_is_told_with_its_answer():
    with http_collector(status=404) as (endpoint, _):
        export = send(endpoint)
    assert export.not_sent == 1
    assert "404" in export.error


def test_a_hanging_collector_costs_only_the_stated_wait():
    hold = threading.Event()
    with http_collector(hold=hold) as (endpoint, _):
        export = send(endpoint, chains=5, wait_s=0.2)
        hold.set()
    assert export.not_sent == 5
    assert export.error


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [
        ("http://127.0.0.1:4317", "grpc"),
        ("http://127.0.0.1:4318", "http/protobuf"),
        ("https://collector.example/v1/traces", "http/protobuf"),
    ],
)
def test_the_protocol_follows_the_usual_port(endpoint, protocol):
    assert protocol_of(endpoint, {}) == protocol


def test_the_standard_variable_decides_the_protocol():
    assert protocol_of("http://x:4318", {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}) == "grpc"


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://x", "http://", "http://x:99999"])
def test_what_is_no_address_is_refused(endpoint):
    with pytest.raises(UsageError):
        protocol_of(endpoint, {})


def test_credentials_in_the_address_are_not_kept():
    with http_collector() as (endpoint, _):
        export = send(endpoint.replace("http://", "http://user:secret@"))
    assert "secret" not in export.endpoint
