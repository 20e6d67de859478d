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
from profiler.analysis.columns import Row
from profiler.analysis.layout import STEP, Layout
from profiler.analysis.phases import PhasePiece
from profiler.analysis.units import Units


def gaps_of(
    chain: tuple[object, ...], layout: Layout, units: Units, path: Sequence[PhasePiece], *, sequential: bool
) -> list[Row]:
    """The gaps of one chain's critical path, in order of time.

    Args:
        chain: what each row begins with.
        layout: of the chain.
        units: likewise.
        path: its critical path by phase, in order of time.
        sequential: whether nothing runs beside anything else, so that no call runs beside a gap.
    """
    late = set() if sequential else _late_loop(layout, path)
    has_steps = bool(layout.steps)
    owners: dict[int, tuple[str, str]] = {}
    found: list[Row] = []
    waiting: list[PhasePiece] = []  # gaps since the last call or tool: what comes next is not known yet
    after = ""

    def close(position: int, before: str) -> None:
        between = _of_root(after, before, has_steps=has_steps)
        for at, _, start, end in waiting:
            if at not in owners:
                owners[at] = _owner(layout, at)
            owner, cause = owners[at]
            cause = "event loop" if (at, start) in late else cause or between
            found.append((*chain, position, after, before, owner, start, end - start, cause))
        waiting.clear()

    for piece in path:
        if piece[1] == "framework":
            waiting.append(piece)
        elif (unit := units.of[piece[0]]) is not None:
            if waiting:
                close(unit.position, unit.label)
            after = unit.label
    close(0, "")
    return found


def _owner(layout: Layout, at: int) -> tuple[str, str]:
    """Whose own time it is, and the cause if that decides it."""
    nearest = layout.nearest[at]
    if nearest >= 0 and layout.kind[nearest] == STEP:
        return f"step {layout.spans[nearest].attributes[sc.STEP_NODE]}", "node"
    return ("root", "") if at == 0 else (f"span {layout.spans[at].name}", "unattributed")


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
