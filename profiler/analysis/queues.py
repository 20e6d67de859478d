"""What the engine's own metrics say of the calls: how busy it was, and whether requests queued behind others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from profiler.analysis.measured import numbers
from profiler.analysis.wording import count, duration
from profiler.stats.ranks import rises_with

_WORTH_TELLING = 2.0  # times as long


@dataclass(frozen=True, slots=True)
class Busy:
    """How busy the engine was at the time of the calls at which it was sampled; what it does not tell is missing."""

    calls: int
    running: int | None  # the most
    waiting: int | None  # the most
    kv_cache_usage: float | None  # the most; 1 is all of it
    preempted_calls: int | None  # calls during which it preempted somebody's request


def busy(calls: pd.DataFrame) -> Busy | None:
    """None if the engine was sampled at the time of no call."""
    if "engine_running" not in calls:
        return None
    running, waiting, usage, preemptions = (
        calls[name].dropna()
        for name in ("engine_running", "engine_waiting", "engine_kv_cache_usage", "engine_preemptions")
    )
    sampled = max(len(running), len(waiting))
    if not sampled:
        return None
    return Busy(
        calls=sampled,
        running=int(running.max()) if len(running) else None,
        waiting=int(waiting.max()) if len(waiting) else None,
        kv_cache_usage=float(usage.max()) if len(usage) else None,
        preempted_calls=int((preemptions > 0).sum()) if len(preemptions) else None,
    )


def queue_by_waiting(calls: pd.DataFrame) -> str:
    """A sentence on how queue time rose with the requests that waited; empty where it did not, or nobody knows.

    Of the calls at whose time the engine was sampled, the third that saw the fewest requests waiting is held against
    the third that saw the most. It is told if queue time rises with them beyond chance (`stats.ranks`) and is at least
    twice as long.
    """
    if "engine_waiting" not in calls:
        return ""
    waiting, queued = numbers(calls["engine_waiting"]), numbers(calls["queue_ns"])
    known = np.isfinite(waiting) & np.isfinite(queued)
    waiting, queued = waiting[known], queued[known]
    if not rises_with(queued, waiting):
        return ""
    few, many = (float(each) for each in np.quantile(waiting, (1 / 3, 2 / 3), method="inverted_cdf"))
    if few >= many:
        few, many = float(waiting.min()), float(waiting[waiting > waiting.min()].min())
    short, long = float(np.median(queued[waiting <= few])), float(np.median(queued[waiting >= many]))
    if long < _WORTH_TELLING * short:
        return ""
    saw_few = f"at most {count(few)}" if few else "none"
    return (
        f"Queue time rose with the requests that waited at the engine: {duration(short)} where {saw_few} did, "
        f"{duration(long)} where {count(many)} or more did (medians, by its own metrics)."
    )
