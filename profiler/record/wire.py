"""The wire: every HTTP transport of httpx and httpx2, sync and async, watched from below the client.

The methods of the public transport classes are replaced for the time of a recording. Anything that is not an LLM
request of a chain passes through untouched. Watching here, and not in one SDK, is what makes a recording
independent of the agent's framework.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from profiler.record import cost as costs
from profiler.record.api import Api, api_of, is_other_operation
from profiler.record.arrival import line_of, watch_arrivals
from profiler.record.call import Call
from profiler.record.protocol import Json, parse_json

_SEEN = "profiler.seen"  # request extension: a transport that wraps another must not be recorded twice
_VOID_HEADERS = ("content-length", "content-encoding", "transfer-encoding")
_SET_HEADERS = (b"content-length", b"traceparent", b"accept-encoding")


class Outgoing(NamedTuple):
    """A call about to be made: what to send, and the span that follows it."""

    call: Call
    content: bytes
    headers: list[tuple[bytes, bytes]]


class Refused(Exception):
    """The call must not be sent; the agent gets this as an HTTP answer that clients do not retry."""


# (API, URL, content, content parsed) -> what to do; None lets the request pass unrecorded.
Begin = Callable[[Api, Any, bytes, Json], Outgoing | None]


class _Watch(NamedTuple):
    begin: Begin
    not_followed: Callable[[], None]

    def api_of(self, request: Any) -> Api | None:
        api = api_of(request.method, request.url.path)
        if api is None and is_other_operation(request.method, request.url.path):
            self.not_followed()
        return api

    def begin_call(self, api: Api, request: Any, content: bytes) -> Outgoing | None:
        body = parse_json(content)
        if body is None:
            return None
        if not api.accepts(body):
            # Anything may be posted to a root.
            if len(request.url.path) > 1 and not api.only_loads(body):
                self.not_followed()
            return None
        return self.begin(api, request.url, content, body)


@contextmanager
def watch_wire(begin: Begin, not_followed: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Route LLM requests of all transports through `begin` until the end of the context.

    `not_followed` is called for requests that look like work for an engine by an API that is not known here.
    """
    undo: list[tuple[type, str, Any]] = []
    watch = _Watch(begin, not_followed)
    try:
        for module_name in ("httpx", "httpx2"):
            module = importlib.import_module(module_name)
            for class_name in ("HTTPTransport", "MockTransport", "WSGITransport"):
                undo += _replace(module, class_name, "handle_request", _sync_handler, watch)
            for class_name in ("AsyncHTTPTransport", "MockTransport", "ASGITransport"):
                undo += _replace(module, class_name, "handle_async_request", _async_handler, watch)
        with watch_arrivals():
            yield
    finally:
        for owner, name, original in undo:
            setattr(owner, name, original)


def _replace(
    module: ModuleType,
    class_name: str,
    method: str,
    handler: Callable[[ModuleType, Any, _Watch], Any],
    watch: _Watch,
) -> list[tuple[type, str, Any]]:
    owner = getattr(module, class_name, None)
    if owner is None or method not in vars(owner):
        return []
    original = vars(owner)[method]
    setattr(owner, method, handler(module, original, watch))
    return [(owner, method, original)]


def _sync_handler(module: ModuleType, original: Any, watch: _Watch) -> Any:
    def handle_request(self: Any, request: Any) -> Any:
        api = watch.api_of(request)
        if api is None or _SEEN in request.extensions:
            return original(self, request)
        content = request.read()
        began_ns = costs.now_ns()
        try:
            outgoing = watch.begin_call(api, request, content)
        except Refused as refused:
            return _refusal(module, request, refused)
        if outgoing is None:
            return original(self, request)
        call = outgoing.call

        def on_trace(name: str, info: dict[str, Any]) -> None:
            call.on_trace(name)
            if agents is not None:
                agents(name, info)

        agents = request.extensions.get("trace")
        sent = _rebuilt(module, request, outgoing, on_trace)
        call.begun(began_ns)
        try:
            response = original(self, sent)
        except BaseException as error:
            call.finish(error)
            raise
        stream = _SyncStream(response.stream, call)
        return _answer(module, response, call, _as(module.SyncByteStream, stream))

    return handle_request


