"""Chains of other instrumentations, in the tables: whose they are, what they lack, and calls that are there twice.

An SDK's instrumentation beside a framework's may write each call as a trace of its own, because the framework's span
was not current when the SDK began its own:

    trace 1    invoke_agent |-----------------------------------------------|
                 ChatOpenAI     |--------------|     |----------------|
    trace 2    ChatCompletion    |------------|
    trace 3    ChatCompletion                         |--------------|

Such traces are no chains. One is taken for a twin if it is a single call within a call of another chain, of the same
model and the same tokens, or failed like it; each call has one at most.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

import pandas as pd

from profiler.analysis.columns import Tables
from profiler.analysis.dialects import TITLES
from profiler.analysis.engine_spans import DISAGREES
from profiler.analysis.foreign import FOREIGN, NO_FIRST
from profiler.analysis.twins import MERGED, WRAPPER

_SLIP_NS: Final = 1_000_000  # two layers read the clock one after the other
_MOST_LOOKED_AT: Final = 1000  # calls that began before, for one trace
OF_ADOPTION: Final = (MERGED, WRAPPER, DISAGREES)
CLOCK: Final = "clock-skew"
_MOVED: Final = re.compile(r"moved by ([+-]\d+) ns")


def is_of_adoption(kinds: pd.Series) -> pd.Series:
    """Whether repairs tell of another instrumentation's ways: no defect, and told for all traces together."""
    return kinds.str.startswith(FOREIGN) | kinds.isin(OF_ADOPTION)


def provenance(repairs: pd.DataFrame) -> Iterator[str]:
    """In words: whose spans they are, what those do not tell, what was counted once. Nothing for our own."""
    foreign = repairs[repairs["kind"].str.startswith(FOREIGN)]
    for kind, group in foreign.groupby("kind", sort=True):
        names = str(kind).removeprefix(FOREIGN).split("+")
        title = " and ".join(TITLES.get(name, name) for name in names)
        chains = f"{len(group)} chain comes" if len(group) == 1 else f"{len(group)} chains come"
        yield f"{chains} from {title} spans: docs/foreign.md says what is read of them"
        lacking = _lacking(group["detail"].tolist())
        if lacking:
            yield f"{title} spans do not tell here: {lacking}"
    merged = int(repairs.loc[repairs["kind"] == MERGED, "count"].sum())
    if merged:
        calls = "1 call or tool is" if merged == 1 else f"{merged} calls or tools are"
        yield f"{calls} recorded by two layers, and counted once"
    wrappers = int(repairs.loc[repairs["kind"] == WRAPPER, "count"].sum())
    if wrappers:
        yield f"calls that hold several calls are not counted themselves: {wrappers}"
    disagreeing = repairs[repairs["kind"] == DISAGREES]
    if len(disagreeing):
        number = int(disagreeing["count"].sum())
        of = "1 call" if number == 1 else f"{number} calls"
        example = disagreeing["detail"].iloc[0]
        yield f"the engine's timing in its answer and in its span differ by over 1 ms for {of}: {example}"
    yield from _clocks(repairs[repairs["kind"] == CLOCK])


def _clocks(repairs: pd.DataFrame) -> Iterator[str]:
    """By what spans of other hosts had to be moved: the least that fits is as much as is known of their clocks."""
    moved = [int(found[1]) for detail in repairs["detail"] if (found := _MOVED.search(detail))]
    if not moved:
        return
    least, most = sorted((min(moved, key=abs), max(moved, key=abs)), key=abs)
    by = _seconds(least) if least == most else f"{_seconds(least)} to {_seconds(most)}"
    chains = "1 chain" if len(moved) == 1 else f"{len(moved)} chains"
    yield (
        f"another host's clock differs: its spans are moved by {by} in {chains}, the least that fits them into "
        "the calls that they answer"
    )


def _seconds(ns: int) -> str:
    """With a sign; as many digits as tell something."""
    return f"{ns / 1e9:+.3f} s" if abs(ns) >= 10**8 else f"{ns / 1e6:+.3f} ms"


def _lacking(details: Sequence[str]) -> str:
    """What all lack, and then what some do."""
    counts = Counter(part for detail in details for part in detail.split("; ") if part)
    return ", ".join(
        part if count == len(details) else f"{part} (in {count} of {len(details)} chains)"
        for part, count in counts.most_common()
    )


