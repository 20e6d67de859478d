"""What the recorder's figures are worth: recorded against the ground truth of the embedded engine.

Both sides measure durations on the same clock, each from its own end of the wire:

    client     sent |-- on its way --|                                  |-- on its way --| first chunk
    engine                    arrival |== the truth: its own log ==| first write

so an error holds the way there and back, and everything that either side's clock was read too late.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.streaming import FROM_ENGINE
from profiler.truth import OK, Truth

TPOT_BY_ENGINE = "tpot by engine"  # where chunks do not tell it
ENGINE_PHASES = ("load", "queue", "prefill", "decode", "inference")
CALL_METRICS = ("ttft", "tpot", TPOT_BY_ENGINE, "call e2e", *ENGINE_PHASES)
CHAIN_METRICS = (*(f"chain {phase}" for phase in ENGINE_PHASES), "chain rest")


@dataclass(frozen=True, slots=True)
class Errors:
    """Recorded minus true, of one metric; nanoseconds."""

    metric: str
    n: int
    p50_ns: float  # of absolute errors
    p95_ns: float
    p99_ns: float
    max_ns: float
    bias_ns: float  # mean of signed errors
    bias_share: float | None  # bias over the mean truth; None where the truth is 0


def compare(calls: pd.DataFrame, chains: pd.DataFrame, truths: Sequence[Truth]) -> list[Errors]:
    """Errors of every metric that occurs, in the order of `CALL_METRICS` and `CHAIN_METRICS`.

    Args:
        calls: the call table; calls of warm-up chains and failed ones are left out.
        chains: the chain table, of chains whose calls follow one another.
        truths: the engine's log; joined to the calls by span id.
    """
    by_span = {truth.span_id: truth for truth in truths if truth.span_id and truth.outcome == OK}
    good = calls[~calls["warmup"] & ~calls["failed"] & ~calls["chain_failed"]]
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in (*CALL_METRICS, *CHAIN_METRICS)}
    chains_told: dict[str, list[dict[str, int]]] = {}
    for row in good.to_dict(orient="records"):
        truth = by_span.get(row["span_id"])
        if truth is None:
            continue
        for name, recorded, true in _of_call(row, truth):
            pairs[name].append((recorded, true))
        chains_told.setdefault(row["trace_id"], []).append(_told(row, truth))
    for row in chains[~chains["warmup"] & ~chains["failed"]].to_dict(orient="records"):
        for name, recorded, true in _of_chain(row, chains_told.get(row["trace_id"], ())):
            pairs[name].append((recorded, true))
    return [_errors(name, values) for name, values in pairs.items() if values]


def true_ttft_ns(truth: Truth) -> int | None:
    """Arrival of the request to the first write that holds output."""
    first = next((at for at, tokens in zip(truth.writes_ns, truth.written_tokens, strict=True) if tokens), None)
    return None if first is None else first - truth.arrival_ns


def true_tpot_ns(truth: Truth) -> float | None:
    """Time per token between the first and the last write that brought output, by the tokens that came in between."""
    before = 0
    brought = []
    for at, tokens in zip(truth.writes_ns, truth.written_tokens, strict=True):
        if tokens > before:
            brought.append((at, tokens))
            before = tokens
    if len(brought) < 2:  # noqa: PLR2004 - a difference takes two
        return None
    (first, held), (last, total) = brought[0], brought[-1]
    return (last - first) / (total - held)


def _of_call(row: Mapping[Hashable, Any], truth: Truth) -> Iterator[tuple[str, float, float]]:
    if truth.stream:
        by_engine = row.get("tpot_source") == FROM_ENGINE
        for name, recorded, true in (
            ("ttft", row["ttft_ns"], true_ttft_ns(truth)),
            (TPOT_BY_ENGINE if by_engine else "tpot", row["tpot_ns"], true_tpot_ns(truth)),
        ):
            if true is not None and not _missing(recorded):
                yield name, float(recorded), true
    if truth.writes_ns and not _missing(row["sent_ns"]):
        recorded_e2e = float(row["call_e2e_ns"]) - float(row["sent_ns"])
        yield "call e2e", recorded_e2e, truth.writes_ns[-1] - truth.arrival_ns
    for phase, true_phase in _told(row, truth).items():
        yield phase, float(row[f"{phase}_ns"]), true_phase


def _told(row: Mapping[Hashable, Any], truth: Truth) -> dict[str, int]:
    """The true durations of the phases that the call has: an engine does not tell all, and some none."""
    whole = None if truth.prefill_ns is None or truth.decode_ns is None else truth.prefill_ns + truth.decode_ns
    true = {phase: getattr(truth, f"{phase}_ns") for phase in ENGINE_PHASES[:-1]} | {"inference": whole}
    return {
        phase: duration
        for phase, duration in true.items()
        if duration is not None and not _missing(row.get(f"{phase}_ns"))
    }


def _of_chain(row: Mapping[Hashable, Any], calls: Sequence[Mapping[str, int]]) -> Iterator[tuple[str, float, float]]:
    """Of the phases that all its calls tell."""
    if not calls:
        return
    sums = {phase: sum(told[phase] for told in calls) for phase in calls[0] if all(phase in told for told in calls)}
    for phase, true in sums.items():
        yield f"chain {phase}", row[f"{phase}_ns"], true
    if not sums:
        return
    known = sum(row[f"{phase}_ns"] for phase in sums)
    yield "chain rest", row["e2e_ns"] - known, row["e2e_ns"] - sum(sums.values())


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or value != value  # noqa: PLR0124 - NaN


def _errors(metric: str, pairs: Sequence[tuple[float, float]]) -> Errors:
    recorded, true = np.asarray(pairs, dtype=float).T
    signed = recorded - true
    p50, p95, p99 = np.quantile(np.abs(signed), (0.5, 0.95, 0.99))
    mean_true = float(true.mean())
    return Errors(
        metric,
        len(pairs),
        float(p50),
        float(p95),
        float(p99),
        float(np.abs(signed).max()),
        float(signed.mean()),
        float(signed.mean()) / mean_true if mean_true else None,
    )
