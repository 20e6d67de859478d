"""The mean call, from the HTTP client's entry to the end of the answer, piece by piece.

    client                      sent                                                        end
    | pool | connect | client |                                                              |
                              | load | queue | prefill | on the way | decode | delivery      |   with engine timing
                              | unaccounted                                                  |   without

Engines tell durations without absolute times. What is left between the sending and the end is delivery; of a streamed
call the part before the first token is told apart: what its arrival is later than queue and prefill explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.measured import Measured, numbers

LATE_NS = 100_000_000  # a first token so much later than the engine had it is worth a word
_LAG_NS = 10_000_000
FEWEST_TOKENS = 8  # of which a burst must consist
_SHORT = 0.2  # of the time that the engine took to make the tokens: they came in a burst
_SOON_NS = 20_000_000  # tokens that are made in less come together anyway


@dataclass(frozen=True, slots=True)
class WaterfallPiece:
    """One piece of the mean call."""

    name: str
    phase: str  # one of PHASES
    mean_ns: float
    share: float  # of the mean call
    note: str = ""


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The mean call; pieces sum to its duration."""

    calls: int
    mean_ns: float
    pieces: tuple[WaterfallPiece, ...]  # those that last no time are not there
    notes: tuple[str, ...]  # what is known about what the pieces leave open


def waterfall_of(measured: Measured) -> Waterfall | None:
    """Of the calls that ended well; None if there are none."""
    calls = measured.answered
    if calls.empty:
        return None
    lasted = numbers(calls["call_e2e_ns"])
    sent = np.minimum(np.nan_to_num(numbers(calls["sent_ns"])), lasted)
    pool = np.minimum(np.nan_to_num(numbers(calls["pool_wait_ns"])), sent)
    connect = np.minimum(np.nan_to_num(numbers(calls["connect_ns"])), sent - pool)
    left = lasted - sent
    timed = calls["timing_source"].notna().to_numpy()
    engine = {}
    for phase in ("load", "queue", "prefill", "decode", "inference"):
        engine[phase] = np.minimum(np.where(timed, np.nan_to_num(numbers(calls[f"{phase}_ns"])), 0.0), left)
        left = left - engine[phase]
    late = np.minimum(np.nan_to_num(numbers(calls["first_late_ns"])).clip(min=0), np.where(timed, left, 0.0))
    untold = np.where(timed, np.minimum(np.nan_to_num(numbers(calls["path_unaccounted_ns"])), left - late), left)
    pieces = [
        ("connection pool", "client", pool, "waiting for a connection, or for leave to open one"),
        ("connect", "client", connect, "opening new connections"),
        ("client", "client", sent - pool - connect, "until the request is sent"),
        ("load", "load", engine["load"], ""),
        ("queue", "queue", engine["queue"], ""),
        ("prefill", "prefill", engine["prefill"], ""),
        ("first token on its way", "delivery", late, "later at the client than queue and prefill explain"),
        ("decode", "decode", engine["decode"], ""),
        ("inference", "inference", engine["inference"], "prefill and decode together"),
        ("delivery", "delivery", np.where(timed, left - late - untold, 0.0), "the rest of calls with engine timing"),
        ("unaccounted", "unaccounted", untold, "calls without engine timing, and what engines do not tell"),
    ]
    mean = float(lasted.mean())
    return Waterfall(
        calls=len(calls),
        mean_ns=mean,
        pieces=tuple(
            WaterfallPiece(name, phase, float(part.mean()), float(part.mean()) / mean if mean else 0.0, note)
            for name, phase, part, note in pieces
            if part.any()
        ),
        notes=tuple(_notes(measured)),
    )


def _notes(measured: Measured) -> list[str]:
    calls = measured.answered
    notes = []
    late = numbers(calls["first_late_ns"])
    if (number := int((late > LATE_NS).sum())) > 0:
        median_ms = float(np.median(late[late > LATE_NS])) / 1e6
        notes.append(
            f"in {number} of {len(calls)} calls the client saw the first token over 100 ms after the engine had it "
            f"(median {median_ms:.0f} ms)"
        )
    if (number := int(bundled(calls).sum())) > 0:
        notes.append(f"in {number} of {len(calls)} calls all output came in one burst")
    lag = numbers(calls["lag_max_ns"])
    if (number := int((lag > _LAG_NS).sum())) > 0:
        notes.append(f"in {number} of {len(calls)} calls the agent's event loop was late by over 10 ms")
    untimed = int(calls["timing_source"].isna().sum())
    if untimed:
        notes.append(f"{untimed} of {len(calls)} calls have no engine timing: nothing tells what the engine did")
    framework = numbers(measured.chains["framework_ns"])
    if framework.any():
        notes.append(f"around each call the chain spends {framework.sum() / len(calls) / 1e6:.1f} ms in the framework")
    return notes


def bundled(calls: pd.DataFrame) -> Any:
    """Which calls streamed and yet got their output, of 8 tokens or more, in one burst."""
    arrivals, tokens = numbers(calls["distinct_arrivals"]), numbers(calls["output_tokens"])
    decode = numbers(calls["decode_ns"])
    together = numbers(calls["last_chunk_ns"]) - numbers(calls["ttft_ns"]) <= _SHORT * decode
    together = np.where(np.isfinite(decode), together & (decode >= _SOON_NS), arrivals == 1)
    return together & (tokens >= FEWEST_TOKENS) & calls["stream"].to_numpy(dtype=bool)
