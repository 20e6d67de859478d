"""Newline-delimited JSON, decoded from bytes as they arrive: Ollama's way of streaming.

A line feed ends an object, and nothing else does. The interface is that of `sse.Decoder`.
"""

from __future__ import annotations

from profiler.record.sse import MAX_EVENT_BYTES, Event, EventTooLarge

_TOO_LARGE = f"a line of a stream exceeds {MAX_EVENT_BYTES} bytes"


class Decoder:
    """Feed it blocks of any size; it returns the lines that are complete, their bytes as they came."""

    __slots__ = ("_more", "_size", "held")

    def __init__(self) -> None:
        self.held = b""
        self._more: list[bytes] = []
        self._size = 0

    def feed(self, block: bytes) -> list[Event]:
        """Take the next bytes.

        Raises:
            EventTooLarge: a line exceeds the bound.
        """
        if b"\n" not in block:
            self._hold(block)
            return []
        if len(block) - block.rfind(b"\n") > MAX_EVENT_BYTES:  # before anything that is held is forgotten
            raise EventTooLarge(_TOO_LARGE)
        *lines, rest = (b"".join([self.rest(), block])).split(b"\n")
        self._hold(rest)
        return [Event(line.strip(), line + b"\n") for line in lines]

    def _hold(self, block: bytes) -> None:
        if not block:
            return
        self._size += len(block)
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLarge(_TOO_LARGE)
        if self.held:
            self._more.append(block)
        else:
            self.held = block

    def rest(self) -> bytes:
        """Hand over what no line feed has ended yet, and forget it."""
        rest = b"".join([self.held, *self._more])
        self.held, self._size = b"", 0
        self._more.clear()
        return rest

    @staticmethod
    def only_data(block: bytes) -> bytes | None:
        """The object of a block that is one whole line, as nearly every block is; otherwise None."""
        return block[:-1] if block.find(b"\n") == len(block) - 1 and block else None


def encode(data: bytes) -> bytes:
    """One line with this data."""
    return data + b"\n"
