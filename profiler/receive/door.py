"""Where connections come in: HTTP/1 and gRPC on one port, told apart by their first bytes.

    "PRI " ...           HTTP/2, which is gRPC: passed on to its server, byte by byte
    "POST ", "GET " ...  HTTP/1
    anything else        counted and cut off: TLS (an address that was given with https), garbage

So an engine that was given a gRPC address for HTTP, or the other way round, is understood all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

MOST_CONNECTIONS: Final = 128
FIRST_BYTES_S: Final = 10.0  # for a connection to say what it is, and the first request's headers
_HTTP2: Final = b"PRI "
_HTTP1: Final = (b"POST", b"GET ", b"PUT ", b"HEAD", b"OPTI", b"DELE", b"PATC")
_TLS: Final = b"\x16\x03"
_TOLD_BY: Final = 4  # bytes
_HTTP2_BEGUN: Final = 33  # bytes: the preface and the head of the frame that follows it
_HEADERS_END: Final = b"\r\n\r\n"


class Door:
    """Makes the protocol of each new connection, and knows which are open."""

    def __init__(self, http: Callable[[], asyncio.Protocol], grpc_port: int, refuse: Callable[[str], None]) -> None:
        self.http = http
        self.grpc_port = grpc_port
        self.refuse = refuse
        self.open: set[asyncio.BaseTransport] = set()

    def __call__(self) -> asyncio.Protocol:
        return _Newcomer(self)

    def close(self) -> None:
        """Cut all connections off."""
        for transport in list(self.open):
            cast("asyncio.Transport", transport).abort()


class _Newcomer(asyncio.Protocol):
    """A connection that has not said yet what it speaks."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._said = b""
        self._next: asyncio.Protocol | None = None
        self._begun = False  # a whole request's headers, or HTTP/2's beginning, were said in time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(FIRST_BYTES_S, self._transport.abort)
        if len(self._door.open) >= MOST_CONNECTIONS:
            self._door.refuse("too many connections")
            self._transport.abort()
            return
        self._door.open.add(transport)

    def data_received(self, data: bytes) -> None:
        if self._next is not None:
            self._look_whether_begun(data)
            self._next.data_received(data)
            return
        self._said += data
        if len(self._said) < _TOLD_BY:
            return
        if self._said.startswith(_HTTP2):
            self._next = _Passed(self._door.grpc_port)
        elif self._said.startswith(_HTTP1):
            self._next = self._door.http()
        else:
            self._door.refuse("TLS" if self._said.startswith(_TLS) else "neither HTTP nor gRPC")
            self._transport.abort()
            return
        self._next.connection_made(self._transport)
        said, self._said = self._said, b""
        self._look_whether_begun(said)
        self._next.data_received(said)

    def _look_whether_begun(self, data: bytes) -> None:
        if self._begun:
            return
        self._said += data
        if isinstance(self._next, _Passed):
            self._begun = len(self._said) >= _HTTP2_BEGUN
        else:
            self._begun = _HEADERS_END in self._said  # how long they may be is the server's to say
        if self._begun:
            self._deadline.cancel()
            self._said = b""

    def eof_received(self) -> bool | None:
        return None if self._next is None else self._next.eof_received()

    def pause_writing(self) -> None:
        if self._next is not None:
            self._next.pause_writing()

    def resume_writing(self) -> None:
        if self._next is not None:
            self._next.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self._door.open.discard(self._transport)
        if self._next is not None:
            self._next.connection_lost(exc)


class _Passed(asyncio.Protocol):
    """A connection whose bytes go to another port of this machine, and what comes back to it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._waiting: list[bytes] = []
        self._onward: asyncio.Transport | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            onward, _ = await loop.create_connection(lambda: _Back(self._transport), "127.0.0.1", self._port)
        except OSError:
            self._transport.abort()
            return
        if self._lost:
            onward.abort()
            return
        self._onward = onward
        for data in self._waiting:
            onward.write(data)
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._onward is None:
            self._waiting.append(data)
            return
        self._onward.write(data)

    def pause_writing(self) -> None:
        if self._onward is not None:
            self._onward.pause_reading()

    def resume_writing(self) -> None:
        if self._onward is not None:
            self._onward.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of asyncio
        self._lost = True
        if self._onward is not None:
            self._onward.close()


class _Back(asyncio.Protocol):
    """The other end of a connection that is passed on."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of asyncio
        self._transport.close()
