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
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.facts import Facts
from profiler.analysis.groups import Groups
from profiler.analysis.measured import Measured, numbers
from profiler.stats.lines import robust_line

ASSUMED_BLOCK_TOKENS = 16  # vLLM's default
_LARGEST_BLOCK = 128
_LEAST_SPREAD_CHARS = 40.0

Floats = Any  # numpy array


@dataclass(frozen=True, eq=False)
class Prompts:
    """The calls that ended well with what is known of their prompts, and what is taken for the prefix cache's block."""

    calls: pd.DataFrame  # see `with_prefixes`
    block_tokens: int
    block_source: str  # "engine", "inferred" or "assumed"
    caching: bool | None  # whether the engine was started with a prefix cache; None where nothing tells

    @classmethod
    def of(cls, measured: Measured, facts: Facts = Facts()) -> Prompts:  # noqa: B008 - it is frozen
        """Look at them, with what is known of the engine."""
        block, source = block_tokens_of(measured.answered, facts.block_tokens)
        return cls(with_prefixes(measured, block, caching=facts.prefix_caching), block, source, facts.prefix_caching)

    @cached_property
    def rows(self) -> Groups:
        """Of the calls: their rows of the steps, by position and name."""
        return Groups.of(self.calls["position"], self.calls["step"])


def with_prefixes(measured: Measured, block_tokens: int, *, caching: bool | None = None) -> pd.DataFrame:
    """Calls that ended well, in order within their chains, with columns of floats, NaN where they are not known.

    Args:
        measured: the chains.
        block_tokens: the prefix cache finds whole blocks.
        caching: False if there is none: then nothing was found in it, even if the engine does not say so.

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
    calls = _in_order(measured.answered)
    prompt, cached = numbers(calls["input_tokens"]), numbers(calls["cached_tokens"])
    if caching is False:
        cached = np.where(np.isnan(cached), 0.0, cached)
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


def _in_order(calls: pd.DataFrame) -> pd.DataFrame:
    chain, index = calls["chain"].to_numpy(), calls["index"].to_numpy()
    sorted_already = (np.diff(chain) > 0) | ((np.diff(chain) == 0) & (np.diff(index) >= 0))
    ordered = calls if sorted_already.all() else calls.iloc[np.lexsort((index, chain))]
    return ordered.reset_index(drop=True)


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
        tokens = prompt - per_char * others
    known = opening.notna().to_numpy()
    alike = pd.factorize(opening.to_numpy(dtype=np.int64, na_value=0))[0]
    tokens = Groups.of(alike).spread_medians(np.where(known, tokens, np.nan))
    repeat = measured.chains["repeat"].fillna(0).to_numpy(dtype=np.int64)[calls["chain"].to_numpy()]
    begun = numbers(calls["start_ns"]).argsort(kind="stable")
    seen = np.ones(len(calls), dtype=bool)
    seen[begun[Groups.of(alike[begun], known[begun], pd.factorize(repeat[begun])[0]).first]] = False
    return np.where(seen & known, tokens, np.nan)


def _previous(calls: pd.DataFrame, prompt: Floats) -> Floats:
    """Prompt tokens of the chain's previous call of the same place."""
    number = Groups.of(calls["chain"], calls["place"]).number
    order = np.argsort(number, kind="stable")
    found = np.full(len(prompt), np.nan)
    ones, others = order[:-1], order[1:]
    found[others] = np.where(number[others] == number[ones], prompt[ones], np.nan)
    return found


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