def without_twins(tables: Tables) -> tuple[Tables, int]:
    """Leave traces out that are another chain's call recorded again, and how many they were.

    What only the twin tells, the first token, goes to the call that it is a twin of.
    """
    foreign = tables.repairs.loc[tables.repairs["kind"].str.startswith(FOREIGN), "trace_id"]
    if foreign.empty:
        return tables, 0
    chains = tables.chains[tables.chains["trace_id"].isin(foreign)]
    lone = chains[(chains["calls"] == 1) & (chains["tools"] == 0) & (chains["steps"] == 0)]
    calls = tables.calls[tables.calls["trace_id"].isin(foreign)]
    inner = calls.merge(lone[["trace_id", "start_ns", "e2e_ns"]], on="trace_id", suffixes=("", "_of_chain"))
    inner = inner[(inner["start_ns"] == inner["start_ns_of_chain"]) & (inner["call_e2e_ns"] == inner["e2e_ns"])]
    outer = calls[~calls["trace_id"].isin(inner["trace_id"])]
    twins = _twins(_records(outer), _records(inner))
    if not twins:
        return tables, 0
    dropped = {one["trace_id"] for _, one in twins}
    kept, first = _without(tables, dropped), _first_tokens(twins)
    calls = _with_first_tokens(kept.calls, first)
    repairs = _told(kept.repairs, {trace_id for trace_id, _ in first})
    return replace(kept, calls=calls, repairs=repairs), len(dropped)


def without_strangers(tables: Tables) -> tuple[Tables, int]:
    """Leave traces out in which nothing is recognised, and how many they were: an engine's start, a health check.

    Only beside chains of other instrumentations: a collector's file holds whatever was sent to it. A chain of our own
    without a call is a chain.
    """
    foreign = tables.repairs.loc[tables.repairs["kind"].str.startswith(FOREIGN), "trace_id"]
    if foreign.empty:
        return tables, 0
    chains = tables.chains
    empty = (chains["calls"] == 0) & (chains["tools"] == 0) & (chains["steps"] == 0) & (chains["task_id"] == "")
    strangers = chains.loc[empty & ~chains["trace_id"].isin(foreign), "trace_id"]
    return _without(tables, set(strangers)), len(strangers)


def _without(tables: Tables, traces: Collection[str]) -> Tables:
    frames = {table.name: getattr(tables, table.name) for table in fields(Tables)}
    return Tables(
        **{name: frame[~frame["trace_id"].isin(traces)].reset_index(drop=True) for name, frame in frames.items()}
    )


_Record = Mapping[Hashable, Any]


def _records(calls: pd.DataFrame) -> list[_Record]:
    names = ["trace_id", "span_id", "start_ns", "call_e2e_ns", "model", "failed", "input_tokens", "output_tokens"]
    return list(calls.sort_values("start_ns")[[*names, "ttft_ns"]].to_dict("records"))


def _twins(outer: Sequence[_Record], inner: Sequence[_Record]) -> list[tuple[_Record, _Record]]:
    if not outer or not inner:
        return []
    starts = [one["start_ns"] for one in outer]
    longest = max(one["call_e2e_ns"] for one in outer)
    taken: set[int] = set()
    found = []
    for one in inner:
        last = bisect_right(starts, one["start_ns"] + _SLIP_NS) - 1
        for at in range(last, max(last - _MOST_LOOKED_AT, -1), -1):
            if starts[at] + longest + _SLIP_NS < one["start_ns"] + one["call_e2e_ns"]:
                break
            if at not in taken and _is_twin(outer[at], one):
                taken.add(at)
                found.append((outer[at], one))
                break
    return found


def _is_twin(outer: _Record, inner: _Record) -> bool:
    ends = outer["start_ns"] + outer["call_e2e_ns"] + _SLIP_NS >= inner["start_ns"] + inner["call_e2e_ns"]
    if not ends or outer["failed"] != inner["failed"] or outer["model"] != inner["model"]:
        return False
    if outer["failed"]:
        return True
    told = [(outer[name], inner[name]) for name in ("input_tokens", "output_tokens")]
    return all(not pd.isna(one) and not pd.isna(other) and one == other for one, other in told)


def _first_tokens(twins: Sequence[tuple[_Record, _Record]]) -> dict[tuple[str, str], int]:
    """Of calls that have none themselves: trace and span to TTFT."""
    return {
        (outer["trace_id"], outer["span_id"]): inner["start_ns"] - outer["start_ns"] + inner["ttft_ns"]
        for outer, inner in twins
        if pd.isna(outer["ttft_ns"]) and not pd.isna(inner["ttft_ns"])
    }


def _told(repairs: pd.DataFrame, traces: Collection[str]) -> pd.DataFrame:
    """First tokens are not missing any more in these traces."""
    mended = repairs["trace_id"].isin(traces) & repairs["kind"].str.startswith(FOREIGN)
    parts = repairs["detail"].where(~mended, repairs["detail"].str.replace(f"{NO_FIRST}; ", "", regex=False))
    return repairs.assign(detail=parts)


def _with_first_tokens(calls: pd.DataFrame, told: Mapping[tuple[str, str], int]) -> pd.DataFrame:
    keys = zip(calls["trace_id"], calls["span_id"], strict=True)
    first = pd.Series([told.get(key) for key in keys], index=calls.index, dtype="Int64")
    return calls.assign(ttft_ns=calls["ttft_ns"].fillna(first), stream=calls["stream"] | first.notna())
