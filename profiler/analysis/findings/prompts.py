"""Findings about prompts: a prefix cache that does not help, and prompts that stop being continuations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from profiler.analysis.context import reread_tokens
from profiler.analysis.finding import Finding
from profiler.analysis.findings.inquiry import Inquiry, concentrated, evidence, where_of
from profiler.analysis.measured import numbers
from profiler.analysis.wording import count, duration, percent

_NEVER_HIT = 0.05


def prefix_cache(inquiry: Inquiry) -> Iterator[Finding]:
    """Prompt tokens that the chain had sent before, and that were computed again."""
    context, calls = inquiry.context, inquiry.calls
    if context is None or context.cost is None or not context.cached_known:
        return
    prompt, cacheable = numbers(calls["prompt"]), np.nan_to_num(calls["cacheable"])
    cached = np.nan_to_num(calls["cached"])
    missed = (cacheable - cached).clip(min=0) * np.isfinite(calls["cached"])
    price = context.cost.per_token_ns
    spent = inquiry.sooner(_time_of(missed, inquiry, price), "prefill")
    gain = inquiry.gain(inquiry.per_chain(calls, spent))
    if gain is None:
        return
    hit = float(np.minimum(cached, cacheable).sum() / cacheable.sum())
    never = hit < _NEVER_HIT
    off, on = inquiry.prompts.caching is False, inquiry.prompts.caching is True
    state = "is off" if off else "is never hit" if never and on else "is off or never hit"
    state = state if never else f"finds {percent(hit)} of what it could"
    yield Finding(
        kind="prefix-cache",
        title=f"The prefix cache {state}: {percent(gain.share)} of chain time is re-reading history; "
        f"{'turning it on' if never and not on else 'with all of it found'} saves about {duration(gain.ns)} "
        f"of {duration(inquiry.mean_ns)}.",
        detail=f"{count(context.cacheable_tokens)} prompt tokens per chain had been sent before, in "
        "whole blocks of "
        f"{context.block_tokens} ({context.block_source}); those not found in the cache cost {duration(price)} "
        "each "
        f"(95%: {duration(context.cost.low_ns)} to {duration(context.cost.high_ns)}, fitted over "
        f"{context.cost.calls} calls).",
        gain_ns=gain.ns,
        share=gain.share,
        condition="prompts stay continuations of each other, and the cache has room for them until the next call",
        remedy="Start the engine with prefix caching (vLLM has it on unless --no-enable-prefix-caching is given)."
        if never and not on
        else "Give the cache more memory, run fewer chains at once, or send a chain's calls to the same replica.",
        where="",
        phase="prefill",
        evidence=evidence(
            calls,
            missed,
            lambda at: f"{count(missed[at])} of {count(prompt[at])} prompt tokens computed again",
        ),
    )


def prefix_break(inquiry: Inquiry) -> Iterator[Finding]:
    """Prompts that do not begin with what was sent before: the cache cannot help."""
    context = inquiry.context
    if context is None or not context.breaks or context.cost is None:
        return
    calls = inquiry.calls
    broken = (calls["broken"] & ~calls["unrelated"] & calls["kept_messages"].notna()).to_numpy(dtype=bool)
    reread = np.where(broken, np.nan_to_num(reread_tokens(calls)), 0.0)
    spent = inquiry.sooner(_time_of(reread, inquiry, context.cost.per_token_ns), "prefill")
    gain = inquiry.gain(inquiry.per_chain(calls, spent))
    if gain is None:
        return
    worst = max(context.breaks, key=lambda each: each.cost_ns or 0.0)
    where = where_of(worst.position, worst.node)
    kept = (
        f"{worst.kept_messages:.1f} of {worst.previous_messages:.1f} messages"
        if not worst.tools_changed
        else "the tools"
    )
    verb = "are kept" if not worst.tools_changed else "change"
    yield Finding(
        kind="prefix-break",
        title=f"Prompts stop being continuations at {where}: {kept} {verb}, and re-reading the rest costs "
        f"{duration(gain.ns)} per chain.",
        detail=f"From digests of the messages: {count(worst.reread_tokens)} tokens per break had been sent "
        "before, at "
        f"{duration(context.cost.per_token_ns)} each.",
        gain_ns=gain.ns,
        share=gain.share,
        condition="the prefix cache is on",
        remedy="Append to the history instead of rewriting it; put what changes (dates, summaries, retrieved "
        "text) at the end.",
        where=concentrated(calls, spent, inquiry.rows) or where,
        phase="prefill",
        evidence=evidence(calls, spent, lambda at: f"{count(float(reread[at]))} tokens read again"),
    )


def _time_of(tokens: Any, inquiry: Inquiry, price: float) -> Any:
    """What reading so many of a call's prompt tokens took: their price, and no more than their share of its prefill.

    Where prefill grows faster than the prompt, the price is that of long prompts, and short ones are cheaper.
    """
    calls = inquiry.calls
    prefill, computed = numbers(calls["prefill_ns"]), np.asarray(calls["uncached"], dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(computed > 0, prefill * tokens / computed, 0.0)
    return np.fmin(tokens * price, share)
