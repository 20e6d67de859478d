"""Two sides, chain by chain: never both at once, in an order that lets drift cancel, until a judge has seen enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from profiler.ab.order import Order
from profiler.ab.side import Side
from profiler.record.pace import Ended

Durations = dict[str, list[float]]  # task -> seconds of each chain that ended well, in order


@dataclass
class Measured:
    """What has been seen so far, of each side.

    Attributes:
        seconds: end-to-end times by task; only tasks and rounds in which both sides' chains ended well.
        failures: what failed, in words.
        chains: how many were run, warm-up left out, both sides together.
        rounds: how many are complete.
    """

    seconds: tuple[Durations, Durations] = field(default_factory=lambda: ({}, {}))
    failures: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    chains: int = 0
    rounds: int = 0


def measure(
    sides: tuple[Side, Side],
    tasks: Sequence[str],
    *,
    rounds: int,
    warmup: int,
    timeout_s: float,
    seed: int,
    on_pair: Callable[[str, int, Ended, Ended], None],
    enough: Callable[[Measured], bool],
) -> Measured:
    """Run pairs of chains.

    Args:
        sides: both ready; each runs its warm-up chains and then all tasks in this order, round after round.
        tasks: their ids.
        rounds: how many at most: chains per task and side.
        warmup: chains of each side before.
        timeout_s: of one chain.
        seed: of the order.
        on_pair: is told of each pair: task, round, the chain of A, the chain of B.
        enough: is asked after each round whether to stop.

    Raises:
        ProfilerError: a side ended.
    """
    for _ in range(warmup):
        for side in sides:
            side.chain(timeout_s)
    order = Order(tasks, seed)
    seen = Measured()
    for number in range(1, rounds + 1):
        for task in tasks:
            ended: dict[int, Ended] = {}
            for which in order.of(number, task):
                ended[which] = sides[which].chain(timeout_s)
            _take(seen, task, ended[0], ended[1])
            on_pair(task, number, ended[0], ended[1])
        seen.rounds = number
        if enough(seen):
            break
    return seen


def _take(seen: Measured, task: str, *ended: Ended) -> None:
    seen.chains += len(ended)
    for failures, each in zip(seen.failures, ended, strict=True):
        if each.failure is not None:
            failures.append(f"{task}: {each.failure}")
    if all(each.failure is None for each in ended):
        for seconds, each in zip(seen.seconds, ended, strict=True):
            seconds.setdefault(task, []).append(each.e2e_ns / 1e9)
