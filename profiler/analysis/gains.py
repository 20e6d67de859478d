"""How much shorter a chain would be without a phase: if all time of that kind, wherever it was spent, had been none.

    step    |-----------------------------|
    call A    |q|-------------------|               q: 2 of queueing
    call B    |-----q-----|--------------|          q: 6, on the critical path
    without     |-------------------|               A takes over: 3 gained, though 6 of the path were queueing

For a sequential chain that is the time of the phase on its critical path. Elsewhere the schedule is worked out again
(`analysis/schedule.py`): a phase that is on the path may be covered by what ran beside it, but never adds.
"""

from __future__ import annotations

from collections.abc import Mapping

from profiler.analysis.cluster import Cluster
from profiler.analysis.phases import Phases
from profiler.analysis.schedule import Schedule

_Gains = dict[str, int]


def gains_without_phases(schedule: Schedule, phases: Phases) -> Mapping[str, int]:
    """Phase -> nanoseconds that the chain would be shorter; phases that it has none of are not there.

    From the leaves up: each span's own work by phase, and what its children would give it.
    """
    layout = schedule.layout
    gains: list[_Gains] = [{} for _ in layout.spans]
    for at in reversed(layout.order):
        if not schedule.waited_for(at):
            continue
        total = _own(phases, at, *schedule.tail(at))
        for cluster in schedule.clusters(at):
            if len(cluster.members) == 1:  # all that it gives is the parent's
                member = cluster.members[0]
                _add(total, _own(phases, at, cluster.entry, layout.low[member]))
                _add(total, gains[member])
                continue
            lags = [
                _own(phases, at, layout.low[member] - lag, layout.low[member])
                for member, lag in zip(cluster.members, cluster.lags, strict=True)
            ]
            _add(total, _of_cluster(cluster, lags, [gains[member] for member in cluster.members]))
        gains[at] = total
    return gains[0]


def _of_cluster(cluster: Cluster, lags: list[_Gains], gains: list[_Gains]) -> _Gains:
    length = cluster.end - cluster.entry
    found: _Gains = {}
    for phase in sorted({phase for each in (*lags, *gains) for phase in each}):
        shorter = [last - each.get(phase, 0) for last, each in zip(cluster.lasts, gains, strict=True)]
        sooner = [lag - each.get(phase, 0) for lag, each in zip(cluster.lags, lags, strict=True)]
        gain = length - cluster.length(shorter, sooner)
        if gain:
            found[phase] = gain
    return found


def _own(phases: Phases, at: int, start: int, end: int) -> _Gains:
    found: _Gains = {}
    if end > start:
        for _, phase, since, until in phases.cut([(at, start, end)]):
            found[phase] = found.get(phase, 0) + until - since
    return found


def _add(total: _Gains, more: Mapping[str, int]) -> None:
    for phase, value in more.items():
        total[phase] = total.get(phase, 0) + value
