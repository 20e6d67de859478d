"""The names of what limits and margins are put on; nothing that takes time to import, for `--help` shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from profiler.analysis.phases import PHASES

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
# By unit, and by what there is one value of.
CHAIN_TIMES: Final = ("chain_time", "time_per_step", *PHASES)
CALL_TIMES: Final = ("call_time", "ttft", "tpot")
TIMES: Final = (*CHAIN_TIMES, *CALL_TIMES)
COUNTS: Final = ("steps", "llm_calls", "tools", "prompt_tokens", "output_tokens", "failed_calls")
SHARES: Final = ("cache_hits", "failed_chains")
# What a margin may be put on: a mean's ratio, or the ratio of a quantile of chains.
RATIOS: Final = (*TIMES, *(each for each in COUNTS if each != "failed_calls"))
WITH_TAILS: Final = ("chain_time", "time_per_step")
TAILS: Final = tuple(f"{time}.{each}" for time in WITH_TAILS for each in QUANTILES)
LESS_IS_WORSE: Final = ("cache_hits",)


def metrics() -> list[str]:
    """Every name that a limit can have."""
    names = [f"{time}.{each}" for time in TIMES for each in (*QUANTILES, "max")]
    return [*names, *(f"{each}.{kind}" for each in COUNTS for kind in ("max", "mean")), *SHARES]


def margin_metrics() -> list[str]:
    """Every name that a margin can have."""
    return [*RATIOS, *TAILS, *SHARES]


def metric_lines() -> Iterator[str]:
    """All of them in a few lines, for `--help`."""
    tails = " ".join(f".{each}" for each in QUANTILES)
    yield "Metrics of limits:"
    yield f"  {' '.join((*WITH_TAILS, *CALL_TIMES))} with {tails} .max"
    yield f"  {' '.join(PHASES)} likewise"
    yield f"  {' '.join(COUNTS)} with .max .mean"
    yield f"  {' '.join(SHARES)}"
    yield "Metrics of margins:"
    yield f"  {' '.join((*WITH_TAILS, *CALL_TIMES))} and the phases above"
    yield f"  {' '.join(f'{each}{tails.split()[0]}' for each in WITH_TAILS)} … {tails.split()[-1]}"
    yield f"  {' '.join(each for each in COUNTS if each in RATIOS)}"
    yield f"  {' '.join(SHARES)} in points"
