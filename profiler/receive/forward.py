"""Chains for a live export, each with what the engine sent of it: a viewer should see them in one piece.

    chain ends          engine's spans arrive
    |----------------------|--|-----> handed on with them, or without those that take too long

All of it happens in the receiver's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

LONGEST_S: Final = 3.0
_LOOK_EVERY_S: Final = 0.1

Line = tuple[bytes, int]  # OTLP JSON, with how many spans it has
Offer = Callable[[Sequence[ReadableSpan], Sequence[Line]], None]


class _Waiting:
    def __init__(self, spans: Sequence[ReadableSpan], calls: Collection[int]) -> None:
        self.spans, self.calls = spans, calls
        self.lines: list[Line] = []
        self.looks = round(LONGEST_S / _LOOK_EVERY_S)


class Forward:
    """Holds chains back until they are whole."""

    def __init__(
        self, offer: Offer, is_asked: Callable[[int], bool], later: Callable[[float, Callable[[], None]], object]
    ) -> None:
        """Hand whole chains to `offer`.

        Args:
            offer: takes a chain's spans, and lines of the engine's spans of it. Never waits.
            is_asked: whether a call's span of the engine has not come yet.
            later: calls something after so many seconds, in this thread.
        """
        self._offer, self._is_asked, self._later = offer, is_asked, later
        self._waiting: dict[int, _Waiting] = {}

    def chain(self, trace_id: int, spans: Sequence[ReadableSpan], calls: Collection[int]) -> None:
        """A chain has ended; `look` hands it on if it is whole."""
        self._waiting[trace_id] = _Waiting(spans, calls)

    def line(self, trace_id: int, line: bytes, spans: int) -> None:
        """The engine sent something of a chain that has ended; what comes too late is handed on by itself."""
        waiting = self._waiting.get(trace_id)
        if waiting is None:
            self._offer((), [(line, spans)])
        else:
            waiting.lines.append((line, spans))

    def look(self, trace_id: int) -> None:
        """Hand the chain on, if it is whole or has waited long enough; else look again."""
        waiting = self._waiting.get(trace_id)
        if waiting is None:
            return
        waiting.looks -= 1
        if waiting.looks > 0 and any(self._is_asked(call) for call in waiting.calls):
            self._later(_LOOK_EVERY_S, lambda: self.look(trace_id))
            return
        del self._waiting[trace_id]
        self._offer(waiting.spans, waiting.lines)

    def flush(self) -> None:
        """Hand everything on as it is."""
        for waiting in self._waiting.values():
            self._offer(waiting.spans, waiting.lines)
        self._waiting.clear()
