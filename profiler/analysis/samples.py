"""Samples of an engine's load over the time of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# Requests that run and that wait, share of the KV cache that is in use, preemptions since the engine's start.
FIELDS: Final = ("running", "waiting", "kv_cache_usage", "preemptions")


@dataclass(frozen=True)
class Samples:
    """An engine's load, by time."""

    time_ns: Any  # array of int64, rising
    values: Mapping[str, Any]  # field -> array of float64, NaN where it was not told

    @classmethod
    def of(cls, time_ns: Sequence[float], values: Mapping[str, Sequence[float]]) -> Samples:
        """From plain values, in the order of time."""
        import numpy as np  # the run that writes samples does without

        columns = {name: np.asarray(values[name], dtype=float) for name in FIELDS}
        return cls(np.asarray(time_ns, dtype=np.int64), columns)
