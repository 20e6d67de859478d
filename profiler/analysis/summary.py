"""The figures of a report: everything that is shown, computed once, for every format alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.compounding import Compounding, compounding_of
from profiler.analysis.engine_spans import DISAGREES, JOIN
from profiler.analysis.groups import Groups
from profiler.analysis.measured import Measured, numbers
from profiler.analysis.phases import PHASES
from profiler.analysis.queues import Busy, busy
from profiler.analysis.tables import Tables
from profiler.stats.quantiles import Quantile, quantile

LATE_NS = 100_000_000
_ROW = ("position", "node", "kind")
_MEDIANS = ("input_tokens", "output_tokens", "ttft_ns", "tpot_ns")


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """One phase over all chains."""

    phase: str
    total_ns: int
    share: float  # of the time of all chains
    median_ns: float  # per chain


@dataclass(frozen=True, slots=True)
class StepRow:
    """One position in the chains: the k-th group of calls or tools that a chain makes in a row."""

    position: int
    node: str
    kind: str  # "call" or "tool"
    chains: int
    calls: int
    time_ns: float  # median duration
    share: float  # of the time of all chains, on the critical path
    cumulative_ns: float  # median time from the chain's start to this step's end
    input_tokens: float | None = None  # medians of the calls
    growth_tokens: float | None = None  # median over chains: more than at the previous call
    cached_share: float | None = None
    output_tokens: float | None = None
    ttft_ns: float | None = None
    tpot_ns: float | None = None


@dataclass(frozen=True, slots=True)
class SlowestCall:
    """The longest call, with where to find it."""

    trace_id: str
    span_id: str
    task_id: str
    position: int
    node: str
    call_e2e_ns: int
    ttft_ns: int | None
    queue_ns: int | None
    prefill_ns: int | None
    decode_ns: int | None
    output_tokens: int | None
    load_ns: int | None = None
    inference_ns: int | None = None


@dataclass(frozen=True, slots=True)
class OffScript:
    """Scripted calls whose output has another length than the script says: the engine cannot be forced to it."""

    calls: int
    of_calls: int  # scripted ones whose length is known
    scripted_tokens: int  # of all these
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Untold:
    """Of the mean chain, what is unaccounted in streamed calls without engine timing, by the client's clock."""

    first_ns: float  # until their first tokens
    between_ns: float  # from their first tokens to their last


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures. Chains that failed or were warm-up are counted and in no other figure."""

    chains: int
    failed: int
    warmup: int
    e2e_p50: Quantile | None
    e2e_p95: Quantile | None
    calls_mean: float | None
    calls_min: int | None
    calls_max: int | None
    total_ns: int
    phases: Sequence[PhaseRow]
    steps: Sequence[StepRow]
    slowest: SlowestCall | None
    compounding: Compounding | None
    calls: int  # that ended well
    failed_calls: int
    failed_tools: int
    joined_calls: int  # calls with engine timing
    timing_sources: Sequence[str]
    timing_coverage: Sequence[tuple[str, int]]  # of each of these, for how many calls
    twice_timed_calls: int  # in the answer and in the engine's own span
    disagreeing_calls: int  # of these, by more than a millisecond
    unstreamed_calls: int
    cached_known_calls: int
    late_first_chunks: int  # more than LATE_NS after what queue and prefill explain
    unaccounted_median_share: float | None
    unused_script_calls: int
    off_script: OffScript | None = None
    busy: Busy | None = None  # the engine, by its own metrics
    failures: Sequence[tuple[str, int]] = field(default_factory=tuple)  # error type, chains
    adapted: Sequence[tuple[str, int]] = ()  # field of requests, calls in which it was sent otherwise than asked
    hidden_generations: int = 0  # calls whose engine threw a first answer away
    untold: Untold | None = None
    overloaded: int = 0  # attempts that were turned away with status 429, those of failed chains with them


def summarise(tables: Tables, measured: Measured | None = None) -> Summary:
    """Compute a report's figures from the metric tables; `measured` is of them, if it is there already."""
    everything = tables.chains
    there = everything[~everything["warmup"]]
    measured = Measured.of(tables) if measured is None else measured
    good, calls, answered = measured.chains, measured.calls, measured.answered
    e2e = measured.e2e_ns
    total = int(good["e2e_ns"].sum())
    sources = answered["timing_source"].dropna().value_counts()
    coverage = Counter[str]()
    for told, number in sources.items():
        coverage.update(dict.fromkeys(str(told).split(JOIN), int(number)))
    return Summary(
        chains=len(there),
        failed=int(there["failed"].sum()),
        warmup=int(everything["warmup"].sum()),
        e2e_p50=quantile(e2e, 0.50),
        e2e_p95=quantile(e2e, 0.95),
        calls_mean=float(good["calls"].mean()) if len(good) else None,
        calls_min=int(good["calls"].min()) if len(good) else None,
        calls_max=int(good["calls"].max()) if len(good) else None,
        total_ns=total,
        phases=_phase_rows(good, total),
        steps=_step_rows(measured, total),
        slowest=_slowest(answered),
        compounding=compounding_of(good),
        calls=len(answered),
        failed_calls=int(calls["failed"].sum()),
        failed_tools=int(good["failed_tools"].sum()),
        joined_calls=int(answered["timing_source"].notna().sum()),
        timing_sources=tuple(sorted(coverage)),
        timing_coverage=tuple(sorted(coverage.items())),
        twice_timed_calls=sum(int(number) for told, number in sources.items() if JOIN in str(told)),
        disagreeing_calls=_disagreeing(tables, good),
        unstreamed_calls=int((~answered["stream"]).sum()),
        cached_known_calls=int(answered["cached_tokens"].notna().sum()),
        late_first_chunks=_late_first_chunks(answered),
        unaccounted_median_share=_median(good["unaccounted_ns"] / good["e2e_ns"]),
        unused_script_calls=int(good["unused_script_calls"].sum()),
        off_script=_off_script(answered),
        adapted=_adapted(answered),
        hidden_generations=int(answered["hidden_generation"].sum()),
        overloaded=int((tables.calls["error_type"] == "429")[~tables.calls["warmup"]].sum()),
        busy=busy(answered),
        untold=_untold(measured),
        failures=tuple(
            (str(name), int(number))
            for name, number in there[there["failed"]]["error_type"].fillna("error").value_counts().items()
        ),
    )


