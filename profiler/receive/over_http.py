"""OTLP over HTTP: `POST /v1/traces` with protobuf or JSON, as it is or in gzip."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web
from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from profiler.receive.content import JSON, MOST_BYTES, PROTOBUF, Refused, request_of, too_large

PATHS: Final = ("/v1/traces", "/v1/traces/", "/")  # the last: an address that was given without its path
BODY_LIMIT_S: Final = 10.0  # for a whole body; loopback takes milliseconds

_OK: Final = 200

Take = Callable[[ExportTraceServiceRequest, str], None]


class HttpSide:
    """Answers the requests of all connections; `server()` makes the protocol of one, as asyncio wants."""

    def __init__(self, take: Take, refuse: Callable[[str], None]) -> None:
        self._take = take
        self._refuse = refuse
        # Inflating is done by us, so that it can be stopped at the limit.
        self.server = web.Server(self._handle, access_log=None, auto_decompress=False, keepalive_timeout=60.0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        kind = request.content_type
        try:
            self._check_target(request)
            body = await _body(request)
            encoding = request.headers.get("Content-Encoding", "").strip().lower()
            self._take(request_of(body, kind=kind, encoding=encoding), "http")
        except Refused as refused:
            self._refuse(refused.kind)
            return _answer(kind, refused.status, str(refused))
        return _answer(kind, _OK)

    def _check_target(self, request: web.BaseRequest) -> None:
        if request.path not in PATHS:
            raise Refused(404, "path", "spans are taken at /v1/traces")
        if request.method != "POST":
            raise Refused(405, "method", "spans are sent with POST")


async def _body(request: web.BaseRequest) -> bytes:
    """What was sent, read up to the limit and no further.

    Raises:
        Refused: too much, too slow, or broken off.
    """
    if (request.content_length or 0) > MOST_BYTES:
        raise too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            async for block in request.content.iter_any():
                body += block
                if len(body) > MOST_BYTES:
                    raise too_large()
    except TimeoutError as error:
        raise Refused(408, "too slow", f"the body took longer than {BODY_LIMIT_S:g} s") from error
    except (OSError, web.RequestPayloadError) as error:
        raise Refused(400, "broken off", "the body was broken off") from error
    return bytes(body)


def _answer(kind: str, status: int, message: str = "") -> web.Response:
    """In the encoding of the request. A refusal is told in a Status, as OTLP wants, and the connection closed."""
    told = Status(message=message) if message else Status()
    if kind == JSON:
        response = web.Response(status=status, text=MessageToJson(told), content_type=JSON)
    else:
        response = web.Response(status=status, body=told.SerializeToString(), content_type=PROTOBUF)
    if status != _OK:
        response.force_close()  # what is left of its body is not read
    return response
