"""When bytes reached and left the process: by the kernel's stamps, else where asyncio hands the bytes over.

With many streams on one loop, a stream's task runs after all the others that were woken with it. The loop knew before:

    socket readable   loop wakes   data_received of A, B, C   task A | task B | task C
                                   ^ stamped here                             ^ stamped there without this

httpx reads through httpcore and anyio, whose protocol queues the blocks that asyncio delivers. For the time of a
recording new connections get a queue that notes when each block came. Where anything is not as expected (another
anyio, trio, HTTP/2, a transport in the process, a blocking client) there is no `Line`, and the caller stamps by itself.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter_ns
from typing import Any

from profiler.kernel_time import StampedSocket, kernel_stamping, stamp_reads

_lines: dict[int, Line] = {}  # by file descriptor; `line_of` checks that it is still that socket


class Line(deque[bytes]):
    """A connection's queue of received blocks; times are of the monotonic counter, in nanoseconds.

    `read_ns` is when the block arrived that was taken out last: what a parser gives out now came with it.
    """

    def __init__(self, socket: Any) -> None:
        super().__init__()
        self.socket = socket
        self.read_ns: int | None = None
        self.wrote_ns: int | None = None  # when the last write began
        self.stamps: StampedSocket | None = None
        self._last_ns = 0
        self._arrivals: deque[int] = deque()

    def append(self, block: bytes) -> None:
        """The loop hands a block over."""
        stamps = self.stamps
        if stamps is None or stamps.received_ns is None:
            self._last_ns = perf_counter_ns()
        else:  # a wall clock that is stepped must not put an answer before its request, nor two blocks out of order
            self._last_ns = max(stamps.received_ns, self._last_ns, self.wrote_ns or 0)
        self._arrivals.append(self._last_ns)
        super().append(block)

    def popleft(self) -> bytes:
        """A task takes the oldest block."""
        block = super().popleft()
        self.read_ns = self._arrivals.popleft()
        return block

    def appendleft(self, block: bytes) -> None:
        """A task gives back what was too much for it."""
        self._arrivals.appendleft(self.read_ns or perf_counter_ns())
        super().appendleft(block)


@contextmanager
def watch_arrivals() -> Iterator[None]:
    """Let connections that asyncio opens inside the block note their times, as far as that is possible."""
    try:
        protocol: Any = importlib.import_module("anyio._backends._asyncio").StreamProtocol
        made = protocol.connection_made
    except (ImportError, AttributeError):
        yield
        return

    def connection_made(self: Any, transport: Any) -> None:
        made(self, transport)
        _watch(self, transport)

    protocol.connection_made = connection_made
    try:
        with kernel_stamping():
            yield
    finally:
        protocol.connection_made = made
        _lines.clear()


def _watch(protocol: Any, transport: Any) -> None:
    socket = transport.get_extra_info("socket")
    if socket is None or type(getattr(protocol, "read_queue", None)) is not deque or protocol.read_queue:
        return
    line = Line(socket)
    protocol.read_queue = line
    _lines[socket.fileno()] = line
    line.stamps = stamp_reads(transport)
    write = transport.write

    def noted_write(data: bytes) -> None:
        line.wrote_ns = perf_counter_ns()
        write(data)

    with suppress(AttributeError):  # a loop written in C
        transport.write = noted_write


def line_of(response: Any) -> Line | None:
    """The connection that a response of httpx came over, if its times are known."""
    if not _lines or response.extensions.get("http_version") != b"HTTP/1.1":
        return None
    stream = response.extensions.get("network_stream")
    try:
        socket = stream.get_extra_info("socket")
        line = _lines.get(socket.fileno())
    except (AttributeError, OSError):
        return None
    return line if line is not None and line.socket is socket else None
