"""Runs that were measured one after the other: the machine may have changed, not the code.

    interleaved            A B B A A B      a slow change hits both alike
    one after the other    A A A B B B      a slow change looks like a difference, the surer the more chains there are

No test tells the two apart within one pair of runs. What helps is to know how far apart runs of the same code are.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from profiler.stats.lines import Line, robust_line
from profiler.stats.paired import PairedRatio, Samples, Verdict, paired_ratio, verdict
from profiler.stats.quantiles import CONFIDENCE
from profiler.stats.series import relative_logs

DRIFT = 0.05
"""How far a machine is assumed to be off its usual speed in any run, if nothing is known: 5% to either side."""
_FEWEST_RUNS = 3


@dataclass(frozen=True, slots=True)
class Apart:
    """What runs that were not interleaved allow to say."""

    verdict: Verdict
    low: float | None
    """Of the interval with the drift in it."""
    high: float | None
    without_drift: Verdict
    """What it would be, had the runs been interleaved."""
    drift: float

    @property
    def drift_decides(self) -> bool:
        """The difference is there; that the machine made it cannot be excluded."""
        return self.verdict is not self.without_drift


def were_interleaved(base: Sequence[float], candidate: Sequence[float]) -> bool:
    """Whether sides change often enough for a slow drift to cancel: more than once per two chains of the smaller run.

    Args:
        base: when each chain started, any unit and order.
        candidate: likewise, of the same clock.
    """
    times = np.concatenate([np.asarray(base, dtype=float), np.asarray(candidate, dtype=float)])
    sides = np.repeat([0, 1], [len(base), len(candidate)])[np.argsort(times, kind="stable")]
    changes = int(np.count_nonzero(np.diff(sides)))
    return changes > max(1.0, min(len(base), len(candidate)) / 2)


def verdict_apart(result: PairedRatio, *, margin: float, tolerated: float = 0.0, drift: float = DRIFT) -> Apart:
    """The verdict on runs of which each may have been measured at a machine off its usual speed by up to `drift`.

        [--low--------high--]         of the chains
      [----low------------high----]   divided and multiplied by (1 + drift) / (1 - drift), the worst case

    With 5% a slowdown of 10% can only just be told from none: so coarse is a stored baseline. The errors stay at
    (1 - confidence) / 2 as long as the drift is within what is assumed.

    Args:
        result: of `paired_ratio`.
        margin: as for `verdict`.
        tolerated: as for `verdict`.
        drift: 0.05 for 5% to either side: assumed, or of `drift_of`.

    Raises:
        ValueError: drift is not from 0 to below 1, or as `verdict`.
    """
    if not 0 <= drift < 1:
        msg = f"a drift of {drift} is not from 0 to below 1"
        raise ValueError(msg)
    plain = verdict(result, margin=margin, tolerated=tolerated)
    if result.low is None or result.high is None:
        return Apart(plain, None, None, plain, drift)
    worst = (1 + drift) / (1 - drift)
    low, high = result.low / worst, result.high * worst
    if low > 1 + tolerated:
        found = Verdict.REGRESSED
    else:
        found = Verdict.NOT_REGRESSED if high < 1 + margin else Verdict.CANNOT_TELL
    return Apart(found, low, high, plain, drift)


def drift_of(runs: Sequence[Samples], *, confidence: float = CONFIDENCE) -> float | None:
    """How far runs of the same code are from each other on this machine, as `verdict_apart` takes it.

    Each run's level is its ratio to the first over the tasks they share. Two more runs differ by up to t * s * sqrt(2)
    in the logarithm, s being the levels' standard deviation (the prediction interval of a difference). The noise of
    the chains is in it too, so it is rather too large.

    Args:
        runs: at least three, of the same code, each measured at a time of its own.
        confidence: of the interval.

    Returns:
        None with fewer than three runs that share tasks: two levels give a t of 12.7.
    """
    ratios = [paired_ratio(runs[0], run).ratio for run in runs[1:]]
    levels = [0.0, *(math.log(ratio) for ratio in ratios if ratio is not None)]
    if len(levels) < _FEWEST_RUNS:
        return None
    from scipy import special

    reach = float(special.stdtrit(len(levels) - 1, (1 + confidence) / 2)) * float(np.std(levels, ddof=1)) * math.sqrt(2)
    return math.tanh(reach / 2)  # the drift whose worst case is e to the reach


def drift_within(values: Sequence[float], tasks: Sequence[Hashable]) -> Line | None:
    """How the machine's speed moved during one run: the line through its chains relative to their tasks.

    The slope is the change of the logarithm from the first chain to the last (0.05: 5% slower at the end), with its
    interval; see `robust_line`. Tasks must recur throughout the run; one whose chains come one after the other takes
    its part of the drift with it.

    Args:
        values: positive, in the order of measurement.
        tasks: which task each is of.

    Returns:
        None with fewer than five chains of tasks that occur more than once.

    Raises:
        ValueError: as `relative_logs`.
    """
    logs = relative_logs(values, tasks)
    recurs = np.array([list(tasks).count(task) > 1 for task in tasks], dtype=bool)
    position = np.linspace(0.0, 1.0, len(logs)) if len(logs) else logs
    return robust_line(position[recurs], logs[recurs], least_spread=0.1)
