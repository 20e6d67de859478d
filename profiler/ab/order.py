"""Who goes first: randomised ABBA by task, so that whatever drifts, drifts over both sides alike.

task 1    A B  ...  B A        each pair of rounds has both orders
task 2    B A  ...  A B        which comes first is drawn per task
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

A: Final = 0
B: Final = 1


class Order:
    """The order of the two sides in each round, for each task."""

    def __init__(self, tasks: Sequence[str], seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - an order, no secret
        self._tasks = tasks
        self._first: dict[tuple[int, str], int] = {}

    def of(self, round_number: int, task: str) -> tuple[int, int]:
        """Sides in the order in which they take a task in a round, which counts from 1.

        The first round of a pair is drawn, the second is its mirror image.
        """
        pair, second = divmod(round_number - 1, 2)
        first = self._first.get((pair, task))
        if first is None:
            for each in self._tasks:  # drawn for all at once: who asks for what first does not matter
                self._first[pair, each] = self._random.randrange(2)
            first = self._first[pair, task]
        first ^= second
        return (first, 1 - first)
