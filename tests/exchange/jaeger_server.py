"""Jaeger's query API of version 3 over HTTP, from its published gateway: for tests, where Jaeger itself cannot run.

`/api/v3/services` lists names. `/api/v3/traces` wants a service and a window of start times, and gives whole traces of
which a span of that service starts in the window: of more than `searchDepth` the latest, and 404 with "No traces found"
where there are none. `/v1/traces` takes spans, as Jaeger's receiver does.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from profiler.exchange.documents import attribute, document, items_of


@dataclass
class Store:
    """What the server has, and how it misbehaves."""

    traces: dict[str, list] = field(default_factory=dict)
    queries: list[dict[str, str]] = field(default_factory=list)
    fail: list[tuple[int, bytes]] = field(default_factory=list)  # (status, body) of the next answers to queries
    break_after: int | None = None  # so many queries of traces are answered, then the connection is cut
    token: str | None = None
    streamed: bool = False  # a result per trace, as a gateway that streams sends them

    def add(self, items):
        for item in items:
            self.traces.setdefault(item.trace_id, []).append(item)

    def services(self):
        return sorted({service_of(item) for items in self.traces.values() for item in items})

    def find(self, service, since, until, depth):
        found = []
        for items in self.traces.values():
            starts = [item.start_ns for item in items if service_of(item) == service]
            inside = [start for start in starts if since <= start <= until]
            if inside:
                found.append((min(item.start_ns for item in items), items))
        found.sort(key=lambda each: each[0], reverse=True)
        return [items for _, items in found[:depth]]


def service_of(item):
    return str(attribute(item.resource, "service.name"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        store = self.server.store
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if store.token and self.headers.get("authorization") != f"Bearer {store.token}":
            return self._answer(401, b"no token")
        if parts.path == "/api/v3/services":
            return self._answer(200, json.dumps({"services": store.services()}).encode())
        if parts.path != "/api/v3/traces":
            return self._answer(404, b"404 page not found")
        store.queries.append(query)
        if store.break_after is not None and len(store.queries) > store.break_after:
            self.close_connection = True
            return self.connection.close()
        if store.fail:
            return self._answer(*store.fail.pop(0))
        window = [nanoseconds(query[f"query.start_time_{end}"]) for end in ("min", "max")]
        found = store.find(query["query.service_name"], *window, int(query["query.num_traces"]))
        if not found:
            error = {"error": {"httpCode": 404, "message": "No traces found"}}
            return self._answer(404, json.dumps(error).encode())
        if store.streamed:
            return self._answer(200, b"\n".join(json.dumps({"result": document(items)}).encode() for items in found))
        merged = document([item for items in found for item in items])
        return self._answer(200, json.dumps({"result": merged}).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        message = ExportTraceServiceRequest.FromString(body)
        self.server.store.add(items_of(json_format.MessageToDict(message)))
        self._answer(200, b"", "application/x-protobuf")

    def _answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def nanoseconds(text):
    """Of RFC 3339 with nanoseconds."""
    whole, _, rest = text.rstrip("Z").partition(".")
    return int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()) * 10**9 + int(rest.ljust(9, "0"))


@contextmanager
def jaeger_server():
    """(address, store)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.store = Store()
    server.handle_error = lambda *args: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