def _disagreeing(tables: Tables, chains: pd.DataFrame) -> int:
    found = tables.repairs[tables.repairs["kind"] == DISAGREES]
    if found.empty:  # as a rule; looking for all chains' names among none takes a second of a million spans
        return 0
    return int(found.loc[found["trace_id"].isin(chains["trace_id"]), "count"].sum())


def _adapted(calls: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    """Fields with the number of calls in which they were changed, by name."""
    found = Counter[str]()
    for fields, number in calls["adapted"].value_counts().items():  # many calls, few different changes
        for name in str(fields).split(","):
            found[name] += int(number)
    return tuple(sorted(found.items()))


def _off_script(calls: pd.DataFrame) -> OffScript | None:
    scripted = calls[~calls["truncated"] & calls["scripted_tokens"].notna() & calls["output_tokens"].notna()]
    wanted, got = scripted["scripted_tokens"], scripted["output_tokens"]
    off = int((wanted != got).sum())
    return OffScript(off, len(scripted), int(wanted.sum()), int(got.sum())) if off else None


def _median(values: Any) -> float | None:
    known = values.dropna()
    return float(known.median()) if len(known) else None


def _phase_rows(chains: pd.DataFrame, total_ns: int) -> list[PhaseRow]:
    rows = []
    for phase in PHASES:
        column = chains[f"{phase}_ns"]
        summed = int(column.sum())
        share = summed / total_ns if total_ns else 0.0
        rows.append(PhaseRow(phase, summed, share, float(column.median()) if len(column) else 0.0))
    return rows


def _step_rows(measured: Measured, total_ns: int) -> list[StepRow]:
    """All rows by a few groupings: an agent that goes round for ever has thousands."""
    steps = measured.steps
    rows = Groups.of(*(steps[name] for name in _ROW))
    told = {
        **dict(zip(_ROW, rows.keys(*(steps[name] for name in _ROW)), strict=True)),
        "chains": rows.sizes,
        "time_ns": rows.medians(steps["end_ns"] - steps["start_ns"]),
        "share": rows.sums(steps["path_ns"]) / total_ns if total_ns else np.zeros(len(rows)),
        "cumulative_ns": rows.medians(steps["cumulative_ns"]),
        **_of_calls(measured, rows),
    }
    return [_step_row(dict(zip(told, row, strict=True))) for row in zip(*told.values(), strict=True)]


def _step_row(told: Mapping[str, Any]) -> StepRow:
    calls, prompt = int(told["calls"]), int(told["prompt"])
    return StepRow(
        position=int(told["position"]),
        node=str(told["node"]),
        kind=str(told["kind"]),
        chains=int(told["chains"]),
        calls=calls,
        time_ns=float(told["time_ns"]),
        share=float(told["share"]),
        cumulative_ns=float(told["cumulative_ns"]),
        input_tokens=_or_none(told["input_tokens"]),
        growth_tokens=_or_none(told["growth"]),
        cached_share=int(told["found"]) / prompt if calls and prompt else None,
        output_tokens=_or_none(told["output_tokens"]),
        ttft_ns=_or_none(told["ttft_ns"]),
        tpot_ns=_or_none(told["tpot_ns"]),
    )


def _of_calls(measured: Measured, rows: Groups) -> Mapping[str, Any]:
    """What is told of the calls of each row of the steps; what is NaN is not known."""
    calls, count = measured.answered, len(rows)
    growth = _growth(calls)
    of_row, at = _rows_of_calls(measured, rows)
    told = {name: numbers(calls[name])[at] for name in (*_MEDIANS, "cached_tokens")}
    both = np.isfinite(told["cached_tokens"]) & np.isfinite(told["input_tokens"])
    each = Groups.of(of_row, calls["chain"].to_numpy()[at]).first  # calls of one row and chain have grown together
    return {
        "calls": np.bincount(of_row, minlength=count),
        **{name: _medians(of_row, told[name], count) for name in _MEDIANS},
        "growth": _medians(of_row[each], growth[at][each], count),
        "prompt": np.bincount(of_row, weights=np.where(both, told["input_tokens"], 0.0), minlength=count),
        "found": np.bincount(of_row, weights=np.where(both, told["cached_tokens"], 0.0), minlength=count),
    }


def _rows_of_calls(measured: Measured, rows: Groups) -> tuple[Any, Any]:
    """Calls of which the row of the steps is known: the row, and which call.

    A row has a name and a kind, of which a call knows the name. Where rows of one name and position differ in kind, it
    is of the one that its chain has.
    """
    steps, calls = measured.steps, measured.answered
    place, wanted = measured.places(steps, "node"), measured.places(calls, "step")
    of_row = place[rows.first]
    if len(np.unique(of_row)) == len(of_row):
        at = np.searchsorted(of_row, wanted).clip(max=max(len(of_row) - 1, 0))
        known = np.flatnonzero(of_row[at] == wanted) if len(of_row) else np.zeros(0, dtype=np.int64)
        return at[known], known
    there = pd.DataFrame({"chain": steps["chain"], "place": place, "row": rows.number}).drop_duplicates()
    asked = pd.DataFrame({"chain": calls["chain"].to_numpy(), "place": wanted, "at": np.arange(len(calls))})
    joined = asked.merge(there, on=["chain", "place"])
    return joined["row"].to_numpy(), joined["at"].to_numpy()


def _medians(group: Any, values: Any, count: int) -> Any:
    return pd.Series(values).groupby(group).median().reindex(np.arange(count)).to_numpy()


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _growth(calls: pd.DataFrame) -> Any:
    """Prompt tokens more than at the chain's previous position with a call, of each call."""
    places = Groups.of(calls["chain"], calls["position"])
    longest = pd.Series(numbers(calls["input_tokens"])).groupby(places.number).max().to_numpy()
    chain = calls["chain"].to_numpy()[places.first]
    grown = np.full(len(places), np.nan)
    grown[1:] = np.where(chain[1:] == chain[:-1], longest[1:] - longest[:-1], np.nan)
    return grown[places.number]


def _slowest(calls: pd.DataFrame) -> SlowestCall | None:
    if calls.empty:
        return None
    row = calls.iloc[int(calls["call_e2e_ns"].to_numpy().argmax())]
    return SlowestCall(
        trace_id=str(row["trace_id"]),
        span_id=str(row["span_id"]),
        task_id=str(row["task_id"]),
        position=int(row["position"]),
        node=str(row["node"]),
        call_e2e_ns=int(row["call_e2e_ns"]),
        ttft_ns=_known(row["ttft_ns"]),
        queue_ns=_known(row["queue_ns"]),
        prefill_ns=_known(row["prefill_ns"]),
        decode_ns=_known(row["decode_ns"]),
        output_tokens=_known(row["output_tokens"]),
        load_ns=_known(row["load_ns"]),
        inference_ns=_known(row["inference_ns"]),
    )


def _untold(measured: Measured) -> Untold | None:
    """None if there is no such time. A call that is on the path in part has as much of both."""
    calls = measured.answered
    first, last = numbers(calls["ttft_ns"]), numbers(calls["last_chunk_ns"])
    left = numbers(calls["call_e2e_ns"]) - np.nan_to_num(numbers(calls["sent_ns"]))
    here = calls["timing_source"].isna().to_numpy() & np.isfinite(first) & np.isfinite(last) & (left > 0)
    share = np.divide(numbers(calls["path_unaccounted_ns"]), left, out=np.zeros(len(calls)), where=here)
    if not share.any():
        return None
    chains = len(measured.chains)
    return Untold(
        first_ns=float(np.nansum(share * first)) / chains,
        between_ns=float(np.nansum(share * (last - first))) / chains,
    )


def _known(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)


def _late_first_chunks(calls: pd.DataFrame) -> int:
    """Calls whose first chunk came long after the engine had made the first token."""
    unexplained = calls["ttft_ns"] - calls["queue_ns"] - calls["prefill_ns"]
    return int((unexplained > LATE_NS).sum())
