"""In which order two runs were measured: what drifts between them looks like a difference between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from profiler.stats.drift import were_interleaved

_AT_ONCE = 0.05  # of the chains may overlap one of the other run


@dataclass(frozen=True, slots=True)
class Order:
    """How the chains of two runs lie in time."""

    interleaved: bool  # chains of both took turns
    apart_s: float  # from the end of the earlier run to the start of the later one; 0 if they overlap
    at_once: int  # chains of the candidate during which one of the base ran: they took time from each other


def order_of(base: pd.DataFrame, candidate: pd.DataFrame) -> Order:
    """By start and end of all chains, those of warm-up too."""
    if base.empty or candidate.empty:
        return Order(interleaved=False, apart_s=0.0, at_once=0)
    starts = [side["start_ns"].to_numpy() for side in (base, candidate)]
    ends = [begun + side["e2e_ns"].to_numpy() for begun, side in zip(starts, (base, candidate), strict=True)]
    common = min(end.max() for end in ends) - max(begun.min() for begun in starts)
    return Order(
        interleaved=were_interleaved(starts[0].tolist(), starts[1].tolist()),
        apart_s=max(0.0, -float(common) / 1e9),
        at_once=_overlapping(starts, ends),
    )


def _overlapping(starts: list[np.ndarray], ends: list[np.ndarray]) -> int:
    """Chains of the second side during which one of the first ran."""
    begun, over = np.sort(starts[0]), np.sort(ends[0])
    running = np.searchsorted(begun, ends[1], side="left") - np.searchsorted(over, starts[1], side="right")
    number = int((running > 0).sum())
    return number if number > _AT_ONCE * len(starts[1]) else 0
