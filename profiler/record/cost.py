"""What recording itself takes: measured in every run, so that a report can say what its figures are worth."""

from __future__ import annotations

from time import thread_time_ns

import psutil

from profiler.store.manifest import RecordingCost

now_ns = thread_time_ns  # of processor time: that somebody else had the processor is no cost of recording

# Of the chunks one is timed, for two readings of that clock would be a tenth of a chunk's cost. A prime number does not
# always meet the same place of streams of one length.
TIME_EVERY = 17
TIME_EVENTS_EVERY = 5  # of a graph's: two readings of the clock are as long as what is done
_LEAST_CHAINS = 10  # for the growth of memory, which comes in pages and arenas


class Cost:
    """The recorder's own time, summed where it is spent; nanoseconds of the processor.

    Threads of one agent may lose an addition to each other: a figure of a percent of a percent is worth no lock.
    """

    __slots__ = (
        "_first_rss",
        "_read_ns",
        "_rss",
        "_timed",
        "_timed_ns",
        "call_ns",
        "calls",
        "chains",
        "chunks",
        "deliver_ns",
        "graph_ns",
        "spans",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.call_ns = 0  # without the chunks
        self.chunks = 0
        self._timed = 0
        self._timed_ns = 0
        self._read_ns = 0
        self.graph_ns = 0
        self.deliver_ns = 0
        self.chains = 0
        self.spans = 0
        self._first_rss: int | None = None
        self._rss = psutil.Process().memory_info

    def call(self, began_ns: int) -> None:
        """Some work for a call is done, which began then."""
        self.call_ns += now_ns() - began_ns

    def graph(self, began_ns: int) -> None:
        """A callback of a graph that was timed is over; it stands for others that were not."""
        self.graph_ns += TIME_EVENTS_EVERY * (now_ns() - began_ns)

    def chunk(self, began_ns: int) -> None:
        """A chunk that was timed has been fed."""
        self._timed_ns += now_ns() - began_ns
        self._timed += 1

    def tape(self, began_ns: int, chunks: int) -> None:
        """Chunks that had been noted before have been read, all of them timed."""
        self.chunks += chunks
        self._read_ns += now_ns() - began_ns

    def chain(self, began_ns: int, spans: int) -> None:
        """A chain has been delivered."""
        self.deliver_ns += now_ns() - began_ns
        self.spans += spans
        self.chains += 1
        if self._first_rss is None:
            self._first_rss = int(self._rss().rss)

    def summary(self) -> RecordingCost:
        """The figures of a run that is over; what there was none of is missing."""
        chunk_ns = self._timed_ns / self._timed + self._read_ns / self.chunks if self._timed and self.chunks else None
        total_ns = self.call_ns + self.graph_ns + self.deliver_ns + (chunk_ns or 0) * self.chunks
        grown = None
        if self._first_rss is not None and self.chains >= _LEAST_CHAINS:
            grown = max(0, int(self._rss().rss) - self._first_rss) // (self.chains - 1)
        return RecordingCost(
            calls=self.calls,
            chunks=self.chunks,
            chains=self.chains,
            spans=self.spans,
            per_call_us=_us(self.call_ns, self.calls),
            per_chunk_us=None if chunk_ns is None else round(chunk_ns / 1000, 2),
            per_chain_us=_us(total_ns, self.chains),
            deliver_us=_us(self.deliver_ns, self.chains),
            spans_per_second=round(self.spans / total_ns * 1e9) if total_ns and self.spans else None,
            memory_per_chain_bytes=grown,
        )


def _us(total_ns: float, number: int) -> float | None:
    return round(total_ns / number / 1000, 2) if number else None
