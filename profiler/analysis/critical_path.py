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


def critical_path(trace: Trace) -> list[Section]:
    """Sections in order of time, from the root's start to its end.

    Iterative: the depth of a trace does not matter. O(n log n) in the number of spans.
    """
    sections: list[Section] = []
    # A frame is a span with the window that it has to account for; it is worked from the window's end.
    root = trace.root
    stack = [_Frame(root, root.start_ns, root.end_ns, trace.children.get(root.span_id, ()))]
    while stack:
        frame = stack[-1]
        child = frame.next_child()
        if child is None:
            if frame.now_ns > frame.start_ns:
                sections.append(Section(frame.span, frame.start_ns, frame.now_ns))
            stack.pop()
            continue
        start, end = max(child.start_ns, frame.start_ns), min(child.end_ns, frame.end_ns)
        if frame.now_ns > end:
            sections.append(Section(frame.span, end, frame.now_ns))
        frame.now_ns = start
        stack.append(_Frame(child, start, end, trace.children.get(child.span_id, ())))
    sections.reverse()
    return sections


class _Frame:
    """A span, the window of it that is on the path, and how far back the walk has come."""

    __slots__ = ("children", "end_ns", "now_ns", "span", "start_ns")

    def __init__(self, span: Span, start_ns: int, end_ns: int, children: Sequence[Span]) -> None:
        self.span = span
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.now_ns = end_ns
        # The last to end stands last; of equals, the one that began first.
        self.children = sorted(children, key=lambda child: (min(child.end_ns, end_ns), -child.start_ns))

    def next_child(self) -> Span | None:
        """The child that ended last before now."""
        while self.children:
            child = self.children.pop()
            end_ns = min(child.end_ns, self.end_ns)
            if end_ns <= self.now_ns and end_ns > max(child.start_ns, self.start_ns):
                return child
        return None


def check(trace: Trace, sections: Sequence[Section]) -> None:
    """Assert what callers rely on: contiguous, ordered, from the root's start to its end."""
    at = trace.root.start_ns
    for section in sections:
        assert section.start_ns == at, "sections must touch"
        assert section.end_ns > at, "sections must last"
        at = section.end_ns
    assert at == trace.root.end_ns, "sections must add up to the root"
