"""A small server of the OpenAI protocol on a loopback socket, for tests of everything but the engine itself.

It is no engine: it has no timing model. What it says and how it fails is set by the test.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

METRICS = {"queue_time_ms": 0.1, "time_to_first_token_ms": 1.0, "generation_time_ms": 2.0}


@dataclass
class Behaviour:
    """What the server does; a test changes it as it goes."""

    models: tuple[str, ...] = ("test-model",)
    words: tuple[str, ...] = ("one ", "two ", "three")
    fail_first: int = 0  # that many calls get a 500
    status: int = 500
    metrics: bool = True
    role_chunk: bool = True
    error_in_stream: bool = False
    cut_after: int | None = None  # chunks, then the connection is closed
    require_key: str | None = None
    hang: threading.Event | None = None  # a call waits for it
    on_call: Callable[[int], None] = lambda number: None
    leave: Callable[[], None] = lambda: None  # no connection is taken any more
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    behaviour: Behaviour

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        does = self.server.behaviour
        if does.require_key and self.headers.get("authorization") != f"Bearer {does.require_key}":
            return self._json(401, {"error": {"message": "no key"}})
        if self.path == "/v1/models":
            data = [{"id": name, "object": "model", "max_model_len": 4096} for name in does.models]
            return self._json(200, {"object": "list", "data": data})
        if self.path == "/version":
            return self._json(200, {"version": "0.32.0"})
        return self._json(200 if self.path == "/health" else 404, {})

    def do_POST(self) -> None:
        does = self.server.behaviour
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        does.requests.append(body)
        does.headers.append({name.lower(): value for name, value in self.headers.items()})
        does.on_call(len(does.requests))
        if does.hang is not None:
            does.hang.wait(200)
        if len(does.requests) <= does.fail_first:
            return self._json(does.status, {"error": {"message": "on purpose", "type": "test"}})
        if body.get("model") not in does.models:
            return self._json(404, {"error": {"message": f"The model `{body.get('model')}` does not exist."}})
        return self._stream(body) if body.get("stream") else self._json(200, self._body(body))

    def _tokens(self, body: dict[str, Any]) -> list[str]:
        words = list(self.server.behaviour.words)
        forced = body.get("min_tokens")
        return (words * forced)[:forced] if forced else words

    def _usage(self, body: dict[str, Any]) -> dict[str, Any]:
        tokens = len(self._tokens(body))
        prompt = len(json.dumps(body.get("messages") or body.get("prompt"))) // 4
        return {
            "prompt_tokens": prompt,
            "completion_tokens": tokens,
            "total_tokens": prompt + tokens,
            "prompt_tokens_details": {"cached_tokens": prompt // 2},
        }

    def _extra(self) -> dict[str, Any]:
        return {"metrics": METRICS} if self.server.behaviour.metrics else {}

    def _body(self, body: dict[str, Any]) -> dict[str, Any]:
        said = "".join(self._tokens(body))
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"], "usage": self._usage(body), **self._extra()}
        if self.path.endswith("/chat/completions"):
            message = {"role": "assistant", "content": said}
            return {
                **head,
                "object": "chat.completion",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            }
        return {**head, "object": "text_completion", "choices": [{"index": 0, "text": said, "finish_reason": "stop"}]}

    def _stream(self, body: dict[str, Any]) -> None:
        does = self.server.behaviour
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, chunk in enumerate(self._chunks(body)):
            if does.cut_after is not None and number >= does.cut_after:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._chunk(f"data: {json.dumps(chunk)}\n\n".encode())
            time.sleep(0.001)
        self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _chunks(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        does = self.server.behaviour
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

        def delta(said: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
            return {**head, "choices": [{"index": 0, "delta": said, "finish_reason": finish}]}

        if does.role_chunk:
            yield delta({"role": "assistant", "content": ""})
        if does.error_in_stream:
            yield {"error": {"message": "out of memory in mid-stream", "code": 500}}
            return
        tokens = self._tokens(body)
        for word in tokens[:-1]:
            yield delta({"content": word})
        yield delta({"content": tokens[-1]}, "stop")
        if (body.get("stream_options") or {}).get("include_usage"):
            yield {**head, "choices": [], "usage": self._usage(body), **self._extra()}

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _json(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve(behaviour: Behaviour | None = None) -> Iterator[tuple[str, Behaviour]]:
    """The server's base URL (with /v1) and its behaviour."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.behaviour = behaviour or Behaviour()

    def leave() -> None:
        server.shutdown()
        server.server_close()

    server.behaviour.leave = leave
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", server.behaviour
    finally:
        leave()
        thread.join()
