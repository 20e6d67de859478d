"""When the kernel received bytes, which is earlier than when a busy event loop, or a processor that slept, got to them.

    kernel has the bytes   processor wakes   loop's turn   recv() returns
    ^ SO_TIMESTAMPNS       (up to 1 ms on a   (as long as
                           virtual machine)   other callbacks take)

Linux stamps each segment on the wall clock and hands the stamp of the newest byte out with it. Bytes that waited
together have one stamp, the newest. Elsewhere, and with event loops that are not Python's own, there is none.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_INET, SOCK_DGRAM, SOL_SOCKET, socket
from typing import Any

_SO_TIMESTAMPNS = 35  # of asm-generic/socket.h; the standard library has no name for it
_TIMESPEC = struct.Struct("@ll")
_ROOM = 64  # for one control message
_LATEST_NS = 10_000_000_000  # a stamp further back is no stamp: the wall clock was stepped


class StampedSocket:
    """Stands in for a transport's socket; `received_ns` is of what `recv` returned last.

    Times are of the monotonic counter, in nanoseconds.
    """

    def __init__(self, inner: socket) -> None:
        self._inner = inner
        self.received_ns: int | None = None

    def recv(self, size: int) -> bytes:
        """As a socket's, with the time."""
        data, messages, _, _ = self._inner.recvmsg(size, _ROOM)
        self.received_ns = None
        for level, kind, value in messages:
            if level == SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(value) == _TIMESPEC.size:
                seconds, rest = _TIMESPEC.unpack(value)
                ago_ns = time.time_ns() - seconds * 1_000_000_000 - rest
                if 0 <= ago_ns < _LATEST_NS:
                    self.received_ns = time.perf_counter_ns() - ago_ns
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextmanager
def kernel_stamping() -> Iterator[None]:
    """Have the kernel stamp what comes in: it begins moments after a first socket wants it, and ends with the last."""
    with socket(AF_INET, SOCK_DGRAM) as holder:
        if sys.platform.startswith("linux"):
            holder.setsockopt(SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        yield


def stamp_reads(transport: asyncio.BaseTransport) -> StampedSocket | None:
    """Let a transport's reads be stamped from now on; None where that cannot be, and then nothing is changed."""
    inner = getattr(transport, "_sock", None)
    if not sys.platform.startswith("linux") or type(inner) is not socket:
        return None
    try:
        inner.setsockopt(SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        return None
    stamped = StampedSocket(inner)
    transport._sock = stamped  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no public way
    return stamped
