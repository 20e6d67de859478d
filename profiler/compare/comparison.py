"""A candidate beside a base: everything that a comparison shows, from the metric tables and the manifests alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from profiler.analysis.tables import Tables
from profiler.compare.blame import Blame, blame_of
from profiler.compare.figures import Figure, Identity, figures_of, identity_of, owners_of, phases_of
from profiler.compare.order import Order, order_of
from profiler.compare.rows import RowKey, Rows, rows_of
from profiler.compare.sameness import Difference, differences
from profiler.compare.script import OffScript, off_script
from profiler.compare.sides import sides
from profiler.compare.trajectories import Change, Way, changes
from profiler.stats.paired import PairedRatio, Shift, paired_ratio, shift_of_counts
from profiler.store.manifest import Manifest

_EXACT = 1e-9  # relative: what sums of floats lose
_MOST_ROWS = 200  # of the table of steps that are tested: an agent that goes round for ever has thousands


@dataclass(frozen=True)
class Recorded:
    """A run as it enters a comparison."""

    name: str  # as the user calls it
    tables: Tables
    manifest: Manifest | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Ids of the tasks of its chains, warm-up left out."""
        chains = self.tables.chains
        return tuple(dict.fromkeys(chains["task_id"][~chains["warmup"]].astype(str)))


@dataclass(frozen=True, slots=True)
class Failures:
    """Chains that did not end well, of one run."""

    chains: int
    failed: int
    kinds: tuple[tuple[str, int], ...]  # error type, chains
    tasks: tuple[str, ...]  # that have no chain that ended well


@dataclass(frozen=True, slots=True)
class StepRow:
    """One row of the steps, in the base's order."""

    row: RowKey
    chains: tuple[int, int]  # that get there
    shift: Shift  # of its time on the critical path per chain, 0 where a chain does not get there
    ratio: PairedRatio | None  # over the tasks all of whose chains get there


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it. Base and candidate stand in this order everywhere."""

    base: str
    candidate: str
    differences: tuple[Difference, ...]
    tasks: int  # paired
    chains: tuple[int, int]  # that ended well, of the paired tasks
    left_out: tuple[tuple[str, ...], tuple[str, ...]]  # tasks that only one side has a good chain of
    figures: tuple[Figure, ...]
    phases: tuple[Figure, ...]
    owners: tuple[Figure, ...]  # whose own time the framework's is, by the difference
    identity: Identity | None
    steps: tuple[StepRow, ...]
    blame: tuple[Blame, ...]
    changes: tuple[tuple[Change, int], ...]  # with the number of the task's chains
    varying: int  # tasks whose chains take different ways within one run
    strayed: tuple[str, ...]  # those of them whose chains all take one way in the base
    off_script: tuple[OffScript, ...]
    failures: tuple[Failures, Failures]
    order: Order

    def figure(self, name: str) -> Figure | None:
        """One of `figures` by its name."""
        return next((each for each in self.figures if each.name == name), None)

    @property
    def chain_time(self) -> PairedRatio | None:
        """How many times longer the candidate's chains take."""
        found = self.figure("chain time")
        return None if found is None else found.ratio

    def check(self) -> None:
        """Phases and rows sum to the difference of chain time, and the identity holds."""
        time = self.figure("chain time")
        if time is None or time.shift.difference is None:
            return
        scale = max(time.shift.base or 0.0, time.shift.candidate or 0.0, 1.0)
        for parts in (self.phases, self.steps):
            total = sum(each.shift.difference or 0.0 for each in parts)
            if len(self.steps) < _MOST_ROWS or parts is self.phases:
                assert abs(total - time.shift.difference) < _EXACT * scale, (total, time.shift.difference)
        if self.identity is not None:
            whole, one, other = (
                np.log(each.ratio or np.nan)
                for each in (self.identity.chain, self.identity.steps, self.identity.per_step)
            )
            assert abs(whole - one - other) < _EXACT, (whole, one, other)


