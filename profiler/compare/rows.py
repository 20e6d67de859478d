"""The time of both runs' chains by step and phase: rows of the base's order, cells that sum to the chain.

A cell is the critical-path time of a phase in a row of the steps, per chain, 0 where a chain does not get there: mean
over the chains of a task, then over tasks. What is in no step is a row of its own, so the cells of a run sum to its
chain time and the differences of cells to the difference of chain times, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from profiler.analysis.measured import Array, numbers
from profiler.analysis.phases import PHASES
from profiler.compare.sides import Side
from profiler.compare.trajectories import Slot, Way, slots, usual, ways_of


@dataclass(frozen=True, slots=True, order=True)
class RowKey:
    """A row of the steps: where it stands in the base's order, and what it is."""

    position: int
    added: bool  # after that step of the base, which does not have it
    label: str
    kind: str  # "call" or "tool"; "" for what is in no step


OUTSIDE = RowKey(1_000_000_000, added=False, label="between the steps", kind="")


@dataclass(frozen=True)
class Rows:
    """The rows of one side."""

    side: Side
    ways: tuple[Way, ...]  # of each chain
    keys: tuple[RowKey, ...]  # of all rows, the same on both sides
    row_of: Mapping[tuple[int, int], int]  # chain, position -> row
    cells: Array  # chains x rows x phases, nanoseconds

    def reached(self) -> Array:
        """Chains x rows: whether a chain has the step."""
        found = np.zeros(self.cells.shape[:2], dtype=bool)
        for (chain, _), row in self.row_of.items():
            found[chain, row] = True
        found[:, -1] = True
        return found

    def rows_at(self, chain: Array, position: Array) -> Array:
        """Of rows of a table, the row of the steps that they are in; -1 for none."""
        places = zip(chain.tolist(), position.tolist(), strict=True)
        return np.array([self.row_of.get(place, -1) for place in places], dtype=int)


def rows_of(base: Side, candidate: Side) -> tuple[Rows, Rows]:
    """Both sides by the same rows: every chain is laid along what most chains of its task do in the base."""
    ways = [ways_of(side) for side in (base, candidate)]
    references = {
        task: usual([way for way, its in zip(ways[0], base.tasks, strict=True) if its == task])
        for task in dict.fromkeys(base.tasks)
    }
    placed = [_placed(side, each, references) for side, each in zip((base, candidate), ways, strict=True)]
    keys = (*sorted({key for places in placed for key in places.values()}), OUTSIDE)
    numbered = {key: number for number, key in enumerate(keys)}
    one, other = (
        _rows(side, tuple(each), keys, {place: numbered[key] for place, key in places.items()})
        for side, each, places in zip((base, candidate), ways, placed, strict=True)
    )
    return one, other


def _placed(side: Side, ways: list[Way], references: Mapping[str, Way]) -> dict[tuple[int, int], RowKey]:
    """Of each chain's steps, by its position there, the row."""
    known: dict[tuple[Way, Way], list[Slot]] = {}
    steps = side.measured.steps[["chain", "position"]].drop_duplicates().sort_values(["chain", "position"])
    own: list[list[int]] = [[] for _ in range(side.chains)]
    for chain, position in zip(steps["chain"], steps["position"], strict=True):
        own[chain].append(int(position))
    found = {}
    for chain, (way, task) in enumerate(zip(ways, side.tasks, strict=True)):
        pair = (references[task], way)
        if pair not in known:
            known[pair] = slots(*pair)
        for position, stage, slot in zip(own[chain], way, known[pair], strict=True):
            found[chain, position] = RowKey(slot.position, slot.added, stage.label, stage.kind)
    return found


def _rows(side: Side, ways: tuple[Way, ...], keys: tuple[RowKey, ...], row_of: Mapping[tuple[int, int], int]) -> Rows:
    cells: Array = np.zeros((side.chains, len(keys), len(PHASES)))
    steps, chains = side.measured.steps, side.measured.chains
    where = (
        steps["chain"].to_numpy(),
        np.array([row_of[place] for place in zip(steps["chain"], steps["position"], strict=True)], dtype=int),
    )
    for number, phase in enumerate(PHASES):
        np.add.at(cells[:, :, number], where, numbers(steps[f"{phase}_ns"]))
        cells[:, -1, number] = numbers(chains[f"{phase}_ns"]) - cells[:, :-1, number].sum(axis=1)
    return Rows(side, ways, keys, row_of, cells)
