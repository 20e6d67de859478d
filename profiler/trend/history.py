"""Runs in the order of time, put into series: what is in one series may be compared.

run 1   react, sim 0.1, 2 cores      series 1
run 2   react, sim 0.1, 2 cores      series 1
run 3   react, sim 0.1, 4 cores      series 2: cores 2 -> 4
run 4   react, sim 0.1, 2 cores      series 1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from profiler.compare.sameness import KINDS, Difference, differences, refused
from profiler.store.manifest import Manifest
from profiler.trend.figures import PerTask

_BUT_TASKS: Final = frozenset(KINDS) - {"tasks"}
_SHARED: Final = 0.5  # of the tasks of either, at least, or it is another series


@dataclass(frozen=True)
class Run:
    """What a history keeps of a run."""

    name: str
    time: float  # seconds since the epoch, at which it began
    manifest: Manifest
    values: Mapping[str, PerTask]  # by metric
    chains: int  # that ended well, warm-up left out
    failed: int
    trace_ids: frozenset[str] = frozenset()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks with a chain that ended well."""
        return tuple(self.values.get("chain_time", ()))

    @property
    def commit(self) -> str | None:
        """Of the agent's repository, whole; None if that is not known."""
        found = (self.manifest.git or {}).get("commit")
        return str(found) if found else None

    @property
    def dirty(self) -> bool:
        """Whether the agent's folder had changes that were not committed."""
        return bool((self.manifest.git or {}).get("dirty"))


@dataclass(frozen=True)
class Series:
    """Runs that may be compared, the oldest first."""

    number: int  # from 1
    runs: tuple[Run, ...]
    tasks: tuple[str, ...]  # that all of them have, with the same text
    tasks_left_out: int  # that some of them have
    differs: tuple[Difference, ...] = ()  # from series 1 of the same agent: what makes it another

    @property
    def agent(self) -> str:
        """The agent's name."""
        return self.runs[0].manifest.agent.get("name", "agent")


def series_of(runs: Iterable[Run]) -> tuple[Series, ...]:
    """Put runs into series, by time; the series in the order of their first run.

    A run belongs to the first series from whose first run it differs in nothing that would keep `profiler compare` from
    comparing them, tasks excepted: of these, half of the tasks of either have to be in both.
    """
    groups: list[list[Run]] = []
    shared: list[list[str]] = []
    for run in sorted(runs, key=lambda each: (each.time, each.name)):
        for number, group in enumerate(groups):
            common = _common(shared[number], group, run)
            enough = len(common) >= _SHARED * max(len(shared[number]), len(run.tasks))
            if common and enough and not _apart(group[0], run):
                group.append(run)
                shared[number] = common
                break
        else:
            groups.append([run])
            shared.append(list(run.tasks))
    return tuple(_series(number, groups, shared[number]) for number in range(len(groups)))


def _series(number: int, groups: Sequence[Sequence[Run]], tasks: Sequence[str]) -> Series:
    group = groups[number]
    names = {run.manifest.agent.get("name") for run in group}
    first = next(each[0] for each in groups if each[0].manifest.agent.get("name") in names)
    every = {task for run in group for task in run.tasks}
    apart = () if first is group[0] else (_apart(first, group[0]) or _other_tasks(first, group[0]))
    return Series(number + 1, tuple(group), tuple(tasks), len(every - set(tasks)), apart)


def _common(tasks: Iterable[str], group: Sequence[Run], run: Run) -> list[str]:
    """Tasks of a series that this run has as well, asking the same."""
    here = set(run.tasks)
    asked, texts = (each.manifest.tasks.get("digests") or {} for each in (group[-1], run))
    other = {task for task in asked.keys() & texts.keys() if asked[task] != texts[task]}
    return [task for task in tasks if task in here and task not in other]


def _apart(one: Run, other: Run) -> tuple[Difference, ...]:
    tasks = (one.tasks, other.tasks)
    return tuple(
        each for each in refused(differences(one.manifest, other.manifest, tasks), ()) if each.kind in _BUT_TASKS
    )


def _other_tasks(one: Run, other: Run) -> tuple[Difference, ...]:
    found = differences(one.manifest, other.manifest, (one.tasks, other.tasks))
    return tuple(each for each in found if each.kind == "tasks")