def compare(base: Recorded, candidate: Recorded) -> Comparison:
    """Compare two runs by the tasks that both have; what should have kept them apart is in `differences`."""
    one, other = sides(base.tables, candidate.tables)
    told = (base.tasks, candidate.tasks)
    shared = set(one.tasks)
    found = differences(base.manifest, candidate.manifest, told)
    rows = rows_of(one, other) if shared else None
    changed, varying, strayed = _changes(*rows) if rows else ((), 0, ())
    return Comparison(
        base=base.name,
        candidate=candidate.name,
        differences=found,
        tasks=len(shared),
        chains=(one.chains, other.chains),
        left_out=_left_out(base.tables, candidate.tables),
        figures=figures_of(one, other) if shared else (),
        phases=phases_of(one, other) if shared else (),
        owners=owners_of(one, other) if shared else (),
        identity=identity_of(one, other) if shared else None,
        steps=tuple(_steps(*rows)) if rows else (),
        blame=blame_of(*rows) if rows else (),
        changes=changed,
        varying=varying,
        strayed=strayed,
        off_script=off_script(base.tables, candidate.tables),
        failures=(_failures(base.tables), _failures(candidate.tables)),
        order=order_of(base.tables.chains, candidate.tables.chains),
    )


def same_chains(base: Tables, candidate: Tables) -> int:
    """How many chains are in both: copies of one run are no comparison."""
    return len(set(base.chains["trace_id"]) & set(candidate.chains["trace_id"]))


def _left_out(base: Tables, candidate: Tables) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tasks that only one run has a good chain of."""
    here, there = (
        dict.fromkeys(chains["task_id"][~chains["warmup"] & ~chains["failed"]].astype(str))
        for chains in (base.chains, candidate.chains)
    )
    return tuple(task for task in here if task not in there), tuple(task for task in there if task not in here)


def _failures(tables: Tables) -> Failures:
    chains = tables.chains[~tables.chains["warmup"]]
    failed = chains[chains["failed"]]
    good = set(chains["task_id"][~chains["failed"]])
    kinds = Counter(failed["error_type"].fillna("error").astype(str))
    tasks = tuple(dict.fromkeys(str(task) for task in failed["task_id"] if task not in good))
    return Failures(len(chains), len(failed), tuple(kinds.most_common()), tasks)


def _steps(base: Rows, candidate: Rows) -> Iterator[StepRow]:
    reached = [rows.reached() for rows in (base, candidate)]
    shown = list(range(len(base.keys)))
    if len(base.keys) > _MOST_ROWS:
        time = sum(rows.cells.sum(axis=(0, 2)) for rows in (base, candidate))
        shown = sorted(np.argsort(-time, kind="stable")[:_MOST_ROWS].tolist())
    for row in shown:
        spent = [rows.cells[:, row].sum(axis=1) for rows in (base, candidate)]
        samples = [rows.side.samples(each) for rows, each in zip((base, candidate), spent, strict=True)]
        whole = [
            {task: values for task, values in each.items() if min(values) > 0} for each in samples
        ]  # a chain that does not get there has no logarithm
        ratio = paired_ratio(*whole)
        yield StepRow(
            base.keys[row],
            (int(reached[0][:, row].sum()), int(reached[1][:, row].sum())),
            shift_of_counts(*samples),
            ratio if ratio.tasks else None,
        )


def _changes(base: Rows, candidate: Rows) -> tuple[tuple[tuple[Change, int], ...], int, tuple[str, ...]]:
    """Where all chains of a task take one way in each run, and these differ; how many tasks vary; which only now do."""
    found: list[tuple[Change, int]] = []
    varying, strayed = 0, []
    before, after = (_ways_by_task(rows) for rows in (base, candidate))
    for task, ways in before.items():
        if len(set(ways)) > 1 or len(set(after[task])) > 1:
            varying += 1
            strayed += [task] if len(set(ways)) == 1 else []
            continue
        found += [(change, len(after[task])) for change in changes(task, ways[0], after[task][0])]
    return tuple(found), varying, tuple(strayed)


def _ways_by_task(rows: Rows) -> dict[str, list[Way]]:
    found: dict[str, list[Way]] = {}
    for task, way in zip(rows.side.tasks, rows.ways, strict=True):
        found.setdefault(str(task), []).append(way)
    return found
