"""Where the difference comes from: the cells (step, phase) that differ most, with what explains them.

What is told of a cell's work (tokens, cache hits, calls, tools) comes from the calls and tools of that row, averaged
like everything else over the chains of a task and then over the tasks that have the row on both sides. The time of
reading prompts and of generating is split into more work and slower work:

    time = tokens * price:   difference = (tokens' - tokens) * mean price  +  (price' - price) * mean tokens

Every call has a part that does not depend on its tokens. Of more tokens each therefore seems cheaper, down to the
inverse of how many times more there are: a price that changes no further is explained by the tokens and not told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from profiler.analysis.measured import numbers
from profiler.analysis.phases import PHASES
from profiler.compare.rows import RowKey, Rows
from profiler.compare.sides import Side
from profiler.stats.multiplicity import false_discovery
from profiler.stats.paired import PairedRatio, Samples, Shift, paired_ratio, shift_of_counts

LEAST_SHARE: Final = 0.005  # of the base's chain time: smaller differences are nobody's business
_LEAST_Q = 0.05
_TESTED = 60  # cells, the largest differences first
_NOTABLE = 0.02  # relative change of a fact that is worth a word
_NOTABLE_SHARE = 0.01
_OF_TOOLS = ("chain", "position", "tool", "duration_ns")
_OF_CALLS = (
    *("chain", "position", "failed", "input_tokens", "cached_tokens", "output_tokens", "prefill_ns", "decode_ns"),
    *("connect_ns", "pool_wait_ns", "first_late_ns", "lag_max_ns"),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something about a row's work that both sides tell."""

    name: str
    unit: str  # "ns", "count", "tokens", "share"
    base: float
    candidate: float

    @property
    def notable(self) -> bool:
        """Whether it differs by more than a reader would round away."""
        apart = abs(self.candidate - self.base)
        if self.unit == "share":
            return apart >= _NOTABLE_SHARE
        return apart > _NOTABLE * max(abs(self.base), abs(self.candidate))


@dataclass(frozen=True, slots=True)
class Blame:
    """One cell, and what explains it."""

    row: RowKey
    phase: str
    shift: Shift  # nanoseconds per chain
    chains: tuple[int, int]  # of base and candidate, that get there
    facts: tuple[Fact, ...]  # those that are notable, the telling ones first
    work_ns: float | None = None  # of the difference: more tokens; None where they are not known
    speed_ns: float | None = None  # of the difference: more time per token
    samples: tuple[str, ...] = ()  # trace ids of base and candidate: the median chains there
    q: float | None = None  # two-sided p, adjusted for the number of cells looked at (Benjamini and Hochberg)
    ratio: PairedRatio | None = None  # over the tasks that get there; None where one of their chains has none of it

    @property
    def certain(self) -> bool:
        """Whether chance alone would hardly make it, however many cells there are."""
        return self.q is not None and self.q <= _LEAST_Q


def blame_of(base: Rows, candidate: Rows) -> tuple[Blame, ...]:
    """Cells whose difference is notable, the certain ones first, by size; empty if there are none."""
    cells = [_mean_over_tasks(rows) for rows in (base, candidate)]
    apart = cells[1] - cells[0]
    least = LEAST_SHARE * float(cells[0].sum())
    order = [int(at) for at in np.argsort(-np.abs(apart), axis=None, kind="stable")[:_TESTED]]
    found = []
    reached = [rows.reached() for rows in (base, candidate)]
    works = (_Works(base), _Works(candidate))
    for at in order:
        row, phase = divmod(at, len(PHASES))
        if abs(apart[row, phase]) < least or apart[row, phase] == 0:
            break
        values = [rows.side.samples(rows.cells[:, row, phase]) for rows in (base, candidate)]
        work, speed = _split(works, row, phase)
        chains = (int(reached[0][:, row].sum()), int(reached[1][:, row].sum()))
        facts = tuple(fact for fact in _facts(works[0].at(row), works[1].at(row), PHASES[phase]) if fact.notable)
        samples = _samples(base, candidate, row, phase)
        shift, ratio = shift_of_counts(*values), _ratio(*values)
        found.append(Blame(base.keys[row], PHASES[phase], shift, chains, facts, work, speed, samples, ratio=ratio))
    tested = {str(number): _p_of(each) for number, each in enumerate(found)}
    adjusted = [replace(each, q=q) for each, q in zip(found, false_discovery(tested).values(), strict=True)]
    return tuple(sorted(adjusted, key=lambda each: not each.certain))


