"""Real collectors on loopback, over HTTP and gRPC, that keep what they are sent."""

from __future__ import annotations

from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)


@contextmanager
def served(handler):
    """A server of HTTP with threads; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *args: None
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def http_collector(statuses=(), hold=None, answer=b"", headers=()):
    """Answers with the statuses in turn, then with 200; its address, what it was sent, and where to."""
    requests, paths, left = [], [], list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if hold is not None:
                hold.wait(300)
            status = left.pop(0) if left else 200
            paths.append(self.path)
            if status == 200 and self.path.endswith("/metrics"):
                requests.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    with served(Handler) as endpoint:
        yield endpoint, requests, paths


@contextmanager
def grpc_collector(*, metrics=True):
    """One that may not know of metrics at all."""
    requests = []

    class Servicer(MetricsServiceServicer):
        def Export(self, request, context):
            requests.append(request)
            return ExportMetricsServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    if metrics:
        add_MetricsServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", requests
    finally:
        server.stop(None).wait()


def points(request):
    """Metric -> its data points."""
    return {
        metric.name: list(metric.histogram.data_points)
        for group in request.resource_metrics
        for scope in group.scope_metrics
        for metric in scope.metrics
    }
