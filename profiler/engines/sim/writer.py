"""Writing a streamed answer to the socket, each write in the ground truth.

The body goes to the transport directly, in HTTP's chunked framing: the moment of each write is then known exactly, and
a client can be shown what no well-behaved server library would send.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Sequence

from profiler.engines.sim.traits import Traits, writes
from profiler.truth import Truth

KEEP_ALIVE_COMMENT = b": keep-alive"
LARGEST_BACKLOG = 64 * 2**20  # of a client that does not read; the longest answers have some 30 MiB
_RESET_AT_ONCE = struct.pack("ii", 1, 0)


class Writer:
    """The body of one streamed answer."""

    def __init__(self, transport: asyncio.Transport, truth: Truth, traits: Traits) -> None:
        self._transport = transport
        self._truth = truth
        self._traits = traits
        self._plain = traits.join <= 1 and not traits.split_bytes
        self._tokens = 0  # that the client has
        self._held: list[bytes] = []
        self._keep_alive: asyncio.TimerHandle | None = None
        self._arm_keep_alive()

    def events(self, events: Sequence[bytes], tokens: int, *, flush: bool) -> None:
        """Write events, or hold them until there are as many as a write takes.

        Args:
            events: encoded.
            tokens: output tokens that the client has when these have arrived.
            flush: hold nothing back.
        """
        if self._plain:
            parts = events
        else:
            self._held += events
            if len(self._held) < self._traits.join and not flush:
                return
            parts, self._held = writes(self._held, self._traits), []
        if not parts:
            return
        for part in parts[:-1]:
            self._write(part)
        self._tokens = tokens
        self._write(parts[-1])
        self._arm_keep_alive()

    def close(self) -> None:
        """Write no more."""
        if self._keep_alive is not None:
            self._keep_alive.cancel()
            self._keep_alive = None

    def _write(self, data: bytes) -> None:
        """One write, as one chunk of HTTP."""
        transport, truth = self._transport, self._truth
        if transport.is_closing():
            return
        truth.writes_ns.append(time.monotonic_ns())
        transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        truth.written_tokens.append(self._tokens)
        if transport.get_write_buffer_size() > LARGEST_BACKLOG:
            transport.abort()

    def _arm_keep_alive(self) -> None:
        every_s = self._traits.keep_alive_s
        if every_s is not None:
            self.close()
            self._keep_alive = asyncio.get_running_loop().call_later(every_s, self._comment)

    def _comment(self) -> None:
        self._write(KEEP_ALIVE_COMMENT + self._traits.line_end * 2)
        self._arm_keep_alive()


def reset(transport: asyncio.Transport) -> None:
    """End a connection with RST, as a server does that dies."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
    transport.abort()
