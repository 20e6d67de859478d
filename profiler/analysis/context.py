"""What a growing prompt costs: growth by step, the price of a prompt token, and what the prefix cache took off it.

The price is the slope of a robust line through prefill over the prompt tokens that were computed. Steps whose prefill
lies far off it are left out of the second fit: they are findings of their own, and would bend it.

The projection adds steps to the mean chain. Each further one is one more call with everything around it (decode, tools,
framework: what is not prefill, as at present), and its prompt is longer by the mean growth:

    prefill of call k   without cache   base + price * (first + (k - 1) * growth)
                        with cache      base + price * (growth + what is read again), the first call in full

What is read again with a cache is as seen, or half a block where the cache hardly helps at present. Both are scaled
by one factor, so that at the present length the one that holds at present (with cache where it helps, else without) is
the chain as it was measured.

A line has no term for attention's square: beyond the prompts that were seen it is an underestimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from profiler.analysis.groups import Groups
from profiler.analysis.measured import Measured, numbers
from profiler.analysis.prefixes import Prompts
from profiler.stats.lines import Line, robust_line

FACTORS = (1.0, 2.0, 5.0)
LEAST_SPREAD_TOKENS = 16.0  # computed prompt tokens must differ by as much to tell a price
_MEANS = ("prompt", "growth", "cacheable", "cached", "uncached", "prefill_ns")
_HELPFUL = 0.5  # of what is cacheable is found
_FAR_OFF = 4.0  # robust standard deviations
_TO_SIGMA = 1.4826  # of the median absolute deviation, for a normal distribution


@dataclass(frozen=True, slots=True)
class PrefillCost:
    """A straight line through prefill over computed prompt tokens."""

    per_token_ns: float
    low_ns: float  # 95% interval of the slope
    high_ns: float
    base_ns: float  # of a prompt of no tokens
    calls: int


@dataclass(frozen=True, slots=True)
class GrowthRow:
    """One row of the steps that makes calls; means over the calls there."""

    position: int
    node: str
    chains: int
    prompt_tokens: float | None
    growth_tokens: float | None  # more than at the chain's previous row with calls
    cacheable_tokens: float | None  # whole blocks of the previous prompt that this one begins with
    cached_tokens: float | None
    uncached_tokens: float | None
    prefill_ns: float | None
    growth_ns: float | None  # what the growth costs in prefill, by the fitted line
    time_ns: float  # median duration of the row
    cumulative_ns: float  # median time from the chain's start to the row's end


@dataclass(frozen=True, slots=True)
class Projection:
    """The mean chain with more steps; every further one adds a call and the mean growth."""

    factor: float
    calls: float
    cached_ns: float
    uncached_ns: float


@dataclass(frozen=True, slots=True)
class PrefixBreak:
    """A place at which prompts stop being continuations of the ones before."""

    position: int
    node: str
    chains: int
    kept_messages: float  # of the previous prompt, mean
    previous_messages: float
    at_chars: float | None  # characters before the first message that differs, mean
    tools_changed: bool
    reread_tokens: float | None  # of the previous prompt, that had to be computed again; mean per break
    cost_ns: float | None  # of that, in the mean chain
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Context:
    """Everything about the growth of prompts."""

    rows: tuple[GrowthRow, ...]
    cost: PrefillCost | None  # missing without engine timing, or where prompts do not differ
    block_tokens: int | None  # of the prefix cache
    block_source: str  # "engine", "inferred" or "assumed"
    cached_known: bool  # whether the engine said what it found in its cache
    cacheable_tokens: float | None  # per chain, mean
    cached_tokens: float | None
    saved_ns: float | None  # by the prefix cache, in the mean chain
    missed_ns: float | None  # cacheable and not found there
    projections: tuple[Projection, ...]
    breaks: tuple[PrefixBreak, ...]


def context_of(measured: Measured, prompts: Prompts) -> Context | None:
    """Everything about the growth of prompts; None if no call tells its prompt's length."""
    calls = prompts.calls
    if not np.isfinite(calls["prompt"]).any():
        return None
    cost = prefill_cost(prompts)
    price = None if cost is None else cost.per_token_ns
    cached_known = bool(calls["cached"].notna().any())
    cacheable, cached = _per_chain(measured, calls, "cacheable"), _per_chain(measured, calls, "cached")
    missed = np.nan_to_num(calls["cacheable"] - calls["cached"]).clip(min=0)
    return Context(
        rows=tuple(_rows(measured, prompts, price)),
        cost=cost,
        block_tokens=prompts.block_tokens,
        block_source=prompts.block_source,
        cached_known=cached_known,
        cacheable_tokens=cacheable,
        cached_tokens=cached if cached_known else None,
        saved_ns=None if price is None or not cached_known else cached * price,
        missed_ns=None if price is None or not cached_known else _mean(measured.per_chain(calls, missed)) * price,
        projections=_projections(measured, calls, cost, prompts.block_tokens),
        breaks=tuple(_breaks(measured, calls, price)),
    )


