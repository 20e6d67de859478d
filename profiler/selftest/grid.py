"""What is measured, and the limits that the project publishes for it.

A cell is one run of the recorder: so many streams at once, streaming or not, with one habit of the server on the wire.
The engine's profile is `paced`: streams of 100 tokens a second that do not march in step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from profiler.analysis.accuracy import TPOT_BY_ENGINE, Errors

MS = 1_000_000
TOKENS = 128
STREAMS = (1, 16, 64)
TRAIT_STREAMS = 16
TRAITS = (
    "tokens-per-chunk=4",
    "early-role",
    "reasoning",
    "reasoning=reasoning_content",
    "reasoning=hidden",
    "tool-deltas",
    "keep-alive=0.005",
    "split",
    "join=4",
    "line-separator-text",
    "crlf",
)
BIAS_SHARE_LIMIT = 0.01  # of TTFT and TPOT, in every cell
EXACT_NS = 1_000  # durations that the engine tells are passed on, rounded to microseconds at worst
PLACED_NS = 10 * 1_000  # on a chain's path, phases are apart by 1 µs each


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the recorder."""

    name: str
    streams: int
    chains: int
    calls: int = 1  # in a row, per chain
    stream: bool = True
    trait: str | None = None
    tool_choice: str | None = None  # the answers are tool calls, with words before them (auto) or none (required)


@dataclass(frozen=True, slots=True)
class Limits:
    """99% of the absolute errors stay below; half of those of TTFT below the lower one."""

    ttft_p50_ns: float
    ttft_p99_ns: float
    tpot_p99_ns: float


LIMITS = {
    1: Limits(0.4 * MS, 1.5 * MS, 0.01 * MS),
    16: Limits(0.4 * MS, 1.5 * MS, 0.01 * MS),
    64: Limits(0.4 * MS, 4.0 * MS, 0.05 * MS),
}


def cells(*, quick: bool) -> list[Cell]:
    """The grid; the quick one has a cell of each sort and too few calls for a p99 to say much."""
    if quick:
        return [
            Cell("16 streams", 16, 32),
            Cell("16 calls, not streamed", 16, 16, stream=False),
            Cell("4 tokens a chunk", 16, 16, trait="tokens-per-chunk=4"),
            Cell("tool calls held back", 16, 16, tool_choice="auto"),
            Cell("chains of 3 calls", 4, 8, calls=3),
        ]
    found = [Cell(_streams(streams), streams, max(8, 4 * streams)) for streams in STREAMS]
    found += [Cell(f"{streams} calls, not streamed", streams, max(8, streams), stream=False) for streams in STREAMS]
    found += [_of_trait(trait) for trait in TRAITS]
    found += [
        Cell("tool calls held back", TRAIT_STREAMS, 4 * TRAIT_STREAMS, tool_choice="auto"),
        Cell("tool calls held back, no words", TRAIT_STREAMS, 8 * TRAIT_STREAMS, tool_choice="required"),
    ]
    found.append(Cell("chains of 5 calls", 8, 16, calls=5))
    return found


def _of_trait(trait: str) -> Cell:
    choice = "auto" if trait == "tool-deltas" else None
    return Cell(f"trait {trait}", TRAIT_STREAMS, 2 * TRAIT_STREAMS, trait=trait, tool_choice=choice)


def _streams(number: int) -> str:
    return f"{number} stream" if number == 1 else f"{number} streams"


def beyond(cell: Cell, errors: Iterable[Errors]) -> list[str]:
    """Which limits a cell's errors exceed, in words."""
    limits = LIMITS[min(size for size in LIMITS if size >= cell.streams)]
    found = []
    for each in errors:
        checks: list[tuple[str, float, float]] = []
        if each.metric == "ttft":
            checks = [("p50", each.p50_ns, limits.ttft_p50_ns), ("p99", each.p99_ns, limits.ttft_p99_ns)]
        elif each.metric == "tpot":
            checks = [("p99", each.p99_ns, limits.tpot_p99_ns)]
        elif each.metric in ("queue", "prefill", "decode"):
            checks = [("max", each.max_ns, EXACT_NS)]
        elif each.metric.startswith("chain "):
            checks = [("max", each.max_ns, PLACED_NS * cell.calls)]
        found += [
            f"{cell.name}: {each.metric} {which} {value / MS:.3f} ms, limit {limit / MS:.3f} ms"
            for which, value, limit in checks
            if value > limit
        ]
        if each.metric in ("ttft", "tpot", TPOT_BY_ENGINE) and abs(each.bias_share or 0.0) > BIAS_SHARE_LIMIT:
            found.append(f"{cell.name}: {each.metric} bias {each.bias_share:+.2%}, limit {BIAS_SHARE_LIMIT:.0%}")
    return found
