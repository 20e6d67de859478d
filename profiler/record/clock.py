"""Time for spans: a monotonic counter, placed on the epoch once."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Epoch nanoseconds that never jump.

    The wall clock is read once; everything after is `perf_counter_ns` on top of that anchor. A wall clock that
    is stepped in mid-run (NTP, suspend) therefore cannot bend a duration, which `time_ns` stamps would.
    """

    __slots__ = ("_offset_ns", "perf_ns")

    def __init__(
        self,
        perf_ns: Callable[[], int] = time.perf_counter_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.perf_ns = perf_ns  # the counter itself
        self._offset_ns = wall_ns() - perf_ns()

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self.perf_ns() + self._offset_ns

    def at(self, perf_ns: int) -> int:
        """The epoch nanoseconds of a moment that was read from the counter itself."""
        return perf_ns + self._offset_ns

    def perf(self, epoch_ns: int) -> int:
        """The other way: the counter's own value."""
        return epoch_ns - self._offset_ns
