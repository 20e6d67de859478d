"""Findings about single calls: a few slow ones, output in one burst, repeated attempts, connections, a late loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from profiler.analysis.context import LEAST_SPREAD_TOKENS
from profiler.analysis.finding import Finding
from profiler.analysis.findings.inquiry import Inquiry, concentrated, evidence
from profiler.analysis.measured import numbers
from profiler.analysis.waterfall import bundled
from profiler.analysis.wording import count, duration, percent, plural

_PHASES = ("client", "load", "queue", "prefill", "decode", "inference", "delivery", "unaccounted")
_MOST_TAIL = 0.10  # of the calls: if more are slow, it is no tail
_FAR = 6.0  # robust standard deviations
_FAR_SHARE = 0.25  # of what is expected
_TO_SIGMA = 1.4826  # of the median absolute deviation, for a normal distribution
_FEWEST_CALLS = 20
_FEWEST_TOKENS = 8
_MANY = 0.2  # of the calls
_LATE_NS = 20_000_000


def tail_calls(inquiry: Inquiry) -> Iterator[Finding]:
    """A few calls that take much longer than comparable ones: of the same row of the steps, with as many tokens.

    A long prefill of more tokens than any other call computes has none to be compared with.
    """
    calls = inquiry.calls
    if len(calls) < _FEWEST_CALLS:
        return
    lasted, expected = numbers(calls["call_e2e_ns"]), _expected(inquiry)
    over = lasted - expected
    sigma = _TO_SIGMA * float(np.median(np.abs(over - np.median(over))))
    slow = over > np.maximum(_FAR * sigma, _FAR_SHARE * expected)
    if not slow.any() or slow.mean() > _MOST_TAIL:
        return
    phase = _grown_phase(inquiry, slow)
    if phase == "queue":
        return  # waiting differs from call to call by nature, and queueing is a finding of its own
    if phase == "prefill":
        tokens = numbers(calls["uncached"])
        slow &= ~(tokens > np.nanmax(tokens[~slow], initial=0.0) + LEAST_SPREAD_TOKENS)
        if not slow.any():
            return
    lost = np.where(slow & inquiry.waited_for, np.minimum(over, numbers(calls["drag_ns"])), 0.0)
    per_chain = inquiry.per_chain(calls, lost)
    gain = inquiry.gain(per_chain)
    if gain is None:
        return
    yield Finding(
        kind="tail-calls",
        title=f"{percent(float(slow.mean()))} of the calls take {duration(float(np.median(over[slow])))} longer "
        "than comparable "
        f"ones, in {phase}, and {percent(gain.chains)} of the chains meet one.",
        detail="Against the median of calls of the same step, adjusted to computed prompt tokens and output tokens; "
        f"{plural(int(slow.sum()), 'call')} of "
        f"{count(len(calls))} are off by more than {_FAR:g} robust standard deviations and {percent(_FAR_SHARE)}.",
        gain_ns=gain.ns,
        share=gain.share,
        condition="the slow calls become as fast as comparable ones",
        remedy=_tail_remedy(phase),
        where=concentrated(calls, lost, inquiry.rows),
        phase=phase,
        evidence=evidence(
            calls,
            lost,
            lambda at: f"{duration(float(lasted[at]))}, {duration(float(expected[at]))} expected",
        ),
    )


def bundled_delivery(inquiry: Inquiry) -> Iterator[Finding]:
    """Output that the engine made token by token and the client got in one burst."""
    calls = inquiry.calls
    burst, streamed = bundled(calls), calls["stream"].to_numpy(dtype=bool)
    if not burst.any() or burst.sum() < _MANY * streamed.sum():
        return
    made = numbers(calls["queue_ns"]) + numbers(calls["prefill_ns"]) + numbers(calls["decode_ns"])
    held = numbers(calls["last_chunk_ns"]) - made
    usual = held[streamed & ~burst & np.isfinite(held)]
    late = held - (float(np.median(usual)) if len(usual) >= _FEWEST_TOKENS else 0.0)
    lost = inquiry.sooner(np.where(burst, np.nan_to_num(late).clip(min=0), 0.0), "delivery")
    gain = inquiry.gain(inquiry.per_chain(calls, lost))
    first = numbers(calls["first_late_ns"])[burst]
    first_late = duration(float(np.nanmedian(first))) if np.isfinite(first).any() else None
    seen = (
        f"the first token reaches the client {first_late} after the engine had it"
        if first_late
        else "no token comes early"
    )
    chain = f"and the end is late too, {duration(gain.ns)} per chain" if gain else "which costs readers and no chain"
    told = calls["finish_reason"].fillna("").to_numpy() == "tool_calls"
    parser = bool(told[burst].mean() > 0.5)  # noqa: PLR2004
    if gain is None and (parser or first_late is None):
        return  # a tool call is of use only when it is complete
    yield Finding(
        kind="bundled-delivery",
        title=f"In {percent(float(burst.sum() / streamed.sum()))} of the streamed calls all output comes in one "
        f"burst: {seen}, {chain}.",
        detail="All output arrived within a fifth of the time that the engine took to make it; what the end is "
        "late is the last "
        "arrival minus queue, prefill and decode"
        + (
            f", against {duration(float(np.median(usual)))} in calls that streamed."
            if len(usual) >= _FEWEST_TOKENS
            else "."
        ),
        gain_ns=gain.ns if gain else None,
        share=gain.share if gain else None,
        condition="tokens are passed on as they are made"
        if gain
        else "a gain for who reads along: nothing waits for the first token",
        remedy="Turn off buffering between engine and agent (proxy_buffering off, X-Accel-Buffering: no, no "
        "compression), and see "
        "whether the engine's front end has a processor of its own.",
        where=concentrated(calls, np.where(burst, np.maximum(lost, 1.0), 0.0), inquiry.rows),
        phase="delivery",
        evidence=evidence(
            calls,
            np.where(burst, np.nan_to_num(held) + 1, 0.0),
            lambda at: f"end {duration(float(held[at]))} late",
        ),
    )


def retries(inquiry: Inquiry) -> Iterator[Finding]:
    """Attempts that failed and were repeated."""
    measured = inquiry.measured
    gain = inquiry.gain(numbers(measured.chains["gain_without_retry_ns"]))
    if gain is None:
        return
    failed = measured.calls[measured.calls["failed"]]
    kind, lasted = failed["error_type"].fillna("error"), numbers(failed["call_e2e_ns"])
    kinds = ", ".join(f"{name} {number}" for name, number in kind.value_counts().head(3).items())
    lost = numbers(failed["path_retry_ns"])
    yield Finding(
        kind="retries",
        title=f"Failed attempts and the waiting before the next cost {duration(gain.ns)} per chain; "
        f"{percent(gain.chains)} of the "
        f"chains have some.",
        detail=f"{plural(len(failed), 'attempt')} of {count(len(measured.calls))} failed ({kinds}); their time "
        "and the pauses after "
        "them are on the critical path.",
        gain_ns=gain.ns,
        share=gain.share,
        condition="the first attempts succeed",
        remedy="Mend what fails (the error types say what), or shorten the client's pauses and time limits.",
        where=concentrated(failed, lost),
        phase="retry",
        evidence=evidence(
            failed,
            lasted,
            lambda at: f"{kind.iloc[at]} after {duration(float(lasted[at]))}",
        ),
    )


def connections(inquiry: Inquiry) -> Iterator[Finding]:
    """Time before the request is sent."""
    measured, calls = inquiry.measured, inquiry.calls
    gain = inquiry.gain(numbers(measured.chains["gain_without_client_ns"]))
    if gain is None:
        return
    pool, connect = np.nan_to_num(numbers(calls["pool_wait_ns"])), np.nan_to_num(numbers(calls["connect_ns"]))
    spent = numbers(calls["path_client_ns"])
    other = float(np.nan_to_num(numbers(calls["sent_ns"])).mean() - pool.mean() - connect.mean())
    parts = {
        f"{duration(float(connect.mean()))} opening a connection": float(connect.mean()),
        f"{duration(float(pool.mean()))} waiting for one": float(pool.mean()),
        f"{duration(other)} of the client's own work": other,
    }
    remedies = (
        "Keep one client for the whole agent, so that its connections stay open.",
        "Raise the client's limit of connections.",
        "Look at what the process does meanwhile: a busy event loop or processor, or bodies of many megabytes.",
    )
    yield Finding(
        kind="connections",
        title=f"Before requests are sent {duration(gain.ns)} of a chain passes ({percent(gain.share)}).",
        detail=f"From the HTTP client's entry until the body is sent; a mean call has {', '.join(parts)}.",
        gain_ns=gain.ns,
        share=gain.share,
        condition="a connection is open and free whenever one is needed, and nothing else keeps the client",
        remedy=remedies[int(np.argmax(list(parts.values())))],
        where=concentrated(calls, spent, inquiry.rows),
        phase="client",
        evidence=evidence(calls, spent, lambda at: f"{duration(float(spent[at]))} until sent"),
    )


def loop_lag(inquiry: Inquiry) -> Iterator[Finding]:
    """The agent's event loop was held while calls were under way, so their output was taken late."""
    calls, gaps = inquiry.calls, inquiry.measured.gaps
    lag = np.nan_to_num(numbers(calls["lag_max_ns"]))
    late = inquiry.sooner(np.where((lag >= _LATE_NS) & ~bundled(calls), lag, 0.0), "delivery")
    gaps = gaps.loc[(gaps["cause"] == "event loop").to_numpy(dtype=bool), ["chain", "duration_ns"]]
    held = numbers(gaps["duration_ns"])
    per_chain = inquiry.per_chain(calls, late) + inquiry.per_chain(gaps, held, "framework")
    gain = inquiry.gain(per_chain)
    if gain is None:
        return
    yield Finding(
        kind="loop-lag",
        title=f"The agent's event loop is held while calls wait: up to {duration(gain.ns)} per chain "
        f"({percent(gain.share)}).",
        detail=f"A timer on the loop was late by over {duration(_LATE_NS)} in "
        f"{count(int((lag >= _LATE_NS).sum()))} of "
        f"{plural(len(calls), 'call')}; counted is the lag, and no more than the call's delivery.",
        gain_ns=gain.ns,
        share=gain.share,
        condition="nothing blocks the loop; it is an upper bound",
        remedy="Move blocking code out of coroutines (asyncio.to_thread), or use asynchronous libraries.",
        where=concentrated(calls, late, inquiry.rows),
        phase="delivery" if late.sum() >= held.sum() else "framework",
        evidence=evidence(calls, late, lambda at: f"loop {duration(float(lag[at]))} late"),
    )


