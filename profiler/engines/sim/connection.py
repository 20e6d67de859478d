"""A connection of the embedded engine's server: aiohttp's, which also notes when bytes came."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from profiler.kernel_time import stamp_reads

_BAD_REQUEST = 400


class Connection(RequestHandler):
    """Waking, parsing and calling the handler take their time: a request is there when the kernel has its bytes."""

    __slots__ = ("_stamps", "received_ns")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the kernel for times."""
        super().connection_made(transport)
        self._stamps = stamp_reads(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if data:
            stamped_ns = None if self._stamps is None else self._stamps.received_ns
            self.received_ns = time.monotonic_ns() if stamped_ns is None else stamped_ns
        super().data_received(data)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP is the client's mistake: an answer, and no traceback in the engine's log."""
        if status == _BAD_REQUEST:
            refusal = web.Response(status=status, text=message or "Bad Request")
            refusal.force_close()
            return refusal
        answer: web.StreamResponse = super().handle_error(request, status, exc, message)
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Likewise a body that is not encoded as it says: the rest of it cannot be skipped."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)


def transport_of(request: web.BaseRequest) -> asyncio.Transport:
    """The connection of a request.

    Raises:
        ConnectionError: there is none any more.
    """
    if request.transport is None:
        raise ConnectionResetError("the client is gone")
    return request.transport


async def until_cancelled() -> None:
    """Wait: a handler is cancelled as soon as its connection is gone."""
    await asyncio.get_running_loop().create_future()