def prefill_cost(prompts: Prompts) -> PrefillCost | None:
    """The price of a prompt token; None without engine timing, or where prompts hardly differ."""
    calls = prompts.calls
    x, y = numbers(calls["uncached"]), numbers(calls["prefill_ns"])
    first = robust_line(x, y, least_spread=LEAST_SPREAD_TOKENS)
    if first is None:
        return None
    off = y - first.at(x)
    by_row = prompts.rows.spread_medians(off)
    scale = _TO_SIGMA * float(np.nanmedian(np.abs(off - np.nanmedian(off))))
    usual = np.abs(by_row) <= max(_FAR_OFF * scale, 0.05 * float(np.nanmedian(y)))
    line = robust_line(x[usual], y[usual], least_spread=LEAST_SPREAD_TOKENS) or first
    return _as_cost(line) if line.low > 0 else None


def _as_cost(line: Line) -> PrefillCost:
    return PrefillCost(line.slope, line.low, line.high, line.base, line.points)


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _known_mean(values: Any) -> float | None:
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else None


def _per_chain(measured: Measured, calls: pd.DataFrame, column: str) -> float:
    return _mean(measured.per_chain(calls, calls[column]))


def _rows(measured: Measured, prompts: Prompts, price: float | None) -> list[GrowthRow]:
    """All of them by a few groupings: there may be thousands."""
    calls, rows = prompts.calls, prompts.rows
    positions, nodes = rows.keys(calls["position"], calls["step"])
    chains = rows.distinct(calls["chain"])
    lasted, until = _times(measured, measured.places(calls, "step")[rows.first])
    means = zip(*(rows.means(numbers(calls[name])) for name in _MEANS), strict=True)
    found = []
    for position, node, (prompt, growth, cacheable, cached, uncached, prefill), number, time, end in zip(
        positions, nodes, means, chains, lasted, until, strict=True
    ):
        grown = _finite(growth)
        found.append(
            GrowthRow(
                position=int(position),
                node=str(node),
                chains=int(number),
                prompt_tokens=_finite(prompt),
                growth_tokens=grown,
                cacheable_tokens=_finite(cacheable),
                cached_tokens=_finite(cached),
                uncached_tokens=_finite(uncached),
                prefill_ns=_finite(prefill),
                growth_ns=None if grown is None or price is None else grown * price,
                time_ns=float(time),
                cumulative_ns=float(end),
            )
        )
    return found


