"""Whether a chain does several things at a time."""

from __future__ import annotations

from profiler.analysis.layout import Layout


def runs_in_parallel(layout: Layout) -> bool:
    """Whether any two of its calls, tools and steps overlap in time, of which none is inside of the other.

        step   |---------------|
        call      |--------|            inside of the step: not beside it
        tool            |-----|         beside the call

    Spans that last no time overlap with nothing.
    """
    running: list[int] = []  # calls, tools and steps that have begun, the last on top: each inside of the one below it
    for at, kind in enumerate(layout.kind):
        span = layout.spans[at]
        if not kind or span.end_ns == span.start_ns:
            continue
        while running and layout.spans[running[-1]].end_ns <= span.start_ns:
            running.pop()
        if running and not _inside(layout, at, running[-1]):
            return True
        running.append(at)
    return False


def _inside(layout: Layout, at: int, other: int) -> bool:
    above = layout.parents[at]
    while above >= 0 and above != other:
        above = layout.parents[above]
    return above == other