def _ratio(base: Samples, candidate: Samples) -> PairedRatio | None:
    """Over the tasks that have any of it on either side."""
    there = [task for task in base if any(base[task]) or any(candidate[task])]
    of_these = [{task: side[task] for task in there} for side in (base, candidate)]
    if not there or any(min(values) <= 0 for side in of_these for values in side.values()):
        return None
    return paired_ratio(*of_these)


def _p_of(blame: Blame) -> float | None:
    """Two-sided: that it is the same on both sides.

    What makes a step slower may add the same to all tasks or multiply their times, and of few tasks of unlike lengths
    each test is blind to the other's case. Both are made; that counts twice (Bonferroni).
    """
    sides = [(blame.shift.p_more, blame.shift.p_fewer)]
    if blame.ratio is not None and blame.ratio.spread is not None:
        sides.append((blame.ratio.p_above(1.0), blame.ratio.p_below(1.0)))
    known = [p for side in sides for p in side if p is not None]
    return min(1.0, 2 * len(sides) * min(known)) if known else None


def _mean_over_tasks(rows: Rows) -> np.ndarray:
    tasks = pd.Index(rows.side.tasks)
    codes, _ = pd.factorize(tasks)
    sums = np.zeros((codes.max() + 1, *rows.cells.shape[1:]))
    np.add.at(sums, codes, rows.cells)
    means: np.ndarray = (sums / np.bincount(codes)[:, None, None]).mean(axis=0)
    return means


