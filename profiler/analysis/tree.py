"""One trace's spans as a tree. What does not fit is mended by a rule or set aside, and always told.

| kind of repair | found | made of it |
|---|---|---|
| merged-duplicate | a span sent twice, alike | one span |
| duplicate-id | two different spans with one id | the first |
| wrong-type | an attribute that is computed with, of a wrong type or an impossible size (`attributes.py`) | left out |
| second-root | several spans without a parent | the agent's is the root, else the longest; the others its children |
| no-root | no span without a parent, if such chains are asked for | one that failed stands in |
| orphan | a parent that is not among the spans | a child of the root |
| cycle | spans that are their own ancestors | left out |
| zero-start | a start of 0 | the start of the earliest child, else the parent's |
| no-end | no end: cut off by a crash | the latest time known below it, else the parent's end |
| negative-duration | an end before the start | an end at the start |
| clock-skew | another service's span, outside of its parent | moved, with all below it (`analysis/skew.py`) |
| outside-parent | still outside of its parent | nothing; the part that is outside is on no critical path |

They are made in this order. Nothing recurses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from profiler import semconv as sc
from profiler.analysis.attributes import unfit
from profiler.analysis.model import Repair, Span, Trace
from profiler.analysis.skew import shifts

_LONG_AFTER_1970 = 1 << 50  # ns, 13 days: no real clock shows less, so that 0 beside such times is no time
_LATEST_NS = 2**63 - 1  # what a column of integers holds


def build_trace(spans: Sequence[Span], *, unfinished: bool = False) -> Trace | None:
    """Make a tree of one trace's spans; the rules are above, what they changed is in `repairs`.

    Args:
        spans: of one trace, in any order.
        unfinished: whether a chain without a root, which was never finished, is built too: as one that failed.

    Returns:
        None if there is no root, and none is to stand in for it.
    """
    repairs: list[Repair] = []
    unique = _unique(spans, repairs)
    root = _root(unique)
    if root is None and unfinished:
        root = _stand_in(unique, repairs)
    if root is None:
        return None
    ranked = sorted(unique.values(), key=_by_start)
    parents = _parents(ranked, root, repairs)
    if not all(parent < at for at, parent in enumerate(parents)):
        ranked, parents = _without_cycles(ranked, parents, repairs)
    mended = _mended(ranked, parents, repairs)
    if mended is not ranked:
        ranked, parents = _sorted_again(mended, parents)
    if parents[0] >= 0:  # something starts before the root
        ranked, parents = _root_first(ranked, parents)
    _tell_outside(ranked, parents, repairs)
    return Trace(ranked[0], tuple(ranked), tuple(parents), tuple(repairs))


def _by_start(span: Span) -> tuple[int, int]:
    return span.start_ns, -span.end_ns  # a parent that starts together with its child stands before it


def _unique(spans: Sequence[Span], repairs: list[Repair]) -> dict[str, Span]:
    unique: dict[str, Span] = {}
    for raw in spans:
        wrong = unfit(raw.attributes) if raw.attributes else None
        span = _without(raw, wrong, repairs) if wrong else raw
        first = unique.setdefault(span.span_id, span)
        if first is span:
            continue
        if first == span:
            detail = f"span {span.span_id} was sent twice, alike: taken as one"
            repairs.append(Repair("merged-duplicate", span.span_id, detail))
        else:
            detail = f"span {span.span_id} occurs twice: the first is kept"
            repairs.append(Repair("duplicate-id", span.span_id, detail))
    return unique


def _root(unique: Mapping[str, Span]) -> Span | None:
    roots = [span for span in unique.values() if span.parent_id is None]
    if len(roots) < 2:  # noqa: PLR2004
        return roots[0] if roots else None
    return max(roots, key=lambda span: (span.operation == sc.OP_INVOKE_AGENT, span.start_ns > 0, span.duration_ns))


def _stand_in(unique: dict[str, Span], repairs: list[Repair]) -> Span | None:
    """A root in the place of the one that most spans miss, from the first start to the last time that is known."""
    missed = Counter(span.parent_id for span in unique.values() if span.parent_id not in unique)
    if not missed:
        return None
    name = str(missed.most_common(1)[0][0])
    times = [time for span in unique.values() for time in (span.start_ns, span.end_ns) if time]
    attributes = {sc.OPERATION: sc.OP_INVOKE_AGENT, sc.ERROR_TYPE: "unfinished"}
    trace_id = next(iter(unique.values())).trace_id
    start, end = min(times, default=0), max(times, default=0)
    root = Span(trace_id, name, None, "invoke_agent", start, end, attributes, failed=True)
    unique[name] = root
    detail = f"span {name} is missing, the chain's own: one from the first start to the last end stands in for it"
    repairs.append(Repair("no-root", name, detail))
    return root


def _parents(ranked: Sequence[Span], root: Span, repairs: list[Repair]) -> list[int]:
    """Where each span's parent stands."""
    place = {span.span_id: at for at, span in enumerate(ranked)}
    top = place[root.span_id]
    parents = []
    for span in ranked:
        parent = -1 if span.parent_id is None else place.get(span.parent_id, -1)
        if parent < 0 and span is not root:
            parent = top
            if span.parent_id is None:
                detail = f"span {span.span_id} is a second root: taken as a child of the first"
                repairs.append(Repair("second-root", span.span_id, detail))
            else:
                detail = f"span {span.span_id} has an unknown parent: taken as a child of the root"
                repairs.append(Repair("orphan", span.span_id, detail))
        parents.append(parent)
    return parents


