"""Two sides, pair by pair: never both at once, in an order that lets drift cancel, until it is clear or cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from profiler.ab.side import Side
from profiler.record.pace import Ended
from profiler.stats.sequential import Look, Plan, look, turns

Seconds = dict[str, list[float]]  # task -> end-to-end times of its chains, in order


@dataclass
class Measured:
    """What has been seen.

    Attributes:
        seconds: of each side; a chain that failed takes its partner with it.
        failures: of each side, in words.
        failed_alone: pairs in which only that side failed.
        pairs: how many were run.
        pairs_are_units: of the interval: pairs, not tasks.
        look: what the last look came to; None if there was none.
    """

    seconds: tuple[Seconds, Seconds] = field(default_factory=lambda: ({}, {}))
    failures: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    failed_alone: tuple[int, int] = (0, 0)
    pairs: int = 0
    pairs_are_units: bool = False
    look: Look | None = None

    def take(self, task: str, *ended: Ended) -> None:
        """One more pair: A's chain and B's."""
        self.pairs += 1
        for failures, each in zip(self.failures, ended, strict=True):
            if each.failure is not None:
                failures.append(f"{task}: {each.failure}")
        a, b = (each.failure is not None for each in ended)
        self.failed_alone = (self.failed_alone[0] + (a and not b), self.failed_alone[1] + (b and not a))
        if not (a or b):
            for seconds, each in zip(self.seconds, ended, strict=True):
                seconds.setdefault(task, []).append(each.e2e_ns / 1e9)


def measure(
    sides: tuple[Side, Side],
    tasks: Sequence[str],
    plan: Plan,
    *,
    rounds: int,
    warmup: int,
    timeout_s: float,
    seed: int,
    on_pair: Callable[[str, int, Ended, Ended], None],
    to_the_end: bool = False,
) -> Measured:
    """Run pairs of chains until a planned look decides, or finds that none will.

    Args:
        sides: both ready.
        tasks: their ids.
        plan: when to look.
        rounds: how many at most: chains per task and side.
        warmup: chains of each side before.
        timeout_s: of one chain.
        seed: of the order.
        on_pair: is told of each pair: task, round, the chain of A, the chain of B.
        to_the_end: look, but stop for nothing.

    Raises:
        ProfilerError: a side ended.
    """
    for number in range(warmup):
        for side in sides:
            side.chain(tasks[number % len(tasks)], number + 1, timeout_s)
    seen = Measured(pairs_are_units=plan.pairs_are_units)
    done: Counter[str] = Counter()
    for task, first, _ in turns(tasks, rounds, seed):
        done[task] += 1
        which = 0 if first == "A" else 1
        ended = {at: sides[at].chain(task, done[task], timeout_s) for at in (which, 1 - which)}
        seen.take(task, ended[0], ended[1])
        on_pair(task, done[task], ended[0], ended[1])
        if seen.pairs in plan.pairs and seen.seconds[0]:
            seen.look = look(plan, plan.pairs.index(seen.pairs), *seen.seconds)
            if seen.look.final and not to_the_end:
                break
    return seen