def _samples(base: Rows, candidate: Rows, row: int, phase: int) -> tuple[str, ...]:
    """Of the task whose difference is largest, the median chain of each side by this cell."""
    values = [rows.cells[:, row, phase] for rows in (base, candidate)]
    before, after = (rows.side.by_task(each) for rows, each in zip((base, candidate), values, strict=True))
    task = (after - before).abs().idxmax()
    found = []
    for rows, each in zip((base, candidate), values, strict=True):
        own = np.flatnonzero(rows.side.tasks == task)
        middle = own[np.argsort(each[own], kind="stable")[(len(own) - 1) // 2]]
        found.append(str(rows.side.measured.chains["trace_id"].iloc[middle]))
    return tuple(found)


class _Works:
    """Calls and tools of one side, by row: each row is looked up for several phases."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        measured = rows.side.measured
        tables = (measured.calls[list(_OF_CALLS)], measured.tools[list(_OF_TOOLS)])
        self._tables = [
            (table, rows.rows_at(table["chain"].to_numpy(), table["position"].to_numpy())) for table in tables
        ]
        self._known: dict[int, _Work] = {}

    def at(self, row: int) -> _Work:
        """What happens in a row."""
        if row not in self._known:
            calls, tools = (table[at == row] for table, at in self._tables)
            self._known[row] = _Work(self.rows.side, calls, tools)
        return self._known[row]


class _Work:
    """Calls and tools of one row on one side."""

    def __init__(self, side: Side, calls: pd.DataFrame, tools: pd.DataFrame) -> None:
        self.side, self.calls, self.tools = side, calls, tools
        self.answered = calls[~calls["failed"]]
        self.computed = self.answered["input_tokens"] - self.answered["cached_tokens"]

    def per_call(self, values: pd.Series[float]) -> pd.Series[float]:
        return self.side.rows_by_task(self.answered, numbers(values))

    def per_chain(self, table: pd.DataFrame, values: np.ndarray) -> pd.Series[float]:
        """Sum over a chain's rows here, mean per task, of tasks that have any."""
        total = self.side.by_task(self.side.measured.per_chain(table, values))
        return total[total.index.isin(set(self.side.tasks[table["chain"]]))]


def _split(works: tuple[_Works, _Works], row: int, phase: int) -> tuple[float | None, float | None]:
    """The parts of a difference that more tokens and slower tokens make, mean over all tasks."""
    if PHASES[phase] not in ("prefill", "decode"):
        return None, None
    times, amounts = [], []
    for each in works:
        rows, work = each.rows, each.at(row)
        count = _token_count(work.answered, PHASES[phase])
        if not len(count) or np.isnan(count).any():
            return None, None
        per_chain = rows.side.measured.per_chain(work.answered, count)
        times.append(float(rows.side.by_task(rows.cells[:, row, phase]).mean()))
        amounts.append(float(rows.side.by_task(per_chain).mean()))
    if min(amounts) <= 0:
        return None, None
    prices = [time / amount for time, amount in zip(times, amounts, strict=True)]
    return (
        (amounts[1] - amounts[0]) * (prices[0] + prices[1]) / 2,
        (prices[1] - prices[0]) * (amounts[0] + amounts[1]) / 2,
    )


def _token_count(calls: pd.DataFrame, phase: str) -> np.ndarray:
    if phase == "decode":
        after_first: np.ndarray = np.maximum(numbers(calls["output_tokens"]) - 1, 0)
        return after_first
    computed: np.ndarray = numbers(calls["input_tokens"]) - numbers(calls["cached_tokens"])
    return computed


def _facts(one: _Work, other: _Work, phase: str) -> Iterator[Fact]:
    """What both sides tell of a row's work as far as it bears on a phase, the telling ones first."""
    calls = [work.per_chain(work.calls, np.ones(len(work.calls))) for work in (one, other)]
    if phase == "prefill":
        yield from _fact("prompt", "tokens", *(work.per_call(work.answered["input_tokens"]) for work in (one, other)))
        yield from _share(one, other)
        yield from _fact("to compute", "tokens", *(work.per_call(work.computed) for work in (one, other)))
        yield from _price("time per computed token", phase, one, other)
    elif phase == "decode":
        yield from _fact("output", "tokens", *(work.per_call(work.answered["output_tokens"]) for work in (one, other)))
        yield from _price("time per token", phase, one, other)
    elif phase == "tool":
        for name in sorted({*one.tools["tool"], *other.tools["tool"]}):
            yield from _tool(name, one, other)
    elif phase == "client":
        for column, name in (("connect_ns", "connecting"), ("pool_wait_ns", "waiting for a connection")):
            yield from _fact(name, "ns", *(work.per_call(work.answered[column].fillna(0)) for work in (one, other)))
    elif phase == "delivery":
        late = "first token on its way"
        yield from _fact(late, "ns", *(work.per_call(work.answered["first_late_ns"]) for work in (one, other)))
        lag = "event loop late by"
        yield from _fact(lag, "ns", *(work.per_call(work.answered["lag_max_ns"]) for work in (one, other)))
    elif phase == "unaccounted":
        for column, name in (("input_tokens", "prompt"), ("output_tokens", "output")):
            yield from _fact(name, "tokens", *(work.per_call(work.answered[column]) for work in (one, other)))
    if phase in ("retry", "queue"):
        failed = [work.per_chain(work.calls, work.calls["failed"].to_numpy(float)) for work in (one, other)]
        yield from _fact("failed attempts", "count", *failed)
    if phase != "tool":
        yield from _fact("calls", "count", *calls)


def _fact(name: str, unit: str, before: pd.Series[float], after: pd.Series[float]) -> Iterator[Fact]:
    """Over the tasks of which both sides tell it."""
    both = before.dropna().index.intersection(after.dropna().index)
    if len(both):
        yield Fact(name, unit, float(before[both].mean()), float(after[both].mean()))


def _share(one: _Work, other: _Work) -> Iterator[Fact]:
    told = []
    for work in (one, other):
        known = work.answered[work.answered["cached_tokens"].notna() & work.answered["input_tokens"].notna()]
        told.append([work.side.rows_by_task(known, numbers(known[name])) for name in ("cached_tokens", "input_tokens")])
    both = told[0][0].index.intersection(told[1][0].index)
    if len(both) and all(prompt[both].sum() > 0 for _, prompt in told):
        shares = [float(cached[both].sum() / prompt[both].sum()) for cached, prompt in told]
        yield Fact("cache hits", "share", *shares)


def _price(name: str, phase: str, one: _Work, other: _Work) -> Iterator[Fact]:
    """Unless it is only that a call's fixed part is shared by another number of tokens."""
    prices, amounts = [], []
    for work in (one, other):
        count = _token_count(work.answered, phase)
        time = numbers(work.answered[f"{phase}_ns"])
        known = ~np.isnan(count) & ~np.isnan(time) & (count > 0)
        if not known.any():
            return
        prices.append(float(time[known].sum() / count[known].sum()))
        amounts.append(float(count[known].mean()))
    if prices[0] > 0 and amounts[0] != amounts[1]:
        least, most = sorted((1.0, amounts[0] / amounts[1]))
        if least <= prices[1] / prices[0] <= most:
            return
    yield Fact(name, "ns", *prices)


def _tool(name: str, one: _Work, other: _Work) -> Iterator[Fact]:
    """How often it runs per chain, and how long each time."""
    runs, lasting = [], []
    for work in (one, other):
        own = (work.tools["tool"] == name).to_numpy()
        table = work.tools[own]
        runs.append(work.side.by_task(work.side.measured.per_chain(table, np.ones(len(table)))))
        lasting.append(work.side.rows_by_task(table, numbers(table["duration_ns"])))
    yield from _fact(f"{name} per chain", "count", *runs)
    yield from _fact(f"{name} each", "ns", *lasting)