def _without_cycles(
    ranked: Sequence[Span], parents: Sequence[int], repairs: list[Repair]
) -> tuple[list[Span], list[int]]:
    below: dict[int, list[int]] = {}
    for at, parent in enumerate(parents):
        below.setdefault(parent, []).append(at)
    reached = list(below[-1])
    for at in reached:  # grows while it is walked
        reached += below.get(at, ())
    if len(reached) < len(ranked):
        for at in sorted(set(range(len(ranked))) - set(reached)):
            detail = f"span {ranked[at].span_id} is its own ancestor, or below one that is: left out"
            repairs.append(Repair("cycle", ranked[at].span_id, detail))
    return _picked(ranked, parents, sorted(reached))


def _picked(ranked: Sequence[Span], parents: Sequence[int], kept: Sequence[int]) -> tuple[list[Span], list[int]]:
    """Some of the spans, in the order of `kept`; each kept span's parent is kept."""
    moved = {at: number for number, at in enumerate(kept)}
    moved[-1] = -1
    return [ranked[at] for at in kept], [moved[parents[at]] for at in kept]


def _sorted_again(spans: Sequence[Span], parents: Sequence[int]) -> tuple[list[Span], list[int]]:
    return _picked(spans, parents, sorted(range(len(spans)), key=lambda at: _by_start(spans[at])))


def _root_first(spans: Sequence[Span], parents: Sequence[int]) -> tuple[list[Span], list[int]]:
    top = parents.index(-1)
    return _picked(spans, parents, [top, *(at for at in range(len(spans)) if at != top)])


def _mended(spans: list[Span], parents: Sequence[int], repairs: list[Repair]) -> list[Span]:
    """With times that can be reckoned with; the same list if nothing had to be changed, which is nearly always."""
    known = all(span.end_ns >= span.start_ns > 0 for span in spans)
    one_service = len({span.service for span in spans}) == 1
    if known and one_service:
        return spans
    starts, ends = [span.start_ns for span in spans], [span.end_ns for span in spans]
    order = _parents_first(parents)
    if not known:
        _fill_in(spans, parents, order, starts, ends, repairs)
    if not one_service:
        moved = shifts([span.service for span in spans], parents, order, starts, ends)
        for at, (shift, told) in moved.items():
            starts[at] = min(max(starts[at] + shift, 0), _LATEST_NS)
            ends[at] = min(max(ends[at] + shift, 0), _LATEST_NS)
            if told:
                detail = f"span {spans[at].span_id} is outside of its parent by another clock: moved by {shift:+d} ns"
                repairs.append(Repair("clock-skew", spans[at].span_id, detail))
    times = zip(starts, ends, strict=True)
    if all(start == span.start_ns and end == span.end_ns for span, (start, end) in zip(spans, times, strict=True)):
        return spans
    return [span._replace(start_ns=start, end_ns=end) for span, start, end in zip(spans, starts, ends, strict=True)]


