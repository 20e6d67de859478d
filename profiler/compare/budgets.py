"""Limits and margins that a run is held to; `vocabulary.py` has the names of what they are put on.

limit      p95 of chain time at most 4 s      of one run: `limits.py`
margin     time per step at most 5% longer    beside a baseline: `margins.py`
for        tasks = "car-*", tags = "slow", agents = "react*": `selection.py`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from profiler.compare.vocabulary import TIMES
from profiler.stats.paired import Verdict

LEVEL: Final = 0.025  # one-sided

NOT_RUN: Final = "none of the tasks that it is for was run"

Words = Callable[[float | None, str], str]
"""Writes a value of a unit."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Of whose chains: shell patterns, all of which must fit. Without any it is all chains."""

    tasks: str = "*"  # the task's id
    tags: str | None = None  # any of the task's tags
    agents: str = "*"  # the run's agent

    def __str__(self) -> str:
        """`car-*, tag slow`; empty for all."""
        said = [] if self.tasks == "*" else [self.tasks]
        said += [] if self.tags is None else [f"tag {self.tags}"]
        said += [] if self.agents == "*" else [f"agent {self.agents}"]
        return ", ".join(said)


ALL: Final = Selection()


@dataclass(frozen=True, slots=True)
class Limit:
    """An absolute limit. Times are nanoseconds, shares of 1."""

    metric: str  # one of `vocabulary.metrics`
    at_most: float | None = None
    at_least: float | None = None
    of: Selection = ALL

    @property
    def name(self) -> str:
        """`chain_time.p95 of car-*`."""
        return _named(self.metric, self.of)


@dataclass(frozen=True, slots=True)
class Margin:
    """How much longer, or how many more, than a baseline; how much less where less is worse."""

    metric: str  # one of `vocabulary.margin_metrics`
    margin: float  # 0.05 for 5%; of a share 0.05 for 5 points
    primary: bool = False
    of: Selection = ALL

    @property
    def name(self) -> str:
        """`time_per_step of tag slow`."""
        return _named(self.metric, self.of)


def _named(metric: str, of: Selection) -> str:
    return metric if of == ALL else f"{metric} of {of}"


@dataclass(frozen=True, slots=True)
class Judged:
    """What one limit or margin came to."""

    name: str
    verdict: Verdict
    bound: str  # in words: `at most 4.00 s`
    unit: str  # ns, ratio, share, points (a difference of shares) or count
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""  # why it cannot be told, or where it went wrong
    primary: bool = False


def is_time(judged: Judged) -> bool:
    """Whether it is of a time: a busy or a drifting machine changes those."""
    return judged.name.split(" ")[0].split(".")[0] in TIMES


def doubted(judged: Judged, suspects: Sequence[str]) -> Judged:
    """A broken limit or margin on a time cannot be told where a run says of itself that its times may be inexact.

    Args:
        judged: of a limit, or of a margin to a baseline that was not measured in turns with the run.
        suspects: which runs say so, in words.
    """
    if judged.verdict is not Verdict.REGRESSED or not is_time(judged) or not suspects:
        return judged
    reason = f"beyond by the chains, but marked suspect: {' and '.join(suspects)} (a busy machine)"
    return replace(judged, verdict=Verdict.CANNOT_TELL, reason=reason)
