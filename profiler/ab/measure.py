"""Two sides, pair by pair: never both at once, in an order that lets drift cancel, until it is clear or cannot be."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from profiler.ab.side import Side
from profiler.record.pace import Ended
from profiler.stats.sequential import Look, Plan, cut_short, look, turns

Seconds = dict[str, list[float]]  # task -> end-to-end times of its chains, in order
_OFF_SCRIPT: Final = "ScriptMismatch:"  # how the failure of a chain begins that asks for a call which its script lacks


class Stop(Enum):
    """Why no further pair was run."""

    DECIDED = "decided"
    HOPELESS = "the rest is unlikely to decide"
    ROUNDS = "all rounds were run"
    TIME = "the time was used up"
    OFF_SCRIPT = "B asks for calls that its script lacks"


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
        ended_well: of each side, task and seconds of the chains that ended well, in the order of measurement.
        off_script: chains of each side that asked for a call which their script lacks.
        stop: why it ended.
        took_s: seconds from the first chain of warm-up to the end of the last.
    """

    seconds: tuple[Seconds, Seconds] = field(default_factory=lambda: ({}, {}))
    failures: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    failed_alone: tuple[int, int] = (0, 0)
    pairs: int = 0
    pairs_are_units: bool = False
    look: Look | None = None
    ended_well: tuple[list[tuple[str, float]], list[tuple[str, float]]] = field(default_factory=lambda: ([], []))
    off_script: tuple[int, int] = (0, 0)
    stop: Stop = Stop.ROUNDS
    took_s: float = 0.0

    def take(self, task: str, *ended: Ended) -> None:
        """One more pair: A's chain and B's."""
        self.pairs += 1
        for failures, series, each in zip(self.failures, self.ended_well, ended, strict=True):
            if each.failure is not None:
                failures.append(f"{task}: {each.failure}")
            else:
                series.append((task, each.e2e_ns / 1e9))
        here, there = ((each.failure or "").startswith(_OFF_SCRIPT) for each in ended)
        self.off_script = (self.off_script[0] + here, self.off_script[1] + there)
        a, b = (each.failure is not None for each in ended)
        self.failed_alone = (self.failed_alone[0] + (a and not b), self.failed_alone[1] + (b and not a))
        if not (a or b):
            for seconds, each in zip(self.seconds, ended, strict=True):
                seconds.setdefault(task, []).append(each.e2e_ns / 1e9)


def measure(
    sides: tuple[Side, Side],
    tasks: Sequence[str],
    plan: Plan | None,
    *,
    rounds: int,
    warmup: int,
    timeout_s: float,
    seed: int,
    on_pair: Callable[[str, int, Ended, Ended], None],
    to_the_end: bool = False,
    within_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Measured:
    """Run pairs of chains until a planned look decides, or finds that none will, or time is up.

    A look that time makes the last one gets what the looks before it left of the error: when time is up depends on how
    long chains of both sides take together, not on which of them are longer.

    Args:
        sides: both ready.
        tasks: their ids.
        plan: when to look; None runs all rounds without a look.
        rounds: how many at most: chains per task and side.
        warmup: chains of each side before.
        timeout_s: of one chain.
        seed: of the order.
        on_pair: is told of each pair: task, round, the chain of A, the chain of B.
        to_the_end: look, but stop for nothing but the time.
        within_s: seconds after which no further pair begins.
        clock: tells seconds.

    Raises:
        ProfilerError: a side ended.
    """
    began = clock()
    for number in range(warmup):
        for side in sides:
            side.chain(tasks[number % len(tasks)], number + 1, timeout_s)
    seen = Measured(pairs_are_units=plan is not None and plan.pairs_are_units)
    done: Counter[str] = Counter()
    for task, first, _ in turns(tasks, rounds, seed):
        done[task] += 1
        which = 0 if first == "A" else 1
        ended = {at: sides[at].chain(task, done[task], timeout_s) for at in (which, 1 - which)}
        seen.take(task, ended[0], ended[1])
        on_pair(task, done[task], ended[0], ended[1])
        seen.took_s = clock() - began
        late = within_s is not None and seen.took_s >= within_s and seen.pairs < rounds * len(tasks)
        if plan is not None:
            stop = _looked(seen, cut_short(plan, seen.pairs) if late else plan)
            if stop is not None and not to_the_end:
                seen.stop = stop
                break
        if late:
            seen.stop = Stop.TIME
            break
        of_a, of_b = seen.off_script
        if of_b > of_a and seen.pairs == len(tasks) and plan is not None and not to_the_end:
            seen.stop = Stop.OFF_SCRIPT  # every task was run once, and it would do the same again
            break
    return seen


def measure_alone(
    side: Side,
    tasks: Sequence[str],
    *,
    rounds: int,
    warmup: int,
    timeout_s: float,
    on_chain: Callable[[str, int, Ended], None],
) -> None:
    """Run all chains of one side, round by round; arguments as of `measure`.

    Raises:
        ProfilerError: the side ended.
    """
    for number in range(warmup):
        side.chain(tasks[number % len(tasks)], number + 1, timeout_s)
    for number in range(1, rounds + 1):
        for task in tasks:
            on_chain(task, number, side.chain(task, number, timeout_s))


def _looked(seen: Measured, plan: Plan) -> Stop | None:
    """Take the look that is due, if one is; why it is the last, if it is for what it shows."""
    if seen.pairs not in plan.pairs or not seen.seconds[0]:
        return None
    at = plan.pairs.index(seen.pairs)
    seen.look = look(plan, at, *seen.seconds)
    if not seen.look.final or at == len(plan.pairs) - 1:
        return None
    return Stop.DECIDED if seen.look.chance is None else Stop.HOPELESS
