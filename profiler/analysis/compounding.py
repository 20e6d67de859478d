"""How delays compound: what the mean chain loses when calls, tokens or tools get slower."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How much longer the mean chain gets for each unit by which something gets slower."""

    name: str  # "every LLM call", "TTFT", "TPOT", "one more output token per call", "tool search"
    unit_ns: int | None  # of the change; None for a token
    chain_ns: float  # per unit
    condition: str


@dataclass(frozen=True, slots=True)
class Compounding:
    """How a delay of each call, or of each token, shows in the chain, while the critical path stays the same."""

    path_calls: float  # LLM calls on the critical path that did not fail, mean per chain
    path_decode_tokens: float | None  # tokens after the first of each of those calls, mean per chain
    sensitivities: tuple[Sensitivity, ...] = ()
    retry_ns: float | None = None  # lost to attempts that were repeated, and the waiting between; mean per chain
    retried_chains: int = 0
    serial_tools_ns: float | None = None  # to be gained by tools of one step running side by side; mean per chain
    serial_chains: int = 0

    def chain_ns(self, *, per_call_ns: int = 0, per_token_ns: int = 0) -> float | None:
        """How much longer the mean chain gets; None if it depends on unknown token counts."""
        if per_token_ns and self.path_decode_tokens is None:
            return None
        return self.path_calls * per_call_ns + (self.path_decode_tokens or 0) * per_token_ns


def compounding_of(chains: pd.DataFrame) -> Compounding | None:
    """From the rows of the chains that ended well; None if there is no call on any critical path."""
    if chains.empty or not int(chains["path_calls"].sum()):
        return None
    tokens = chains["path_decode_tokens"]
    return Compounding(
        path_calls=float(chains["path_calls"].mean()),
        path_decode_tokens=None if tokens.isna().any() else float(tokens.mean()),
    )