def _parents_first(parents: Sequence[int]) -> Sequence[int]:
    if all(parent < at for at, parent in enumerate(parents)):
        return range(len(parents))
    below: dict[int, list[int]] = {}
    for at, parent in enumerate(parents):
        below.setdefault(parent, []).append(at)
    order = list(below[-1])
    for at in order:
        order += below.get(at, ())
    return order


def _fill_in(
    spans: Sequence[Span],
    parents: Sequence[int],
    order: Sequence[int],
    starts: list[int],
    ends: list[int],
    repairs: list[Repair],
) -> None:
    """Starts and ends that are missing, and ends before starts."""
    real = max((*starts, *ends)) > _LONG_AFTER_1970
    no_start = {at for at, start in enumerate(starts) if start == 0 and real}
    no_end = {at for at, end in enumerate(ends) if end == 0 and (starts[at] > 0 or real)}
    if no_start or no_end:
        _from_relatives(parents, order, starts, ends, no_start, no_end)
    for at in range(len(spans)):
        name = spans[at].span_id
        if at in no_start:
            repairs.append(Repair("zero-start", name, f"span {name} starts at 0: taken as starting with its children"))
        if at in no_end:
            repairs.append(Repair("no-end", name, f"span {name} has no end: taken as ending with what is below it"))
        if ends[at] < starts[at]:
            detail = f"span {name} ends before it starts: its duration is taken as 0"
            repairs.append(Repair("negative-duration", name, detail))
            ends[at] = starts[at]


def _from_relatives(
    parents: Sequence[int],
    order: Sequence[int],
    starts: list[int],
    ends: list[int],
    no_start: set[int],
    no_end: set[int],
) -> None:
    """Missing starts and ends from what is below, then, where there is nothing, from above."""
    first, last = [0] * len(parents), [0] * len(parents)
    for at in reversed(order):
        starts[at] = first[at] if at in no_start else starts[at]
        ends[at] = max(last[at], starts[at] if last[at] else 0) if at in no_end else ends[at]
        parent = parents[at]
        if parent >= 0:
            if starts[at]:
                first[parent] = min(first[parent] or starts[at], starts[at])
            last[parent] = max(last[parent], last[at], ends[at], starts[at])
    for at in order:
        parent = parents[at]
        if at in no_start and not starts[at]:
            starts[at] = starts[parent] if parent >= 0 else ends[at]
        if at in no_end and not ends[at]:
            ends[at] = max(ends[parent], starts[at]) if parent >= 0 else starts[at]


def _tell_outside(spans: Sequence[Span], parents: Sequence[int], repairs: list[Repair]) -> None:
    for at, parent in enumerate(parents):
        if parent < 0:
            continue
        child, above = spans[at], spans[parent]
        if child.start_ns < above.start_ns or child.end_ns > above.end_ns:
            detail = f"span {child.span_id} is outside of its parent: the part outside is on no critical path"
            repairs.append(Repair("outside-parent", child.span_id, detail))


def _without(span: Span, wrong: Sequence[str], repairs: list[Repair]) -> Span:
    detail = f"span {span.span_id}: {', '.join(sorted(wrong))} of a wrong type, or more or less than can be: left out"
    repairs.append(Repair("wrong-type", span.span_id, detail))
    return span._replace(attributes={name: value for name, value in span.attributes.items() if name not in wrong})
