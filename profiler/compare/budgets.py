"""Limits and margins that a run is held to, and what its chains allow to say about each.

    limit      p95 of chain time at most 4 s      within, beyond, or cannot tell: by the interval of the quantile
    margin     time per step at most 5% longer    by the interval of the paired ratio to a baseline

Counts and shares are what they are: a run in which a chain makes seven calls makes more than six.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np

from profiler.analysis.columns import Tables
from profiler.analysis.measured import Array, Measured, numbers
from profiler.compare.comparison import Comparison, Recorded, compare
from profiler.compare.figures import DURATION
from profiler.compare.script import off_script
from profiler.stats.drift import verdict_apart
from profiler.stats.multiplicity import holm
from profiler.stats.paired import PairedRatio, Verdict, verdict
from profiler.stats.quantiles import chains_needed, quantile

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_LEVEL = 0.025  # one-sided
# What a limit may be put on: unit, and whether it is of chains or of calls.
TIMES: Final = ("chain_time", "time_per_step", "call_time", "ttft", "tpot")
COUNTS: Final = ("steps", "llm_calls", "tools", "prompt_tokens", "output_tokens", "failed_calls")
SHARES: Final = ("cache_hits", "failed_chains")
# What a margin may be put on: the name of the comparison's figure.
COMPARED: Final = {
    "chain_time": "chain time",
    "time_per_step": "time per step",
    "steps": "steps",
    "llm_calls": "LLM calls",
    "prompt_tokens": "prompt tokens",
    "output_tokens": "output tokens",
}


@dataclass(frozen=True, slots=True)
class Limit:
    """An absolute limit. Times are nanoseconds, shares of 1."""

    metric: str  # one of TIMES with a quantile or `max`, of COUNTS with `max` or `mean`, or of SHARES
    at_most: float | None = None
    at_least: float | None = None
    tasks: str = "*"


@dataclass(frozen=True, slots=True)
class Margin:
    """How much longer, or how many more, than a baseline."""

    metric: str  # one of COMPARED
    margin: float  # 0.05 for 5%
    primary: bool = False
    tasks: str = "*"


@dataclass(frozen=True, slots=True)
class Judged:
    """What one limit or margin came to."""

    name: str
    verdict: Verdict
    bound: str  # in words: `at most 4.00 s`
    unit: str  # ns, ratio, share or count
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""  # why it cannot be told, or where it went wrong
    primary: bool = False


def metrics() -> list[str]:
    """Every name that a limit can have."""
    names = [f"{time}.{each}" for time in TIMES for each in (*QUANTILES, "max")]
    return [*names, *(f"{each}.{kind}" for each in COUNTS for kind in ("max", "mean")), *SHARES]


def judge_limit(limit: Limit, run: Recorded, words: Callable[[float | None, str], str]) -> Judged:
    """Hold a run to a limit.

    Args:
        limit: with one of its bounds.
        run: the run.
        words: writes a value of a unit.
    """
    tables = of_tasks(run.tables, limit.tasks)
    name, _, kind = limit.metric.partition(".")
    unit = DURATION if name in TIMES else "share" if name in SHARES else "count"
    bound = (
        f"at most {words(limit.at_most, unit)}"
        if limit.at_most is not None
        else f"at least {words(limit.at_least, unit)}"
    )
    label = limit.metric if limit.tasks == "*" else f"{limit.metric} of {limit.tasks}"
    told = Judged(label, Verdict.CANNOT_TELL, bound, unit, None)
    values, chains = _values(name, tables)
    if not len(values):
        return replace(told, reason="no chain that ended well tells it")
    if kind in QUANTILES:
        return _of_quantile(told, limit, values, chains, QUANTILES[kind])
    value = float(values.max() if kind == "max" else values.mean())
    return replace(told, value=value, verdict=Verdict.REGRESSED if _beyond(value, limit) else Verdict.NOT_REGRESSED)


def judge_margins(
    margins: Sequence[Margin], base: Recorded, candidate: Recorded, *, drift: float
) -> tuple[list[Judged], Comparison]:
    """Hold a run to a baseline; also the comparison of all their tasks.

    *Regressed* is more for sure, unless all of the interval lies within the margin; *not regressed* is an interval
    below it. The primary margin decides by itself. Of the others one is broken only if it still is when all are
    corrected for their number (Holm). A baseline that was not measured in turns with the run may have had another
    machine: times must then differ by more than what `drift` explains.
    """
    whole = compare(base, candidate)
    compared: dict[str, Comparison] = {"*": whole}
    judged: list[Judged] = []
    p_values: dict[str, float | None] = {}
    for margin in margins:
        if margin.tasks not in compared:
            sides = [replace(run, tables=of_tasks(run.tables, margin.tasks)) for run in (base, candidate)]
            compared[margin.tasks] = compare(*sides)
        found = compared[margin.tasks].figure(COMPARED[margin.metric])
        told = _of_margin(margin, None if found is None else found.ratio, whole, drift)
        judged.append(told)
        if not margin.primary:
            p_values[told.name] = None if found is None or found.ratio is None else found.ratio.p_slower
    adjusted = holm(p_values)
    return [_corrected(each, adjusted) for each in judged], whole


def judge_trajectory(run: Recorded, comparison: Comparison | None, lines: Sequence[str]) -> Judged | None:
    """Whether chains do what the script says, and what the baseline's did; None for free runs without such a baseline.

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
    told = Judged("trajectory", Verdict.NOT_REGRESSED, "as in the script and the baseline", "", None)
    if not changed:
        return told
    reason = "; ".join(lines) or f"chains left the script in {', '.join(each.task for each in off[:5])}"
    found = Verdict.REGRESSED if pinned else Verdict.CANNOT_TELL
    return replace(told, verdict=found, reason=reason)


