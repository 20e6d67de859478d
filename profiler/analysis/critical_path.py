"""The critical path: which span the chain was waiting for at every moment.

Rule: walk each span backwards from its end. The child that ended last is what the span was waiting for; before
that child's start, what it waited for is the child that ended last before (or exactly at) that start. Where there
is none, the span itself was busy.

    root    |-----------------------------------------|
    A         |---------|
    B           |--------------|
    C                              |--------|
    path    root|      B       |root|   C   |   root  |

A is not on the path: B began while A was running, so B did not wait for it. The rule is that of Jaeger's view,
except that of two siblings that touch both are on the path. A child that outlives its
parent counts as ending with it; of several that end together the longest is taken.
Sections are contiguous and add up to the root exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from profiler.analysis.layout import Layout
from profiler.analysis.model import Span, Trace


class Section(NamedTuple):
    """A piece of the critical path: from start to end the chain waited for `span` itself."""

    span: Span
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """End minus start."""
        return self.end_ns - self.start_ns


Piece = tuple[int, int, int]  # a section, with the position of its span in the trace's spans


def critical_path(trace: Trace) -> list[Section]:
    """Sections in order of time, from the root's start to its end."""
    spans = trace.spans
    return [Section(spans[at], start, end) for at, start, end in pieces_of(Layout(trace))]


def pieces_of(layout: Layout) -> list[Piece]:
    """The same, said by positions.

    Iterative: the depth of a trace does not matter. O(n log n) in the number of spans. A span that is on the path is on
    it with its whole window, which is why no window has to be cut on the way down.
    """
    low, high, below = layout.low, layout.high, layout.below
    pieces: list[Piece] = []
    at, now, waiting = 0, high[0], layout.ordered(0)
    above: list[tuple[int, int, list[int]]] = []  # spans that are being walked, from where on, and what is left
    while True:
        while waiting:
            child = waiting.pop()
            end, start = high[child], low[child]
            if end > now or end <= start:
                continue
            if now > end:
                pieces.append((at, end, now))
            if below[child]:
                above.append((at, start, waiting))
                at, now, waiting = child, end, layout.ordered(child)
            else:
                pieces.append((child, start, end))
                now = start
        if now > low[at]:
            pieces.append((at, low[at], now))
        if not above:
            break
        at, now, waiting = above.pop()
    pieces.reverse()
    return pieces


def check(trace: Trace, sections: Sequence[Section]) -> None:
    """Assert what callers rely on: contiguous, ordered, from the root's start to its end."""
    at = trace.root.start_ns
    for section in sections:
        assert section.start_ns == at, "sections must touch"
        assert section.end_ns > at, "sections must last"
        at = section.end_ns
    assert at == trace.root.end_ns, "sections must add up to the root"