def _expected(inquiry: Inquiry) -> Any:
    """How long a call takes in the median of its row of the steps, adjusted to its tokens where they are known."""
    calls, rows = inquiry.calls, inquiry.rows
    lasted, steps = numbers(calls["call_e2e_ns"]), numbers(calls["output_tokens"]) - 1
    by_client = numbers(calls["last_chunk_ns"]) - numbers(calls["ttft_ns"])
    decode = np.where(np.isfinite(numbers(calls["decode_ns"])), numbers(calls["decode_ns"]), by_client)
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = rows.spread_medians(np.where(steps > 0, decode / steps, np.nan))
    read = _read_longer(inquiry)
    around = rows.spread_medians(lasted - decode - read) + pace * steps + read
    return np.where(np.isfinite(around), around, rows.spread_medians(lasted - read) + read)


def _read_longer(inquiry: Inquiry) -> Any:
    """What prefill takes longer than in the median of the row for the prompt tokens that a call computes more."""
    tokens = numbers(inquiry.calls["uncached"])
    cost = None if inquiry.context is None else inquiry.context.cost
    if cost is None:
        return np.zeros(len(tokens))
    more = np.nan_to_num(tokens - inquiry.rows.spread_medians(tokens))
    return np.where(more > 0, cost.high_ns, cost.per_token_ns) * more


def _grown_phase(inquiry: Inquiry, slow: Any) -> str:
    """The phase that makes up most of what the slow calls take longer than the median of their row."""
    grown = {}
    for phase in _PHASES:
        time = numbers(inquiry.calls[f"path_{phase}_ns"])
        grown[phase] = float((time - inquiry.rows.spread_medians(time))[slow].sum())
    return max(grown, key=lambda phase: grown[phase])


def _tail_remedy(phase: str) -> str:
    if phase in ("client", "delivery", "unaccounted"):
        return (
            "Look at the network, proxies and the machine at these times; send a second request after the usual time."
        )
    if phase == "load":
        return "Keep the model in memory (Ollama: OLLAMA_KEEP_ALIVE, or keep_alive in requests), and warm it up."
    return (
        "Look at the engine at these times: other load, preemption, garbage collection, throttling; hedge slow calls."
    )
