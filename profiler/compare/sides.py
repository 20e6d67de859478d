"""One side of a comparison: the chains of the tasks that both runs have, as values per task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.measured import Array, Measured, numbers
from profiler.analysis.tables import Tables

Samples = Mapping[str, Sequence[float]]  # task id -> a value per chain


@dataclass(frozen=True)
class Side:
    """The chains that count (ended well, no warm-up) of the tasks that both sides have such chains of."""

    measured: Measured
    tasks: Array  # of each chain, its task's id

    @property
    def chains(self) -> int:
        """How many."""
        return len(self.tasks)

    def samples(self, values: Array) -> Samples:
        """A value per chain, by task, in the order of measurement."""
        found: dict[str, list[float]] = {}
        for task, value in zip(self.tasks, np.asarray(values, float), strict=True):
            found.setdefault(str(task), []).append(float(value))
        return found

    def by_task(self, values: Array) -> pd.Series[float]:
        """Mean per task of a value per chain."""
        return pd.Series(np.asarray(values, float)).groupby(self.tasks).mean()

    def rows_by_task(self, table: pd.DataFrame, values: Array) -> pd.Series[float]:
        """Mean per task of a value per row of one of the tables; what is missing counts nowhere."""
        return pd.Series(np.asarray(values, float)).groupby(self.tasks[table["chain"].to_numpy()]).mean()


def sides(base: Tables, candidate: Tables) -> tuple[Side, Side]:
    """Both, with the tasks that they share; empty if they share none."""
    measured = (Measured.of(base), Measured.of(candidate))
    here, there = (set(side.chains["task_id"]) for side in measured)
    one, other = (_side(side, here & there) for side in measured)
    return one, other


def _side(measured: Measured, tasks: set[str]) -> Side:
    kept = measured.chains["task_id"].isin(tasks).to_numpy()
    number = np.where(kept, np.cumsum(kept) - 1, -1)

    def of_these(table: pd.DataFrame) -> pd.DataFrame:
        chain = number[table["chain"].to_numpy()]
        found: pd.DataFrame = table.assign(chain=chain)[chain >= 0]
        return found.reset_index(drop=True)

    chains = measured.chains[kept].reset_index(drop=True)
    rows = {name: of_these(getattr(measured, name)) for name in ("calls", "steps", "tools", "gaps")}
    return Side(replace(measured, chains=chains, **rows), chains["task_id"].to_numpy(dtype=object))


def positions(side: Side) -> Array:
    """Of each chain, the number of steps: nodes that run side by side are one."""
    steps = side.measured.steps[["chain", "position"]].drop_duplicates()
    return np.bincount(steps["chain"], minlength=side.chains).astype(float)


def tokens(side: Side, column: str) -> Array:
    """Of each chain, the sum over the calls that ended well; missing where one of them tells none."""
    calls = side.measured.answered
    values = numbers(calls[column])
    total = side.measured.per_chain(calls, values)
    unknown = np.bincount(calls["chain"][np.isnan(values)], minlength=side.chains) > 0
    none = np.bincount(calls["chain"], minlength=side.chains) == 0
    found: Any = np.where(unknown | none, np.nan, total)
    return found
