"""Each call's prompt against the ones before it: what a prefix cache could know of it.

    call 1   [system user                                 ]            700 tokens
    call 2   [system user answer result                   ]            960: begins with all of call 1's prompt
    cacheable        whole blocks of those 700; the last token of a prompt is always computed
    growth           260

A prompt that is no continuation (its first messages differ, or the tools do), or that is the first of its place, can
still begin like those of other chains: with the same tools and system message, as digests tell. How many tokens these
are is worked out from the prompt's tokens and the characters of all its other messages.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.measured import Measured, numbers
from profiler.stats.lines import robust_line

ASSUMED_BLOCK_TOKENS = 16  # vLLM's default
_LARGEST_BLOCK = 128
_LEAST_SPREAD_CHARS = 40.0

Floats = Any  # numpy array


def with_prefixes(measured: Measured, block_tokens: int) -> pd.DataFrame:
    """Calls that ended well, in order within their chains, with columns of floats, NaN where they are not known.

    Args:
        measured: the chains.
        block_tokens: the prefix cache finds whole blocks.

    Returns:
        The rows, ordered by chain and start, with
        `prompt`       prompt tokens
        `growth`       tokens more than the previous prompt of the same place
        `previous`     tokens of that one
        `cached`       tokens found in the cache
        `uncached`     tokens computed
        `cacheable`    tokens that a cache could have known
        `broken`       (bool) whether the previous prompt is not what this one begins with
        `unrelated`    (bool) whether that is so because it is another conversation: one message, and not this one
    """
    calls = measured.answered.sort_values(["chain", "index"], kind="stable").reset_index(drop=True)
    prompt, cached = numbers(calls["input_tokens"]), numbers(calls["cached_tokens"])
    previous = _previous(calls, prompt)
    kept, before = numbers(calls["kept_messages"]), numbers(calls["previous_messages"])
    told = np.isfinite(kept) & np.isfinite(before)
    tools_changed = calls["tools_changed"].fillna(value=False).to_numpy(dtype=bool)
    broken = np.where(told, (kept < before) | tools_changed, prompt < previous) & np.isfinite(previous)
    known = np.where(broken | np.isnan(previous), np.fmax(_opening_tokens(measured, calls, prompt), cached), previous)
    return calls.assign(
        prompt=prompt,
        growth=prompt - previous,
        cached=cached,
        uncached=prompt - cached,
        previous=previous,
        cacheable=np.floor(np.minimum(known, prompt - 1) / block_tokens) * block_tokens,
        broken=broken,
        unrelated=told & (kept == 0) & (before < 2),  # noqa: PLR2004
    )


def _opening_tokens(measured: Measured, calls: pd.DataFrame, prompt: Floats) -> Floats:
    """Tokens of tools and first message, where an earlier call had the same; else NaN.

    Prompts of different repetitions do not find each other in the cache: they are salted.
    """
    chars, opening = numbers(calls["prompt_chars"]), calls["opening_digest"]
    others = chars - numbers(calls["opening_chars"])  # characters
    first = np.isnan(_previous(calls, prompt))
    line = robust_line(others[first], prompt[first], least_spread=_LEAST_SPREAD_CHARS)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_char = line.slope if line is not None and line.low > 0 else prompt / chars
        tokens = pd.Series(prompt - per_char * others)
    tokens = tokens.groupby(opening.to_numpy()).transform("median")
    repeat = measured.chains["repeat"].fillna(0).to_numpy()[calls["chain"]]
    in_time = pd.DataFrame({"opening": opening, "repeat": repeat}).iloc[
        numbers(calls["start_ns"]).argsort(kind="stable")
    ]
    seen = in_time.duplicated(["opening", "repeat"]).sort_index().to_numpy()
    return np.where(seen & opening.notna().to_numpy(), tokens.to_numpy(), np.nan)


def _previous(calls: pd.DataFrame, prompt: Floats) -> Floats:
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
