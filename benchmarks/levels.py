"""Does `profiler trend` keep its rate of false alarms, and what does it find? Hundreds of simulated series.

    python benchmarks/levels.py            the tables of docs/statistics.md, printed; some minutes of one core
    python benchmarks/levels.py --check    a short version; exit code 1 if a rate is worse than promised

A series is 20 runs (or 12) whose logarithms have a noise of 3%; neighbours are correlated or not.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

import numpy as np
from scipy import stats

from profiler.stats.level import ALPHA, levels

NOISE, STEP = 0.03, math.log(1.1)
CHANCE = 0.01
SERIES, QUICK = 1000, 100
CORRELATIONS = (0.0, 0.3, 0.5, 0.7)
PROMISED_UP_TO = 0.3  # beyond, rates are told
STEPS = ((20, 10, 0.9), (20, 5, 0.75), (20, 16, 0.65), (12, 6, 0.55))  # runs, first of the new level, found at least


def noise(draw: Any, runs: int, rho: float) -> Any:
    """Of runs whose neighbours are correlated by `rho`; 1 is a random walk."""
    own = draw.standard_normal(runs)
    if rho == 1:
        return NOISE * np.cumsum(own)
    for index in range(1, runs):
        own[index] = rho * own[index - 1] + math.sqrt(1 - rho**2) * own[index]
    return NOISE * own


def false_alarms(draw: Any, count: int, rho: float) -> int:
    """Series of 20 runs without a change in which one is found."""
    return sum(bool(levels(noise(draw, 20, rho)).changes) for _ in range(count))


def found(draw: Any, count: int, runs: int, at: int, rho: float = 0.0) -> dict[str, float]:
    """Of series with +10% from run `at` on: shares."""
    seen = {"found": 0, "within one run": 0, "at the very run": 0, "range holds": 0, "interval holds": 0}
    for _ in range(count):
        values = noise(draw, runs, rho)
        values[at:] += STEP
        changes = levels(values).changes
        if changes:
            nearest = min(changes, key=lambda each: abs(each.at - at))
            seen["found"] += 1
            seen["within one run"] += abs(nearest.at - at) <= 1
            seen["at the very run"] += nearest.at == at
            seen["range holds"] += nearest.earliest <= at <= nearest.latest
            seen["interval holds"] += nearest.low <= STEP <= nearest.high
    hits = max(seen["found"], 1)
    return {name: number / (hits if name.endswith("holds") else count) for name, number in seen.items()}


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="a short version")
    count = QUICK if parser.parse_args().check else SERIES
    draw = np.random.default_rng(20_26)
    worse = []
    for rho in (*CORRELATIONS, 1.0):
        alarms = false_alarms(draw, count, rho)
        print(f"no change, correlated by {rho}: {alarms / count:.1%} false alarms of {count}", flush=True)
        if rho <= PROMISED_UP_TO and stats.binomtest(alarms, count, ALPHA, alternative="greater").pvalue < CHANCE:
            worse.append(f"false alarms at {rho}")
    for runs, at, promised in STEPS:
        shares = found(draw, count, runs, at)
        words = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        print(f"+10% at run {at + 1} of {runs}: {words}", flush=True)
        hits = round(shares["found"] * count)
        if stats.binomtest(hits, count, promised, alternative="less").pvalue < CHANCE:
            worse.append(f"+10% at run {at + 1} of {runs}")
    for each in worse:
        print(f"worse than promised: {each}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