def _times(measured: Measured, places: Any) -> tuple[Any, Any]:
    """Median duration, and median time since the chain's start, of these rows of the steps."""
    steps = measured.steps
    there = measured.places(steps, "node")
    rows = Groups.of(there)
    known = there[rows.first]
    at = np.searchsorted(known, places).clip(max=max(len(known) - 1, 0))
    lasted, until = rows.medians(steps["end_ns"] - steps["start_ns"]), rows.medians(steps["cumulative_ns"])
    found = known[at] == places
    return np.where(found, lasted[at], np.nan), np.where(found, until[at], np.nan)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _projections(
    measured: Measured, calls: pd.DataFrame, cost: PrefillCost | None, block: int
) -> tuple[Projection, ...]:
    """None without a price, or where chains have one call: nothing tells how prompts grow."""
    growth = _known_mean(calls["growth"])
    first = _known_mean(calls["prompt"][calls["growth"].isna()])
    if cost is None or growth is None or first is None or not len(measured.chains):
        return ()
    count = len(calls) / len(measured.chains)
    prefill = _mean(numbers(measured.chains["prefill_ns"]))
    around = (_mean(measured.e2e_ns) - prefill) / count

    def without_cache(number: float) -> float:
        return number * (cost.base_ns + cost.per_token_ns * (first + (number - 1) / 2 * growth))

    again, helps = _read_again(calls, block)

    def with_cache(number: float) -> float:
        later = cost.base_ns + cost.per_token_ns * (growth + again)
        return cost.base_ns + cost.per_token_ns * first + (number - 1) * later

    modelled = with_cache(count) if helps else without_cache(count)
    scale = prefill / modelled if modelled > 0 and prefill > 0 else 1.0
    return tuple(
        Projection(
            factor=factor,
            calls=factor * count,
            cached_ns=factor * count * around + scale * with_cache(factor * count),
            uncached_ns=factor * count * around + scale * without_cache(factor * count),
        )
        for factor in FACTORS
    )


def _read_again(calls: pd.DataFrame, block: int) -> tuple[float, bool]:
    """Tokens beyond the growth that a call with a cache computes, and whether that is as seen.

    It is half a block where the cache does not help.
    """
    later = calls.loc[calls["growth"].notna(), ["growth", "cacheable", "cached", "uncached"]]
    cacheable = float(np.nansum(later["cacheable"]))
    hit = float(np.nansum(later["cached"])) / cacheable if cacheable else 0.0
    seen = _known_mean(later["uncached"] - later["growth"]) if hit >= _HELPFUL else None
    return (block / 2, False) if seen is None else (max(seen, 0.0), True)


def _breaks(measured: Measured, calls: pd.DataFrame, price: float | None) -> list[PrefixBreak]:
    """Breaks that the messages' digests tell, by row of the steps."""
    broken = calls[calls["broken"] & ~calls["unrelated"] & calls["kept_messages"].notna()]
    found = []
    for key, group in broken.groupby(["position", "step"], sort=True):
        position, node = cast("tuple[int, str]", key)
        reread = reread_tokens(group)
        tokens = _known_mean(reread)
        worst = group.iloc[int(np.nanargmax(reread)) if tokens is not None else 0]
        per_chain = float(np.nansum(reread)) / len(measured.chains)
        found.append(
            PrefixBreak(
                position=int(position),
                node=node,
                chains=int(group["chain"].nunique()),
                kept_messages=float(numbers(group["kept_messages"]).mean()),
                previous_messages=float(numbers(group["previous_messages"]).mean()),
                at_chars=_known_mean(numbers(group["broken_at_chars"])),
                tools_changed=bool(group["tools_changed"].fillna(value=False).any()),
                reread_tokens=tokens,
                cost_ns=None if price is None or tokens is None else per_chain * price,
                trace_id=str(worst["trace_id"]),
                span_id=str(worst["span_id"]),
            )
        )
    return found


def reread_tokens(calls: pd.DataFrame) -> Any:
    """Tokens of the previous prompt that had to be computed again; NaN where the engine does not tell its hits."""
    reachable = np.minimum(calls["previous"], calls["prompt"] - 1)
    return (reachable - calls["cached"]).clip(lower=0).to_numpy(dtype=float)
