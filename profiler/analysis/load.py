"""How busy the engine was at the time of each call: samples of its own metrics, joined to the table of calls.

    call           sent |---------------| end
    samples    s    s    s    s    s    s    s      the most of those inside
    counter         ^                        ^      preemptions: how much it rose from before to after

Nothing of it is in the spans: it is added when a run is loaded, if the run has samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from profiler.analysis.columns import TYPES
from profiler.analysis.measured import numbers
from profiler.analysis.samples import Samples

# Columns of table calls that are not made of spans.
LOAD: Final[Mapping[str, str]] = {
    "engine_running": "Int64",
    "engine_waiting": "Int64",
    "engine_kv_cache_usage": "Float64",
    "engine_preemptions": "Int64",
}
LOADED: Final = {**TYPES, "calls": {**TYPES["calls"], **LOAD}}  # the tables of a run that was loaded
_REACH_NS: Final = 1_000_000_000
_ELSEWHERE: Final = r"@[^@/]+:\d+$"  # a place that names a server: the call went to another than the engine


def with_load(calls: pd.DataFrame, samples: Samples | None) -> pd.DataFrame:
    """The table of calls with the columns of `LOAD`; all missing without samples.

    `engine_running`, `engine_waiting` and `engine_kv_cache_usage` are the most of the samples between the request's
    sending and the end of the answer; of a call that falls between two samples, the one that is nearest, if it is no
    more than a second away. `engine_preemptions` is what the engine's counter rose by, from the last sample before to
    the first one after, whosoever's requests they were.
    """
    if samples is None or not len(samples.time_ns) or calls.empty:
        unknown = np.full(len(calls), np.nan)
        return calls.assign(**{name: _column(unknown, dtype) for name, dtype in LOAD.items()})
    start = calls["start_ns"].to_numpy(dtype=np.int64)
    sent = start + np.nan_to_num(numbers(calls["sent_ns"])).astype(np.int64)
    end = start + calls["call_e2e_ns"].to_numpy(dtype=np.int64)
    to_engine = ~calls["place"].str.contains(_ELSEWHERE, regex=True, na=False).to_numpy(dtype=bool)
    found = {
        "engine_running": _most(samples, "running", sent, end),
        "engine_waiting": _most(samples, "waiting", sent, end),
        "engine_kv_cache_usage": _most(samples, "kv_cache_usage", sent, end),
        "engine_preemptions": _rise(samples, "preemptions", sent, end),
    }
    return calls.assign(
        **{name: _column(np.where(to_engine, values, np.nan), LOAD[name]) for name, values in found.items()}
    )


def _told(samples: Samples, field: str) -> tuple[Any, Any]:
    values = samples.values[field]
    known = np.isfinite(values)
    return samples.time_ns[known], values[known]


def _most(samples: Samples, field: str, sent: Any, end: Any) -> Any:
    times, values = _told(samples, field)
    if not len(times):
        return np.full(len(sent), np.nan)
    first, last = np.searchsorted(times, sent, "left"), np.searchsorted(times, end, "right")
    # reduceat takes pairs of positions, each below the length: one more value stands for what is beyond the end.
    pairs = np.column_stack([first, last]).ravel()
    most = np.maximum.reduceat(np.append(values, -np.inf), pairs)[::2]
    return np.where(first < last, most, _nearest(times, values, sent, end))


def _nearest(times: Any, values: Any, sent: Any, end: Any) -> Any:
    """Of calls that have no sample inside: that of the nearer side."""
    after = np.searchsorted(times, sent, "left")
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(times) - 1)
    gap_before = np.where(times[before] <= sent, sent - times[before], np.iinfo(np.int64).max)
    gap_after = np.where(times[after] >= end, times[after] - end, np.iinfo(np.int64).max)
    value = np.where(gap_before <= gap_after, values[before], values[after])
    return np.where(np.minimum(gap_before, gap_after) <= _REACH_NS, value, np.nan)


def _rise(samples: Samples, field: str, sent: Any, end: Any) -> Any:
    times, values = _told(samples, field)
    if not len(times):
        return np.full(len(sent), np.nan)
    before, after = np.searchsorted(times, sent, "right") - 1, np.searchsorted(times, end, "left")
    inside = (before >= 0) & (after < len(times))
    rise = values[np.minimum(after, len(times) - 1)] - values[np.maximum(before, 0)]
    return np.where(inside & (rise >= 0), rise, np.nan)  # it falls where the engine was started anew


def _column(values: Any, dtype: str) -> Any:
    missing, told = np.isnan(values), np.nan_to_num(values)
    if dtype == "Int64":
        return pd.arrays.IntegerArray(told.astype(np.int64), missing)
    return pd.arrays.FloatingArray(told, missing)
