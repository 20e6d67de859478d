"""How late the event loop is: what every stamp that is taken on it may be late by.

A timer of the loop compares when it was due with when it ran. Between the two the loop was in somebody's callback, or
the process was not running at all:

    due                 ran
     |------- lag -------|....... interval .......|  the next is due
                 |<------------ a call ------------
                 |- part -|                           of a lag that began before the call, its part within it counts

A loop's timers have a resolution of a millisecond, so lags up to that mean nothing.
"""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_left
from collections.abc import Callable
from time import perf_counter_ns

from profiler.store.manifest import LoopLag

INTERVAL_NS = 10_000_000
LATE_CALLS_LIMIT = 0.05  # of the calls that have a first token
_FEWEST_LATE_CALLS = 3  # one or two are chance, however few calls there are
_OF_TTFT = 0.10
_MEANINGLESS_NS = 2_000_000  # twice the resolution of a loop's timers
_MOST_LATE = 100_000  # kept; at one in 10 ms the newest quarter of an hour
_STEP_NS = 100_000  # what quantiles are told to


class Judged:
    """Calls that have a first token, and those of them for which the loop was late."""

    __slots__ = ("calls", "late")

    def __init__(self) -> None:
        self.calls = 0
        self.late = 0


class LagProbe:
    """Watches one loop between `start` and `stop`. Times are of the monotonic counter, in nanoseconds."""

    def __init__(
        self,
        now_ns: Callable[[], int] = perf_counter_ns,
        interval_ns: int = INTERVAL_NS,
        judged: Judged | None = None,
    ) -> None:
        self._now_ns = now_ns
        self._judged = judged or Judged()
        self._interval_ns = interval_ns
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due_ns: int | None = None
        self._counts: dict[int, int] = {}  # lag in steps -> how often
        self._max_ns = 0
        self._late: list[tuple[int, int]] = []  # (when it was due, when it ran) of what could make a call late
        # (when it ran, lag) of the lags that no later one exceeds: as deep as it has to be for `max_since`
        self._peaks: list[tuple[int, int]] = []

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch."""
        self._loop = loop
        self._wait()

    def stop(self) -> None:
        """Look no further; a lag that lasts still counts."""
        if self._timer is not None:
            self._timer.cancel()
        if self._due_ns is not None and self._now_ns() > self._due_ns + self._interval_ns:
            self.sample(self._due_ns, self._now_ns())
        self._due_ns = None

    def _wait(self) -> None:
        self._due_ns = self._now_ns() + self._interval_ns
        if self._loop is not None:
            self._timer = self._loop.call_later(self._interval_ns / 1e9, self._ring)

    def _ring(self) -> None:
        if self._due_ns is not None:
            self.sample(self._due_ns, self._now_ns())
            self._wait()

    def sample(self, due_ns: int, ran_ns: int) -> None:
        """Take one comparison."""
        lag_ns = max(0, ran_ns - due_ns)
        step = lag_ns // _STEP_NS
        self._counts[step] = self._counts.get(step, 0) + 1
        self._max_ns = max(self._max_ns, lag_ns)
        if lag_ns > _MEANINGLESS_NS:
            self._late.append((due_ns, ran_ns))
            if len(self._late) > _MOST_LATE:
                del self._late[: _MOST_LATE // 2]
        peaks = self._peaks
        while peaks and peaks[-1][1] <= lag_ns:
            peaks.pop()
        peaks.append((ran_ns, lag_ns))

    def max_since(self, start_ns: int) -> int | None:
        """The largest lag between then and now, one that has not ended yet included; None if there is no sample."""
        now_ns = self._now_ns()
        peaks = self._peaks[:]  # a thread may ask
        first = bisect_left(peaks, (start_ns,))
        lags = [min(lag, ran_ns - start_ns) for ran_ns, lag in peaks[first : first + 2]]
        due_ns = self._due_ns
        if due_ns is not None and now_ns > due_ns:
            lags.append(now_ns - max(due_ns, start_ns))
        return max(lags, default=None)

    def first_token(self, sent_ns: int, ttft_ns: int) -> None:
        """A call's first token has come, now or before: was the loop late while it was waited for?

        What held the loop before the sending or after the first token is no doubt about that time.
        """
        if self._counts:
            self._judged.calls += 1
            lag_ns = self._max_between(sent_ns, sent_ns + ttft_ns)
            self._judged.late += lag_ns > max(_OF_TTFT * ttft_ns, _MEANINGLESS_NS)

    def _max_between(self, start_ns: int, end_ns: int) -> int:
        """The largest part of a lag that lies between two moments; 0 for none, or none that means anything."""
        late = self._late[:]  # a thread may ask
        due_ns = self._due_ns
        if due_ns is not None:  # one that has not ended, if it is one
            late.append((due_ns, self._now_ns()))
        longest_ns = 0
        for due, ran in reversed(late):
            if ran <= start_ns:
                break
            longest_ns = max(longest_ns, min(ran, end_ns) - max(due, start_ns))
        return longest_ns

    def add(self, other: LagProbe) -> None:
        """Take another loop's samples into what `summary` tells."""
        for step, count in other._counts.items():
            self._counts[step] = self._counts.get(step, 0) + count
        self._max_ns = max(self._max_ns, other._max_ns)

    def reasons(self) -> list[str]:
        """Why times taken on this loop are suspect, in words; empty if they are not."""
        judged = self._judged
        if judged.late < _FEWEST_LATE_CALLS or judged.late <= LATE_CALLS_LIMIT * judged.calls:
            return []
        calls, share = f"{judged.late} of {judged.calls} calls", f"{_OF_TTFT:.0%} of the time to first token"
        limit = f"limit {LATE_CALLS_LIMIT:.0%} of the calls"
        return [f"in {calls} the event loop was late by more than {share} while that was waited for ({limit})"]

    def summary(self) -> LoopLag | None:
        """Over everything since the start; None without a sample."""
        samples = sum(self._counts.values())
        if not samples:
            return None
        return LoopLag(
            samples=samples,
            p50_ms=self._quantile_ms(samples * 0.50),
            p99_ms=self._quantile_ms(samples * 0.99),
            max_ms=round(self._max_ns / 1e6, 1),
        )

    def _quantile_ms(self, rank: float) -> float:
        seen = 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= rank:
                return round(min((step + 1) * _STEP_NS, self._max_ns) / 1e6, 1)
        return round(self._max_ns / 1e6, 1)


