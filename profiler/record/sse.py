"""Server-sent events, decoded from bytes as they arrive.

The rules are those of the HTML standard, section "Server-sent events": lines end at CR, LF or CRLF and nowhere
else (text such as U+2028 is data), an empty line ends an event, a line that begins with a colon is a comment,
several `data` lines are joined by a newline. Public decoders either sit on top of a response object or split
lines at more characters than these; the recorder sits below the response and needs the raw bytes back.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_EVENT_BYTES = 16 * 1024 * 1024
_LF, _CR = 10, 13


class EventTooLarge(ValueError):
    """An event grew past `MAX_EVENT_BYTES` without an end."""


class Event(NamedTuple):
    """One event: its joined `data`, and the exact bytes it came as (comments before it included)."""

    data: bytes
    raw: bytes


class Decoder:
    """Feed it blocks of any size; it returns the events that are complete.

    Joining the `raw` of all events and `rest()` gives back the input byte for byte. `held` is the beginning of what no
    event has ended.
    """

    __slots__ = ("_more", "_scan_from", "_size", "held")

    def __init__(self) -> None:
        self.held = b""
        self._more: list[bytes] = []  # what follows it, while no end of an event is in sight
        self._size = 0  # of both
        self._scan_from = 0

    @staticmethod
    def only_data(block: bytes) -> bytes | None:
        """The data of a block that is one whole event of one data line, as nearly every block is; otherwise None.

        Only for a decoder that holds nothing back.
        """
        last_two = len(block) - 2
        if block.find(_LF) == last_two and block[-1] == _LF and block[:6] == b"data: " and _CR not in block:
            return block[6:last_two]
        return None

    def feed(self, block: bytes) -> list[Event]:
        """Take the next bytes.

        Raises:
            EventTooLarge: an event exceeds the bound; the stream is not worth holding.
        """
        if self.held and self._goes_on(block):
            return []
        buffer = b"".join([self.held, *self._more, block]) if self.held else block
        if b"\r" in buffer:
            return self._feed_with_cr(buffer)
        events: list[Event] = []
        start = 0
        end = buffer.find(b"\n\n", self._scan_from)
        while end >= 0:
            raw = buffer[start : end + 2]
            events.append(Event(_data_of(raw), raw))
            start = end + 2
            end = buffer.find(b"\n\n", start)
        self._keep(buffer[start:])
        return events

    def _goes_on(self, block: bytes) -> bool:
        """Hold a block that ends no event: joining a large event's blocks one by one would take for ever."""
        last = (self._more[-1] if self._more else self.held)[-1:]
        if b"\n\n" in block or b"\r" in block or last == b"\r" or (last == b"\n" and block[:1] == b"\n"):
            return False
        if self._size + len(block) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"a server-sent event exceeds {MAX_EVENT_BYTES} bytes")
        if block:
            self._more.append(block)
            self._size += len(block)
            self._scan_from = self._size - 1
        return True

    def _feed_with_cr(self, buffer: bytes) -> list[Event]:
        """The general rule, for streams that use CR anywhere."""
        events: list[Event] = []
        start = position = line_start = 0
        size = len(buffer)
        while position < size:
            byte = buffer[position]
            if byte not in (_LF, _CR):
                position += 1
                continue
            line_end = position
            position += 1
            if byte == _CR:
                if position == size:
                    break  # a LF may follow in the next block: this line is not over
                if buffer[position] == _LF:
                    position += 1
            if line_end == line_start:
                raw = buffer[start:position]
                events.append(Event(_data_of(raw), raw))
                start = position
            line_start = position
        self._keep(buffer[start:])
        return events

    def _keep(self, rest: bytes) -> None:
        if len(rest) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"a server-sent event exceeds {MAX_EVENT_BYTES} bytes")
        self.held, self._size = rest, len(rest)
        self._more.clear()
        self._scan_from = max(0, len(rest) - 1)

    def rest(self) -> bytes:
        """Hand over what no empty line has ended yet, and forget it."""
        rest = b"".join([self.held, *self._more])
        self._keep(b"")
        return rest


only_data = Decoder.only_data


def _data_of(raw: bytes) -> bytes:
    # One data line is nearly every event there is: no list, no join.
    if raw.startswith(b"data: ") and raw.count(b"\n") == 2 and b"\r" not in raw:  # noqa: PLR2004
        return raw[6:-2]
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:") or line == b"data")


def encode(data: bytes) -> bytes:
    """One event with this data; the data has no line breaks."""
    return b"data: " + data + b"\n\n"
