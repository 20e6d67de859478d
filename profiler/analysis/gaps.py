"""Idle gaps: pieces of the critical path in which neither a call nor a tool was active, and whose they were.

    root      |----------------------------------------------------|
    step        |------ model ------|     |---- tools ----|
    call            |---------|               |-------|
    gaps      start node     node between   node      node   end

Their durations sum to the chain's framework phase. What a gap is put down to:

    event loop     a call that runs beside it says that the loop was late by at least half of the gap
    node           own time of a step: the node's code
    start, end     own time of the root before the first unit, after the last
    between steps  own time of the root between units of a graph: scheduling, serialisation, checkpointing
    unattributed   the rest: an agent without a graph, spans of other libraries
"""

from __future__ import annotations

from collections.abc import Sequence

from profiler import semconv as sc
from profiler.analysis.layout import STEP, Layout
from profiler.analysis.phases import PhasePiece
from profiler.analysis.units import Units

Gap = tuple[int, str, str, str, int, int, str]  # position, after, before, owner, start, duration, cause


def gaps_of(layout: Layout, units: Units, path: Sequence[PhasePiece], *, sequential: bool) -> list[Gap]:
    """The gaps of one chain's critical path, in order of time.

    Args:
        layout: of the chain.
        units: likewise.
        path: its critical path by phase, in order of time.
        sequential: whether nothing runs beside anything else, so that no call runs beside a gap.
    """
    late = set() if sequential else _late_loop(layout, path)
    has_steps = bool(layout.steps)
    found: list[Gap] = []
    open_gaps: list[tuple[int, str, int, int, str]] = []  # since the last call or tool
    after = ""

    def close(position: int, before: str) -> None:
        for at, owner, start, end, known in open_gaps:
            cause = "event loop" if (at, start) in late else known or _of_root(after, before, has_steps=has_steps)
            found.append((position, after, before, owner, start, end - start, cause))
        open_gaps.clear()

    for at, phase, start, end in path:
        if phase == "framework":
            open_gaps.append((at, *_owner(layout, at, start, end)))
            continue
        unit = units.of[at]
        if unit is not None:
            close(unit.position, unit.label)
            after = unit.label
    close(0, "")
    return found


def _owner(layout: Layout, at: int, start: int, end: int) -> tuple[str, int, int, str]:
    """Whose own time it is, with its extent, and the cause if the owner decides it."""
    nearest = layout.nearest[at]
    if nearest >= 0 and layout.kind[nearest] == STEP:
        return f"step {layout.spans[nearest].attributes[sc.STEP_NODE]}", start, end, "node"
    if at == 0:
        return "root", start, end, ""
    return f"span {layout.spans[at].name}", start, end, "unattributed"


def _of_root(after: str, before: str, *, has_steps: bool) -> str:
    if after and before:
        return "between steps" if has_steps else "unattributed"
    if after or before:
        return "end" if after else "start"
    return "unattributed"


def _late_loop(layout: Layout, path: Sequence[PhasePiece]) -> set[tuple[int, int]]:
    """Gaps (span, start) beside which a call ran that saw the loop late by at least half of the gap."""
    lags = [
        (span.start_ns, span.end_ns, lag)
        for span in (layout.spans[at] for at in layout.calls)
        if (lag := span.attributes.get(sc.LOOP_LAG_MAX_NS))
    ]
    late: set[tuple[int, int]] = set()
    running: list[tuple[int, int, int]] = []
    begun = 0
    for at, phase, start, end in path:
        if phase != "framework":
            continue
        while begun < len(lags) and lags[begun][0] < end:
            running.append(lags[begun])
            begun += 1
        running = [call for call in running if call[1] > start]
        if any(2 * lag >= end - start for _, _, lag in running):
            late.add((at, start))
    return late
