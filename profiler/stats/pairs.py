"""Values of the tasks that two runs share, the form in which runs are compared."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

Samples = Mapping[str, Sequence[float]]
"""Task id -> one value per chain of the task, in the order of measurement. NaN is a missing value."""

FEW_TASKS = 5
"""Below it the interval over tasks is so wide (12.7 standard errors with two) that `by_pair` is the way."""


def by_pair(samples: Samples) -> dict[str, list[float]]:
    """Every chain a task of its own, named by task and repetition, for runs of fewer than `FEW_TASKS` tasks.

    Compared that way, the i-th chain of a task in one run is paired with its i-th in the other, and the interval
    speaks of these tasks alone: how differently other tasks would react is not in it. The pairs must have been
    measured one right after the other, or what a task's chains share (a drift, a busy minute) passes for evidence.
    """
    return {f"{task} #{number}": [value] for task, values in samples.items() for number, value in enumerate(values, 1)}


def by_block(
    base: Samples, candidate: Samples, blocks: Mapping[str, Sequence[Hashable]]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Blocks of chains that ran at once in place of tasks, for measurements with concurrency.

    Chains that run side by side on one engine share its steps, its stalls and its queue, so their tasks are not
    independent, and an interval over tasks is too narrow: in the time model with five at once it raises 20% of false
    alarms per side at a nominal 2.5%. What is independent are the blocks:

        block 1   base t1 t2 t3 at once   candidate t1 t2 t3 at once      one log ratio: the mean of the three pairs'
        block 2   candidate t4 t5 t6      base t4 t5 t6                   one more

    Args:
        base: positive values per task, in the order of measurement.
        candidate: likewise; the i-th chain of a task belongs to the same block as the base's i-th.
        blocks: per task, the block of each of its pairs.

    Returns:
        For `paired_ratio`: per block 1.0 and its ratio, the geometric mean over its pairs. NaN takes its partner with
        it.

    Raises:
        ValueError: a value that is not positive and finite, or a number of chains and blocks that differs, by task.
    """
    logs: dict[str, list[float]] = {}
    for task, of in blocks.items():
        pair = base.get(task, ()), candidate.get(task, ())
        if not len(pair[0]) == len(pair[1]) == len(of):
            msg = f"task {task!r}: {len(pair[0])} and {len(pair[1])} chains in {len(of)} blocks"
            raise ValueError(msg)
        for one, other, block in zip(*pair, of, strict=True):
            if not (math.isnan(one) or math.isnan(other)):
                a, b = _values([one], task, positive=True)[0], _values([other], task, positive=True)[0]
                logs.setdefault(str(block), []).append(float(b - a))
    return {block: [1.0] for block in logs}, {block: [math.exp(sum(each) / len(each))] for block, each in logs.items()}


def paired_values(base: Samples, candidate: Samples, *, positive: bool) -> list[tuple[Any, Any]]:
    """Per task of both, in the base's order, its values as arrays without NaN; logarithms of positive ones.

    Raises:
        ValueError: a value is not finite, or not positive where it should be, naming the task.
    """
    pairs = []
    for task in base:
        if task in candidate:
            a, b = (_values(side[task], task, positive=positive) for side in (base, candidate))
            if len(a) and len(b):
                pairs.append((a, b))
    return pairs


def _values(sample: Sequence[float], task: str, *, positive: bool) -> Any:
    values = np.asarray(sample, dtype=float)
    values = values[~np.isnan(values)]
    wrong = ~np.isfinite(values) | ((values <= 0) if positive else False)
    if wrong.any():
        kind = "positive and finite" if positive else "finite"
        msg = f"task {task!r}: {values[wrong][0]:g} is not {kind}"
        raise ValueError(msg)
    return np.log(values) if positive else values


def noise_within(pairs: list[tuple[Any, Any]]) -> tuple[float | None, int]:
    """The variance of a chain within its task, pooled, and its degrees; None where no task has two chains in a run."""
    sides = [side for pair in pairs for side in pair if len(side) > 1]
    freedom = sum(len(side) - 1 for side in sides)
    squares = sum(float(((side - side.mean()) ** 2).sum()) for side in sides)
    return (squares / freedom if freedom else None), freedom
