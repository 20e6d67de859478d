"""Findings about the engine: steps slower than the others explain, queueing, and the length of answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from profiler.analysis.context import LEAST_SPREAD_TOKENS
from profiler.analysis.finding import Finding
from profiler.analysis.findings.inquiry import LEAST_SHARE, Inquiry, concentrated, evidence, where_of
from profiler.analysis.measured import numbers
from profiler.analysis.queues import queue_by_waiting
from profiler.analysis.wording import count, duration, percent
from profiler.stats.lines import robust_line

_ODD = 0.30  # of what is expected: what is less off is left to the straight line's own error
_FEWEST_CALLS = 3
_MUCH_DECODE = 0.30
_AS_MUCH = 0.01  # a gain that is so much below the time is as good as all of it


def slow_prefill(inquiry: Inquiry) -> Iterator[Finding]:
    """A row of the steps whose prompts are read slower than those of the other rows, token for token."""
    calls = inquiry.calls
    time = numbers(calls["prefill_ns"])
    tokens = np.where(np.isfinite(calls["uncached"]), calls["uncached"], calls["prompt"]).astype(float)
    held = np.nan_to_num(numbers(calls["cached"]))
    for position, name, here in _rows(inquiry, "prefill"):
        expected = expected_prefill(tokens, held, time, here)
        if expected is None:
            continue
        over = np.where(here, np.nan_to_num(time - expected[0]), 0.0)
        surely = np.where(here, np.nan_to_num(time - expected[1]), 0.0)
        typical = float(np.nanmedian((time - expected[0])[here]))  # a few slow calls are a tail, and no slow step
        if typical < _ODD * float(np.nanmedian(expected[0][here])) or surely.sum() < over.sum() / 2:
            continue
        over = inquiry.sooner(over, "prefill")
        gain = inquiry.gain(inquiry.per_chain(calls, over))
        if gain is None:
            continue
        where = where_of(position, name)
        there, usual = float(np.nanmedian(time[here])), float(np.nanmedian(expected[0][here]))
        yield Finding(
            kind="slow-step-prefill",
            title=f"Prefill of {where} takes {duration(there)} where the other steps' prompts of that length take "
            f"{duration(usual)}: {duration(gain.ns)} per chain.",
            detail=f"Against lines through prefill over computed and over cached prompt tokens of all other steps; the "
            f"step computes {count(float(np.nanmedian(tokens[here])))} tokens.",
            gain_ns=gain.ns,
            share=gain.share,
            condition="the step's prompts are read as fast as the others'",
            remedy="Look at what only this step's requests have: another model or adapter, images, guided "
            "decoding, priority.",
            where=where,
            phase="prefill",
            evidence=evidence(calls, over, lambda at: f"prefill {duration(float(time[at]))}"),
        )


def slow_decode(inquiry: Inquiry) -> Iterator[Finding]:
    """A row of the steps whose tokens are made slower than those of the other rows."""
    calls = inquiry.calls
    time, steps = numbers(calls["decode_ns"]), numbers(calls["output_tokens"]) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = np.where(steps > 0, time / steps, np.nan)
    for position, name, here in _rows(inquiry, "decode"):
        others = pace[~here & np.isfinite(pace)]
        if len(others) < _FEWEST_CALLS or not np.isfinite(pace[here]).any():
            continue
        usual = float(np.median(others))
        if float(np.nanmedian(pace[here])) < (1 + _ODD) * usual:  # a few slow calls are a tail, and no slow step
            continue
        over = inquiry.sooner(np.where(here, np.nan_to_num(time - usual * steps), 0.0), "decode")
        gain = inquiry.gain(inquiry.per_chain(calls, over))
        if gain is None:
            continue
        where = where_of(position, name)
        yield Finding(
            kind="slow-step-decode",
            title=f"Tokens of {where} take {duration(float(np.nanmedian(pace[here])))} each, those of the other "
            "steps "
            f"{duration(usual)}: {duration(gain.ns)} per chain.",
            detail="Decode time on the engine over tokens after the first, against the median of all calls of "
            "other steps.",
            gain_ns=gain.ns,
            share=gain.share,
            condition="the step's tokens are made as fast as the others'",
            remedy="Look at what only this step's requests have: guided decoding, log probabilities, another "
            "model or adapter.",
            where=where,
            phase="decode",
            evidence=evidence(calls, over, lambda at: f"{duration(float(pace[at]))} per token"),
        )


def queueing(inquiry: Inquiry) -> Iterator[Finding]:
    """Requests wait for the engine's scheduler."""
    chains, calls = inquiry.measured.chains, inquiry.calls
    gain = inquiry.gain(numbers(chains["gain_without_queue_ns"]))
    if gain is None:
        return
    waited = numbers(calls["path_queue_ns"])
    path = float(numbers(chains["queue_ns"]).mean())
    yield Finding(
        kind="queueing",
        title=f"Requests wait for the engine: {duration(path)} of a chain ({percent(path / inquiry.mean_ns)}) is "
        f"queueing{without(path, gain.ns)}.",
        detail="Time between a request's arrival and its scheduling, as the engine tells it, on the critical "
        "path; "
        f"{percent(float((waited > 0).mean()))} of the calls waited, the median "
        f"{duration(float(np.median(waited)))}. {queue_by_waiting(calls)}".rstrip(),
        gain_ns=gain.ns,
        share=gain.share,
        condition="the engine takes all requests at once, and its steps do not get longer by that",
        remedy="Run fewer chains at once, raise the engine's limit of running sequences (vLLM: --max-num-seqs) "
        "if its memory "
        "allows, or add a replica.",
        where=concentrated(calls, waited, inquiry.rows),
        phase="queue",
        evidence=evidence(calls, waited, lambda at: f"waited {duration(float(waited[at]))}"),
    )


