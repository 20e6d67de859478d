"""How delays compound: what the mean chain loses when calls, tokens or tools get slower.

From the critical path: of what the chain waited for, everything adds its delay in full, what ran beside it adds
nothing. So the slope is a count: calls on the path per chain for TTFT and for whole calls, tokens after the first of
each of them for TPOT, executions on the path for a tool. It is right for small delays, and a bound from below for large
ones, where something that ran beside the path may take it over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from profiler.analysis.measured import Measured, numbers
from profiler.analysis.serial import serial_tools

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
_MOST_TOOLS = 10
_SAME_PATH = "the critical path stays the same, and load does not change with speed"
_STREAMED = f"{_SAME_PATH}; without streaming the chain waits for the whole answer anyway"
_TOKENS = f"{_SAME_PATH}; answers keep their length"


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


def compounding_in_full(measured: Measured) -> Compounding | None:
    """With what each thing's slowness costs, and what retries and tools in series do."""
    short = compounding_of(measured.chains)
    if short is None:
        return None
    retry = numbers(measured.chains["gain_without_retry_ns"])
    serial = serial_tools(measured)
    saved = measured.per_chain(serial, numbers(serial["saved_ns"])) if len(serial) else np.zeros(len(retry))
    return Compounding(
        path_calls=short.path_calls,
        path_decode_tokens=short.path_decode_tokens,
        sensitivities=tuple(_sensitivities(measured, short)),
        retry_ns=float(retry.mean()),
        retried_chains=int((retry > 0).sum()),
        serial_tools_ns=float(saved.mean()),
        serial_chains=int((saved > 0).sum()),
    )


def _sensitivities(measured: Measured, short: Compounding) -> list[Sensitivity]:
    calls, chains = short.path_calls, len(measured.chains)
    found = [
        Sensitivity("every LLM call", SECOND, calls * SECOND, _SAME_PATH),
        Sensitivity("TTFT", MILLISECOND, calls * MILLISECOND, _STREAMED),
    ]
    if short.path_decode_tokens is not None:
        found.append(Sensitivity("TPOT", MILLISECOND, short.path_decode_tokens * MILLISECOND, _TOKENS))
    answered = measured.answered
    pace = numbers(answered[answered["path_ns"] > 0]["tpot_ns"])
    if np.isfinite(pace).any():
        found.append(Sensitivity("one more output token per call", None, calls * float(np.nanmean(pace)), _SAME_PATH))
    tools = measured.tools[measured.tools["path_ns"] > 0].groupby("tool")["path_ns"].agg(["size", "sum"])
    for name, row in tools.sort_values("sum", ascending=False).head(_MOST_TOOLS).iterrows():
        per_chain = float(row["size"]) / chains
        found.append(Sensitivity(f"tool {cast('str', name)}", SECOND, per_chain * SECOND, _SAME_PATH))
    return found
