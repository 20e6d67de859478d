"""Who is above whom in a trace that has not been mended yet: ids may be missing, twice there, or go in circles."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from profiler.analysis.model import Span


def parents(spans: Sequence[Span]) -> list[int]:
    """Where each span's parent stands, -1 if it is not there. A circle is cut, so that every way up ends."""
    place: dict[str, int] = {}
    for at, span in enumerate(spans):
        place.setdefault(span.span_id, at)
    found = [-1 if span.parent_id is None else place.get(span.parent_id, -1) for span in spans]
    ends = bytearray(len(spans))
    for start in range(len(spans)):
        way, at = set(), start
        while at >= 0 and not ends[at] and found[at] not in way and found[at] != at:
            way.add(at)
            at = found[at]
        if at >= 0 and not ends[at]:
            found[at] = -1  # where the circle closes
            way.add(at)
        for each in way:
            ends[each] = 1
    return found


def downwards(above: Sequence[int]) -> list[int]:
    """Positions, each after its parent's."""
    below: list[list[int]] = [[] for _ in above]
    order: list[int] = []
    for at, parent in enumerate(above):
        (order if parent < 0 else below[parent]).append(at)
    for at in order:  # grows while it is walked
        order += below[at]
    return order


def nearest(above: Sequence[int], kinds: Sequence[int], wanted: Collection[int]) -> list[int]:
    """Of each span, where the nearest span above it of these kinds stands; -1 if there is none."""
    found = [-1] * len(above)
    for at in downwards(above):
        parent = above[at]
        if parent >= 0:
            found[at] = parent if kinds[parent] in wanted else found[parent]
    return found
