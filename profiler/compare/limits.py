"""Whether a run is within an absolute limit.

A quantile is judged by its interval: within, beyond, or it cannot be told. Counts and shares are what they are: a run
in which a chain makes seven calls makes more than six.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from profiler.analysis.columns import Tables
from profiler.analysis.measured import Array, Measured
from profiler.compare.budgets import NOT_RUN, Judged, Limit, Words
from profiler.compare.comparison import Comparison, Recorded
from profiler.compare.figures import DURATION
from profiler.compare.script import off_script
from profiler.compare.selection import chosen, of_tasks
from profiler.compare.values import cached_tokens, per_call, per_chain
from profiler.compare.vocabulary import CALL_TIMES, QUANTILES, SHARES, TIMES
from profiler.stats.paired import Verdict
from profiler.stats.quantiles import chains_needed, quantile

_FEW = 5


def judge_limit(limit: Limit, run: Recorded, words: Words) -> Judged:
    """Hold a run to a limit.

    Args:
        limit: with one of its bounds.
        run: the run.
        words: writes a value of a unit.
    """
    metric, _, kind = limit.metric.partition(".")
    unit = DURATION if metric in TIMES else "share" if metric in SHARES else "count"
    bound = (
        f"at most {words(limit.at_most, unit)}"
        if limit.at_most is not None
        else f"at least {words(limit.at_least, unit)}"
    )
    told = Judged(limit.name, Verdict.CANNOT_TELL, bound, unit, None)
    ids = chosen(run.tables, limit.of)
    values, chains = _values(metric, of_tasks(run.tables, ids))
    if not len(values):
        return replace(told, reason=NOT_RUN if ids == frozenset() else "no chain that ended well tells it")
    if kind in QUANTILES:
        return _of_quantile(told, limit, values, chains, QUANTILES[kind])
    value = float(values.max() if kind == "max" else values.mean())
    return replace(told, value=value, verdict=Verdict.REGRESSED if _beyond(value, limit) else Verdict.NOT_REGRESSED)


def judge_trajectory(run: Recorded, comparison: Comparison | None, lines: Sequence[str]) -> Judged | None:
    """Whether chains do what the script says, and what the baseline's did; None for free runs without such a baseline.

    Where a pinned task's chains differ among themselves, and did not in the baseline, it cannot be told.

    Args:
        run: the run.
        comparison: with the baseline, if there is one.
        lines: the changes, in words.
    """
    pinned = run.manifest is not None and run.manifest.script is not None
    off = off_script(_without_chains(run.tables), run.tables)
    changed = bool(off) or (comparison is not None and bool(comparison.changes))
    if not pinned and not changed:
        return None
    as_in = "as in the script" if comparison is None else "as in the script and the baseline"
    told = Judged("trajectory", Verdict.NOT_REGRESSED, as_in, "", None)
    if not changed:
        strayed = () if comparison is None else comparison.strayed
        some = f"{', '.join(strayed[:_FEW])}{f' and {len(strayed) - _FEW} more' if len(strayed) > _FEW else ''}"
        why = f"chains of one task take different steps, which they do not in the baseline: {some}"
        return replace(told, verdict=Verdict.CANNOT_TELL, reason=why) if strayed else told
    reason = "; ".join(lines) or f"chains left the script in {', '.join(each.task for each in off[:_FEW])}"
    found = Verdict.REGRESSED if pinned else Verdict.CANNOT_TELL
    return replace(told, verdict=found, reason=reason)


def _without_chains(tables: Tables) -> Tables:
    """The same tables without a chain: a base that has nothing to say."""
    return Tables(tables.chains.iloc[:0], tables.calls.iloc[:0], tables.steps.iloc[:0])


def _of_quantile(told: Judged, limit: Limit, values: Array, chains: int, p: float) -> Judged:
    """By the distribution-free interval; calls are thinned to as many values as there are chains that make them."""
    value = float(np.quantile(values, p))
    sample = values if chains == len(values) else np.quantile(values, (np.arange(chains) + 0.5) / chains)
    found = quantile(sample.tolist(), p)
    low, high = (None, None) if found is None else (found.low, found.high)
    told = replace(told, value=value, low=low, high=high)
    outside, inside = (low, high) if limit.at_most is not None else (high, low)
    if outside is not None and _beyond(outside, limit):
        return replace(told, verdict=Verdict.REGRESSED)
    if inside is not None and not _beyond(inside, limit):
        return replace(told, verdict=Verdict.NOT_REGRESSED)
    if inside is None:
        return replace(told, reason=f"{chains} chains have no bound on this side: it takes {chains_needed(p)}")
    return replace(told, reason="the limit lies within the interval: more chains narrow it")


def _beyond(value: float, limit: Limit) -> bool:
    return value > limit.at_most if limit.at_most is not None else value < (limit.at_least or 0.0)


def _values(metric: str, tables: Tables) -> tuple[Array, int]:
    """One value per chain or per call, or one of all, and how many chains they are of."""
    if metric == "failed_chains":
        own = tables.chains[~tables.chains["warmup"]]
        return own["failed"].to_numpy(float), len(own)
    measured = Measured.of(tables)
    if metric == "cache_hits":
        prompt, cached = (float(each.sum()) for each in cached_tokens(measured))
        return np.array([cached / prompt] if prompt else []), len(measured.chains)
    if metric in CALL_TIMES:
        values, chain = per_call(metric, measured)
        return values, len(np.unique(chain))
    values = per_chain(metric, measured)
    values = values[~np.isnan(values)]
    return values, len(values)
