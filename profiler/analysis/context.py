"""What a growing prompt costs: growth by step, the price of a prompt token, and what the prefix cache took off it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrefillCost:
    """A straight line through prefill over computed prompt tokens."""

    per_token_ns: float
    low_ns: float  # 95% interval of the slope
    high_ns: float
    base_ns: float  # of a prompt of no tokens
    calls: int


@dataclass(frozen=True, slots=True)
class GrowthRow:
    """One row of the steps that makes calls; means over the calls there."""

    position: int
    node: str
    chains: int
    prompt_tokens: float | None
    growth_tokens: float | None  # more than at the chain's previous row with calls
    cacheable_tokens: float | None  # whole blocks of the previous prompt that this one begins with
    cached_tokens: float | None
    uncached_tokens: float | None
    prefill_ns: float | None
    growth_ns: float | None  # what the growth costs in prefill, by the fitted line
    time_ns: float  # median duration of the row
    cumulative_ns: float  # median time from the chain's start to the row's end


@dataclass(frozen=True, slots=True)
class Projection:
    """The mean chain with more steps; every further one adds a call and the mean growth."""

    factor: float
    calls: float
    cached_ns: float
    uncached_ns: float


@dataclass(frozen=True, slots=True)
class PrefixBreak:
    """A place at which prompts stop being continuations of the ones before."""

    position: int
    node: str
    chains: int
    kept_messages: float  # of the previous prompt, mean
    previous_messages: float
    at_chars: float | None  # characters before the first message that differs, mean
    tools_changed: bool
    reread_tokens: float | None  # of the previous prompt, that had to be computed again; mean per break
    cost_ns: float | None  # of that, in the mean chain
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Context:
    """Everything about the growth of prompts."""

    rows: tuple[GrowthRow, ...]
    cost: PrefillCost | None  # missing without engine timing, or where prompts do not differ
    block_tokens: int | None  # of the prefix cache
    block_source: str  # "engine", "inferred" or "assumed"
    cached_known: bool  # whether the engine said what it found in its cache
    cacheable_tokens: float | None  # per chain, mean
    cached_tokens: float | None
    saved_ns: float | None  # by the prefix cache, in the mean chain
    missed_ns: float | None  # cacheable and not found there
    projections: tuple[Projection, ...]
    breaks: tuple[PrefixBreak, ...]