def _without_chains(tables: Tables) -> Tables:
    """The same tables without a chain: a base that has nothing to say."""
    return Tables(tables.chains.iloc[:0], tables.calls.iloc[:0], tables.steps.iloc[:0])


def of_tasks(tables: Tables, which: str | Sequence[str]) -> Tables:
    """The chains of the tasks whose ids fit a shell pattern, or are in a list, and what happened in them."""
    if which == "*":
        return tables
    ids = tables.chains["task_id"].astype(str)
    chains = tables.chains[[fnmatchcase(task, which) if isinstance(which, str) else task in which for task in ids]]
    kept = set(chains["trace_id"])
    others = {
        name: table[table["trace_id"].isin(kept)]
        for name in ("calls", "steps", "tools", "gaps", "repairs")
        for table in (getattr(tables, name),)
    }
    return Tables(chains=chains, **others)


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


def _values(name: str, tables: Tables) -> tuple[Array, int]:
    """One value per chain or per call, and how many chains they are of."""
    measured = Measured.of(tables)
    chains, calls = measured.chains, measured.answered
    if name == "failed_chains":
        own = tables.chains[~tables.chains["warmup"]]
        return own["failed"].to_numpy(float), len(own)
    if name == "cache_hits":
        prompt, cached = numbers(calls["input_tokens"]), numbers(calls["cached_tokens"])
        known = ~np.isnan(prompt) & ~np.isnan(cached)
        total = float(prompt[known].sum())
        return np.array([float(cached[known].sum()) / total] if total else []), len(chains)
    of_calls: Mapping[str, str] = {"call_time": "call_e2e_ns", "ttft": "ttft_ns", "tpot": "tpot_ns"}
    if name in of_calls:
        values = numbers(calls[of_calls[name]])
        known = ~np.isnan(values)
        return values[known], int(calls["chain"][known].nunique())
    values = _per_chain(name, measured)
    values = values[~np.isnan(values)]
    return values, len(values)


