"""Each call's prompt against the one before it in its chain: what a prefix cache could know of it.

    call 1   [system user                                 ]            700 tokens
    call 2   [system user answer result                   ]            960: begins with all of call 1's prompt
    cacheable        whole blocks of those 700; the last token of a prompt is always computed
    growth           260

A prompt that is no continuation (its first messages differ, or the tools do) has nothing cacheable but what the engine
found there after all.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from profiler.analysis.measured import numbers

ASSUMED_BLOCK_TOKENS = 16  # vLLM's default
_LARGEST_BLOCK = 128


def with_prefixes(calls: pd.DataFrame, block_tokens: int) -> pd.DataFrame:
    """Calls that ended well, in order within their chains, with columns of floats, NaN where they are not known.

    Args:
        calls: rows of table calls with `chain`, none failed.
        block_tokens: the prefix cache finds whole blocks.

    Returns:
        The rows, ordered by chain and start, with
        `prompt`       prompt tokens
        `growth`       tokens more than the previous prompt of the same place
        `cached`       tokens found in the cache
        `uncached`     tokens computed
        `cacheable`    tokens that a cache could have known from the previous prompt
        `broken`       (bool) whether the previous prompt is not what this one begins with
        `unrelated`    (bool) whether that is so because it is another conversation: one message, and not this one
    """
    calls = calls.sort_values(["chain", "index"], kind="stable").reset_index(drop=True)
    prompt, cached = numbers(calls["input_tokens"]), numbers(calls["cached_tokens"])
    previous = _previous(calls, prompt)
    kept, before = numbers(calls["kept_messages"]), numbers(calls["previous_messages"])
    told = np.isfinite(kept) & np.isfinite(before)
    tools_changed = calls["tools_changed"].fillna(value=False).to_numpy(dtype=bool)
    broken = np.where(told, (kept < before) | tools_changed, prompt < previous) & np.isfinite(previous)
    reachable = np.minimum(previous, prompt - 1)
    cacheable = np.where(broken, np.minimum(np.nan_to_num(cached), reachable), reachable)
    return calls.assign(
        prompt=prompt,
        growth=prompt - previous,
        cached=cached,
        uncached=prompt - cached,
        previous=previous,
        cacheable=np.floor(cacheable / block_tokens) * block_tokens,
        broken=broken,
        unrelated=told & (kept == 0) & (before < 2),  # noqa: PLR2004
    )


def _previous(calls: pd.DataFrame, prompt: np.ndarray) -> np.ndarray:
    """Prompt tokens of the chain's previous call of the same place."""
    by_place = pd.Series(prompt).groupby([calls["chain"], calls["place"]], sort=False)
    return np.asarray(numbers(by_place.shift()))


def block_tokens_of(calls: pd.DataFrame, told: int | None) -> tuple[int, str]:
    """The prefix cache's block, and whether the engine told it, hits show it, or it is assumed.

    What is found is a multiple of the block: the greatest power of two, up to 128, that divides all of it.
    """
    if told is not None:
        return told, "engine"
    hits = calls["cached_tokens"].dropna()
    common = math.gcd(*(int(value) for value in hits[hits > 0].unique()))
    if not common:
        return ASSUMED_BLOCK_TOKENS, "assumed"
    return min(common & -common, _LARGEST_BLOCK), "inferred"