def decode_bound(inquiry: Inquiry) -> Iterator[Finding]:
    """Most of the time is generation: no defect, and nothing to gain but by saying less, or by faster hardware."""
    chains, calls = inquiry.measured.chains, inquiry.calls
    decode = float(numbers(chains["decode_ns"]).mean())
    gain = float(numbers(chains["gain_without_decode_ns"]).mean())
    share = decode / inquiry.mean_ns if inquiry.mean_ns else 0.0
    output = numbers(calls["output_tokens"])
    tokens = output * inquiry.waited_for
    if share < _MUCH_DECODE or np.isnan(tokens).any():
        return
    spent = numbers(calls["path_decode_ns"])
    per_chain = float(inquiry.per_chain(calls, tokens).mean())
    yield Finding(
        kind="decode-bound",
        title=f"{percent(share)} of chain time is generating tokens: {count(round(per_chain))} one after another, "
        f"{duration(decode)} in all{without(decode, gain)}.",
        detail="Decode on the critical path, as the engine tells it. It is no defect, so no gain is named.",
        gain_ns=None,
        share=share,
        condition="",
        remedy=f"Shorter answers (a tenth less saves up to {duration(gain / 10)}), speculative decoding, a smaller "
        "model, or faster "
        "memory.",
        where=concentrated(calls, spent, inquiry.rows),
        phase="decode",
        evidence=evidence(calls, spent, lambda at: f"{count(float(output[at]))} tokens"),
    )


def without(path_ns: float, gain_ns: float) -> str:
    """What a chain gains without a time on its path, where it is less because something runs beside it."""
    if gain_ns >= (1 - _AS_MUCH) * path_ns:
        return ""
    return f"; without it a chain would be {duration(gain_ns)} shorter, for other things run beside it"


def _rows(inquiry: Inquiry, phase: str) -> Iterator[tuple[int, str, Any]]:
    """Rows of the steps that make calls: position, name, and which calls are theirs.

    Only those with so much of a phase that a finding could come of it: an agent that goes round for ever has thousands.
    """
    calls, rows = inquiry.calls, inquiry.rows
    if len(rows) < 2:  # noqa: PLR2004
        return
    waited = rows.sums(calls[f"path_{phase}_ns"])
    least = LEAST_SHARE * float(inquiry.measured.e2e_ns.sum())
    for row, (position, name) in enumerate(zip(*rows.keys(calls["position"], calls["step"]), strict=True)):
        if waited[row] >= least:
            yield int(position), str(name), rows.number == row


def expected_prefill(tokens: Any, held: Any, time: Any, here: Any) -> tuple[Any, Any] | None:
    """What the other rows' calls let expect of prefill, and the most that they do.

    Two straight lines, one after the other, of which either may be missing: over the tokens that were computed, and
    over those that were found in the cache, for what is computed attends to them.

    Args:
        tokens: prompt tokens computed, of all calls.
        held: prompt tokens found in the cache.
        time: prefill.
        here: which calls are the row's.

    Returns:
        None if the other rows tell nothing of prompts of these lengths: none is as long, or so few are known that
        nothing tells what length costs.
    """
    known = np.isfinite(tokens) & np.isfinite(time)
    others = known & ~here
    if others.sum() < _FEWEST_CALLS or not (known & here).any():
        return None
    usual = most = np.zeros(len(tokens))
    left = time
    for x in (tokens, held) if held.any() else (tokens,):
        line = robust_line(x[others], left[others], least_spread=LEAST_SPREAD_TOKENS)
        if line is None and _spread(x[others]) >= LEAST_SPREAD_TOKENS:
            return None  # too few to tell what length costs, and it differs
        if line is None or (x is held and line.low <= 0):
            if float(np.median(x[known & here])) > float(x[others].max()) + LEAST_SPREAD_TOKENS:
                return None
            continue
        centre = float(np.median(x[others]))
        off = x - centre
        usual = usual + line.slope * off
        most = most + line.slope * off + (line.high - line.slope) * np.maximum(off, 0)
        left = time - usual
    level = float(np.median(left[others]))
    return usual + level, most + level


def _spread(x: Any) -> float:
    """How far apart values are, as `robust_line` looks at it."""
    low, high = np.quantile(x, [0.05, 0.95])
    return float(high - low)