def _per_chain(name: str, measured: Measured) -> Array:
    chains = measured.chains
    if name in ("steps", "time_per_step"):
        own = measured.steps[["chain", "position"]].drop_duplicates()
        steps: Any = np.bincount(own["chain"], minlength=len(chains)).astype(float)
        if name == "steps":
            return steps
        return np.where(steps > 0, measured.e2e_ns / np.maximum(steps, 1), np.nan)
    if name in ("prompt_tokens", "output_tokens"):
        column = "input_tokens" if name == "prompt_tokens" else name
        return measured.per_chain(measured.answered, numbers(measured.answered[column]))
    return numbers(chains[{"chain_time": "e2e_ns", "llm_calls": "calls"}.get(name, name)])


def _of_margin(margin: Margin, ratio: PairedRatio | None, whole: Comparison, drift: float) -> Judged:
    label = margin.metric if margin.tasks == "*" else f"{margin.metric} of {margin.tasks}"
    bound = (
        f"less than {margin.margin * 100:g}% more than the baseline" if margin.margin else "no more than the baseline"
    )
    told = Judged(label, Verdict.CANNOT_TELL, bound, "ratio", None, primary=margin.primary)
    if ratio is None or ratio.ratio is None:
        return replace(told, reason="no task that both have tells it")
    told = replace(told, value=ratio.ratio, low=ratio.low, high=ratio.high)
    if ratio.low is None:
        return replace(told, reason="of one task nothing tells how sure that is: it takes two at least")
    low: float | None = ratio.low
    high, reason = ratio.high, ""
    found = verdict(ratio, margin=margin.margin)
    if not whole.order.interleaved and margin.metric in TIMES:
        apart = verdict_apart(ratio, margin=margin.margin, drift=drift)
        found, low, high = apart.verdict, apart.low, apart.high
        if apart.drift_decides:
            would = "slower" if apart.without_drift is Verdict.REGRESSED else "not slower"
            reason = (
                f"{would} by the chains, but the baseline was measured at another time: a drift of {drift * 100:g}% "
                "in either run cannot be excluded"
            )
    if high is not None and (high < 1 + margin.margin or low == high == 1):
        slower = low is not None and low > 1
        return replace(
            told, verdict=Verdict.NOT_REGRESSED, reason="more for sure, and within the margin" if slower else ""
        )
    if found is Verdict.CANNOT_TELL and not reason:
        reason = _what_it_takes(margin, ratio)
    return replace(told, verdict=found, reason=reason)


def doubted(judged: Judged, suspects: Sequence[str]) -> Judged:
    """A broken limit or margin on a time cannot be told where a run says of itself that its times may be inexact.

    Args:
        judged: of a limit, or of a margin to a baseline that was not measured in turns with the run.
        suspects: which runs say so, in words.
    """
    if judged.verdict is not Verdict.REGRESSED or judged.name.split(".")[0].split(" ")[0] not in TIMES or not suspects:
        return judged
    reason = f"beyond by the chains, but marked suspect: {' and '.join(suspects)} (a busy machine)"
    return replace(judged, verdict=Verdict.CANNOT_TELL, reason=reason)


def _what_it_takes(margin: Margin, ratio: PairedRatio) -> str:
    smallest = (
        "" if ratio.smallest_effect is None else f"{(ratio.smallest_effect - 1) * 100:.1f}% would have been found"
    )
    needed = ratio.tasks_for(1 + margin.margin) if margin.margin > 0 else None
    repeats = ratio.repeats_for(1 + margin.margin) if margin.margin > 0 else None
    takes = [f"{needed} tasks"] if needed else []
    takes += [f"{repeats} chains of each of these tasks"] if repeats else []
    return f"{smallest} with these {ratio.tasks} tasks" + (
        f"; {margin.margin * 100:g}% takes {' or '.join(takes)}" if takes else ""
    )


def _corrected(judged: Judged, adjusted: Mapping[str, float | None]) -> Judged:
    p = adjusted.get(judged.name)
    if judged.primary or judged.verdict is not Verdict.REGRESSED or p is None or p <= _LEVEL:
        return judged
    reason = "not beyond chance for one of several secondary margins (Holm)"
    return replace(judged, verdict=Verdict.CANNOT_TELL, reason=reason)
