"""What a chain has of a metric, for limits and margins alike: one value per chain, NaN where it is not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from profiler.analysis.measured import Array, Measured, numbers
from profiler.analysis.phases import PHASES

_OF_CALLS: Final[Mapping[str, str]] = {"call_time": "call_e2e_ns", "ttft": "ttft_ns", "tpot": "tpot_ns"}
# Parts of a call that the engine alone can tell: without its word they take 0 of a chain, which is no figure.
_TOLD_BY_ENGINE: Final[Mapping[str, str]] = {
    "queue": "queue_ns",
    "prefill": "prefill_ns",
    "decode": "decode_ns",
    "inference": "inference_ns",
    "load": "timing_source",
    "delivery": "timing_source",
}
_COLUMNS: Final[Mapping[str, str]] = {
    "chain_time": "e2e_ns",
    "llm_calls": "calls",
    "tools": "tools",
    "failed_calls": "failed_calls",
    **{phase: f"{phase}_ns" for phase in PHASES},
}


def per_call(metric: str, measured: Measured) -> tuple[Array, Array]:
    """Of the calls that ended well and tell it: the values, and which chain each is of."""
    values = numbers(measured.answered[_OF_CALLS[metric]])
    known = ~np.isnan(values)
    return values[known], measured.answered["chain"].to_numpy()[known]


def per_chain(metric: str, measured: Measured) -> Array:
    """One value per chain.

    Args:
        metric: without a quantile. Times are nanoseconds; those of calls are the mean over the chain's calls that tell
            it. `cache_hits` is the share of the chain's prompt tokens. Phases of the engine are missing where a call of
            the chain has no word of the engine's on it.
        measured: the chains that count.
    """
    chains = len(measured.chains)
    if metric in _TOLD_BY_ENGINE:
        return np.where(_untold(metric, measured), np.nan, numbers(measured.chains[_COLUMNS[metric]]))
    if metric in _COLUMNS:
        return numbers(measured.chains[_COLUMNS[metric]])
    if metric in _OF_CALLS:
        values, chain = per_call(metric, measured)
        return _divided(np.bincount(chain, weights=values, minlength=chains), np.bincount(chain, minlength=chains))
    if metric in ("steps", "time_per_step"):
        positions = measured.steps[["chain", "position"]].drop_duplicates()
        steps: Any = np.bincount(positions["chain"], minlength=chains).astype(float)
        return steps if metric == "steps" else _divided(measured.e2e_ns, steps)
    if metric == "cache_hits":
        prompt, cached = cached_tokens(measured)
        return _divided(cached, prompt)
    return _tokens(measured, "input_tokens" if metric == "prompt_tokens" else metric)


def _untold(phase: str, measured: Measured) -> Array:
    """Of each chain, whether the engine left one of its calls without this part."""
    calls = measured.answered
    missing = calls[_TOLD_BY_ENGINE[phase]].isna().to_numpy(dtype=bool)
    if phase == "decode":  # of one token there is none
        single = numbers(calls["output_tokens"]) <= 1
        missing = missing & ~(single & calls["timing_source"].notna().to_numpy(dtype=bool))
    return np.bincount(calls["chain"].to_numpy()[missing], minlength=len(measured.chains)) > 0


def cached_tokens(measured: Measured) -> tuple[Array, Array]:
    """Of each chain, the prompt tokens of its calls that tell how many were cached, and how many these were."""
    calls = measured.answered
    prompt, cached = numbers(calls["input_tokens"]), numbers(calls["cached_tokens"])
    unknown = np.isnan(prompt) | np.isnan(cached)
    whole, part = (measured.per_chain(calls, np.where(unknown, np.nan, each)) for each in (prompt, cached))
    return whole, part


def _tokens(measured: Measured, column: str) -> Array:
    """Sums over the calls that ended well; not known where one of them tells none."""
    calls, chains = measured.answered, len(measured.chains)
    values = numbers(calls[column])
    unknown = np.bincount(calls["chain"][np.isnan(values)], minlength=chains) > 0
    none = np.bincount(calls["chain"], minlength=chains) == 0
    found: Any = np.where(unknown | none, np.nan, measured.per_chain(calls, values))
    return found


def _divided(values: Array, by: Array) -> Array:
    found: Any = np.where(by > 0, values / np.maximum(by, 1), np.nan)
    return found
