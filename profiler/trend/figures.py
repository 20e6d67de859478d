"""One number per task and run of each figure that is followed over a history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from profiler.analysis.measured import Array, Measured, numbers
from profiler.analysis.tables import Tables
from profiler.compare.figures import COUNT, DURATION, TOKENS
from profiler.compare.sides import Side, positions, tokens

SHARE: Final = "share"


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a run: the mean over tasks of each task's mean."""

    name: str  # as on the command line and in `profiler.toml`
    words: str
    unit: str  # ns, count, tokens or share
    worse: int = 1  # -1 where less is worse

    @property
    def relative(self) -> bool:
        """Whether means are geometric, and changes are ratios. Shares may be 0: their changes are differences."""
        return self.unit != SHARE


METRICS: Final = (
    Metric("chain_time", "chain time", DURATION),
    Metric("time_per_step", "time per step", DURATION),
    Metric("steps", "steps", COUNT),
    Metric("prompt_tokens", "prompt tokens", TOKENS),
    Metric("cache_hits", "cache hits", SHARE, worse=-1),
    Metric("output_tokens", "output tokens", TOKENS),
    Metric("ttft", "TTFT", DURATION),
    Metric("tpot", "TPOT", DURATION),
    Metric("framework", "framework", DURATION),
)
BY_NAME: Final[Mapping[str, Metric]] = {metric.name: metric for metric in METRICS}

PerTask = Mapping[str, float]  # task id -> mean over its chains, of logarithms where the metric is relative


def values_of(tables: Tables) -> dict[str, PerTask]:
    """Every metric's value for each task with chains that ended well (no warm-up).

    A task counts for a metric if all of its chains have a value, and a positive one where logarithms are taken.
    """
    measured = Measured.of(tables)
    side = Side(measured, measured.chains["task_id"].astype(str).to_numpy(dtype=object))
    return {name: _per_task(BY_NAME[name], side, values) for name, values in _per_chain(side)}


def _per_chain(side: Side) -> Iterator[tuple[str, Array]]:
    measured = side.measured
    e2e, steps = measured.e2e_ns, positions(side)
    prompt, cached = tokens(side, "input_tokens"), tokens(side, "cached_tokens")
    yield "chain_time", e2e
    yield "time_per_step", np.where(steps > 0, e2e / np.maximum(steps, 1), np.nan)
    yield "steps", steps
    yield "prompt_tokens", prompt
    yield "cache_hits", np.where(prompt > 0, cached / np.maximum(prompt, 1), np.nan)
    yield "output_tokens", tokens(side, "output_tokens")
    for name in ("ttft", "tpot"):
        yield name, _mean_of_calls(side, f"{name}_ns")
    yield "framework", numbers(measured.chains["framework_ns"])


def _mean_of_calls(side: Side, column: str) -> Array:
    """Of each chain, the mean over those calls that tell it: not every call is streamed."""
    calls = side.measured.answered
    values = numbers(calls[column])
    known = ~np.isnan(values)
    chain = calls["chain"].to_numpy()[known]
    number = np.bincount(chain, minlength=side.chains)
    total = np.bincount(chain, weights=values[known], minlength=side.chains)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _per_task(metric: Metric, side: Side, values: Array) -> PerTask:
    found = {}
    for task, each in side.samples(values).items():
        own = np.array(each)
        if np.isfinite(own).all() and (not metric.relative or (own > 0).all()):
            found[task] = float(np.log(own).mean() if metric.relative else own.mean())
    return found