class LoopLags:
    """A probe for each loop on which chains make calls: the run's own, and those that agents run in threads."""

    def __init__(self) -> None:
        self._judged = Judged()  # of all: a call may be judged when its loop is closed
        self._own = LagProbe(judged=self._judged)
        self._total = LagProbe(judged=self._judged)  # samples of the loops that are closed
        self._others: dict[asyncio.AbstractEventLoop, LagProbe] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch the run's own loop."""
        self._loop = loop
        self._own.start(loop)

    def here(self) -> LagProbe:
        """The probe of the loop that runs in this thread, watched from now on; of the run's own where none does."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._own
        if loop is self._loop:
            return self._own
        probe = self._others.get(loop)
        if probe is None:
            with self._lock:
                self._take_in(closed_alone=True)
                probe = self._others[loop] = LagProbe(judged=self._judged)
            probe.start(loop)
        return probe

    def stop(self) -> None:
        """Look no further. A loop that an abandoned thread still runs is left as it is."""
        self._own.stop()
        with self._lock:
            self._take_in(closed_alone=False)
        self._total.add(self._own)

    def _take_in(self, *, closed_alone: bool) -> None:
        """An agent may run a new loop in each of thousands of chains."""
        for loop in [loop for loop in self._others if loop.is_closed() or not closed_alone]:
            self._total.add(self._others.pop(loop))

    def reasons(self) -> list[str]:
        """As of `LagProbe`, over all loops; after `stop`."""
        return self._total.reasons()

    def summary(self) -> LoopLag | None:
        """As of `LagProbe`, over all loops; after `stop`."""
        return self._total.summary()