def _async_handler(module: ModuleType, original: Any, watch: _Watch) -> Any:
    async def handle_async_request(self: Any, request: Any) -> Any:
        api = watch.api_of(request)
        if api is None or _SEEN in request.extensions:
            return await original(self, request)
        content = await request.aread()
        began_ns = costs.now_ns()
        try:
            outgoing = watch.begin_call(api, request, content)
        except Refused as refused:
            return _refusal(module, request, refused)
        if outgoing is None:
            return await original(self, request)
        call = outgoing.call

        async def on_trace(name: str, info: dict[str, Any]) -> None:
            call.on_trace(name)
            if agents is not None:
                await agents(name, info)

        agents = request.extensions.get("trace")
        sent = _rebuilt(module, request, outgoing, on_trace)
        call.begun(began_ns)
        try:
            response = await original(self, sent)
        except BaseException as error:
            call.finish(error)
            raise
        stream = _AsyncStream(response.stream, call)
        return _answer(module, response, call, _as(module.AsyncByteStream, stream))

    return handle_async_request


def _rebuilt(module: ModuleType, request: Any, outgoing: Outgoing, on_trace: Callable[..., Any]) -> Any:
    headers = [pair for pair in request.headers.raw if pair[0].lower() not in _SET_HEADERS]
    headers += outgoing.headers
    headers.append((b"content-length", b"%d" % len(outgoing.content)))
    return type(request)(
        request.method,
        request.url,
        headers=headers,
        stream=module.ByteStream(outgoing.content),
        extensions={**request.extensions, "trace": on_trace, _SEEN: True},
    )


def _refusal(module: ModuleType, request: Any, refused: Refused) -> Any:
    body = json.dumps({"error": {"message": str(refused), "type": "profiler", "code": 400}}).encode()
    return module.Response(400, headers={"content-type": "application/json"}, content=body, request=request)


def _answer(module: ModuleType, response: Any, call: Call, stream: Any) -> Any:
    """The transport's response with our stream in place of its own."""
    headers = response.headers
    call.on_headers(
        response.status_code,
        headers.get("content-type", ""),
        headers.get("content-encoding", ""),
        line_of(response),
        headers,
    )
    if call.rewrites:
        for name in _VOID_HEADERS:
            if name in headers:
                del headers[name]
        if call.holds_body:
            headers["content-type"] = "application/json"
    if isinstance(response.stream, module.ByteStream):  # it has its content already, and would not ask our stream
        return module.Response(response.status_code, headers=headers, stream=stream, extensions=response.extensions)
    response.stream = stream
    return response


def _as(base: type, stream: _SyncStream | _AsyncStream) -> Any:
    """The stream under the base class that its library checks for."""
    kind: Any = type(stream)  # a class is hashable; the type checker wants to be told
    return _adopted(kind, base)(stream.inner, stream.call)


@cache
def _adopted(stream: type, base: type) -> Any:
    return type(stream.__name__, (stream, base), {})


class _SyncStream:
    def __init__(self, inner: Any, call: Call) -> None:
        self.inner = inner
        self.call = call

    def __iter__(self) -> Iterator[bytes]:
        call = self.call
        try:
            for block in self.inner:
                out = call.feed(block)
                if out:
                    yield out
        except Exception as error:
            call.finish(error)
            raise
        rest = call.end_of_body()
        call.finish()
        if rest:
            yield rest

    def close(self) -> None:
        try:
            self.inner.close()
        finally:
            self.call.finish()


class _AsyncStream:
    def __init__(self, inner: Any, call: Call) -> None:
        self.inner = inner
        self.call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        call = self.call
        try:
            async for block in self.inner:
                out = call.feed(block)
                if out:
                    yield out
        except (Exception, asyncio.CancelledError) as error:
            call.finish(error)
            raise
        rest = call.end_of_body()
        call.finish()
        if rest:
            yield rest

    async def aclose(self) -> None:
        try:
            await self.inner.aclose()
        finally:
            self.call.finish()
