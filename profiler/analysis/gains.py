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
    layout, low, high = schedule.layout, schedule.layout.low, schedule.layout.high
    gains: list[_Gains] = [{} for _ in layout.spans]
    for at in reversed(layout.order):
        if low[at] > high[at]:
            continue
        children = layout.below[at]
        if at in schedule.forked:
            gains[at] = _of_fork(schedule, phases, at, gains)
        elif not children:
            gains[at] = phases.own(at, low[at], high[at])
        else:  # one after the other: all that a child gives is its parent's
            total = gains[at]
            ended = low[at]
            for child in children:
                if low[child] <= high[child]:
                    _add(total, phases.own(at, ended, low[child]))
                    _add(total, gains[child])
                    ended = high[child]
            _add(total, phases.own(at, ended, high[at]))
    return gains[0]


def _of_fork(schedule: Schedule, phases: Phases, at: int, gains: list[_Gains]) -> _Gains:
    low = schedule.layout.low
    total: _Gains = {}
    for cluster in schedule.clusters(at):
        if len(cluster.members) == 1:
            member = cluster.members[0]
            _add(total, phases.own(at, cluster.entry, low[member]))
            _add(total, gains[member])
            continue
        lags = [
            phases.own(at, low[member] - lag, low[member])
            for member, lag in zip(cluster.members, cluster.lags, strict=True)
        ]
        _add(total, _of_cluster(cluster, lags, [gains[member] for member in cluster.members]))
    _add(total, phases.own(at, *schedule.tail(at)))
    return total


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


def _add(total: _Gains, more: Mapping[str, int]) -> None:
    for phase, value in more.items():
        total[phase] = total.get(phase, 0) + value
