"""What is measured, and the limits that the project publishes for it.

A cell is one run of the recorder: so many streams at once, streaming or not, with one habit of the server on the wire.
The engine's profile is `paced`: streams of 100 tokens a second that do not march in step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from profiler.analysis.accuracy import ENGINE_PHASES, TPOT_BY_ENGINE, Errors

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
WHOLE_MS = 1_000_000  # TGI tells whole milliseconds, cut off
PLACED_NS = 10 * 1_000  # on a chain's path, for all its calls: engines tell whole microseconds


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the recorder."""

    name: str
    streams: int
    chains: int
    calls: int = 1  # in a row, per chain
    stream: bool = True
    trait: str | None = None
    dialect: str = "vllm"  # of the server
    native: bool = False  # by the server's own protocol
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
            *_quick_of_dialects(),
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
    return [*found, *_of_dialects()]


DIALECTS = (("tgi", True), ("tgi", False), ("ollama", True), ("ollama", False), ("openai", False), ("llama.cpp", False))
"""Beside vLLM: the dialect, and whether by its own protocol."""


def _of_dialects() -> list[Cell]:
    found = []
    for dialect, native in DIALECTS:
        name = _name(dialect, native=native)
        plain = Cell(f"{name}, 16 streams", TRAIT_STREAMS, 2 * TRAIT_STREAMS, dialect=dialect, native=native)
        whole = replace(plain, name=f"{name}, not streamed", chains=TRAIT_STREAMS, stream=False)
        chains = replace(plain, name=f"{name}, chains of 3 calls", streams=4, chains=8, calls=3, stream=not native)
        found += [plain, whole, chains]
    return found


def _quick_of_dialects() -> list[Cell]:
    return [
        Cell(f"{_name(dialect, native=native)}, 8 streams", 8, 16, dialect=dialect, native=native)
        for dialect, native in DIALECTS
    ]


def _name(dialect: str, *, native: bool) -> str:
    """As people call it; where a server has two protocols, which."""
    both = sum(each == dialect for each, _ in DIALECTS) > 1
    return f"{dialect} {'native' if native else '/v1'}" if both else dialect


def _of_trait(trait: str) -> Cell:
    choice = "auto" if trait == "tool-deltas" else None
    return Cell(f"trait {trait}", TRAIT_STREAMS, 2 * TRAIT_STREAMS, trait=trait, tool_choice=choice)


def _streams(number: int) -> str:
    return f"{number} stream" if number == 1 else f"{number} streams"


def beyond(cell: Cell, errors: Iterable[Errors]) -> list[str]:
    """Which limits a cell's errors exceed, in words."""
    limits = LIMITS[min(size for size in LIMITS if size >= cell.streams)]
    errors = list(errors)
    told = [each.metric for each in errors if each.metric in ENGINE_PHASES]
    exact_ns = WHOLE_MS if cell.dialect == "tgi" else EXACT_NS
    found = []
    for each in errors:
        checks: list[tuple[str, float, float]] = []
        if each.metric == "ttft":
            checks = [("p50", each.p50_ns, limits.ttft_p50_ns), ("p99", each.p99_ns, limits.ttft_p99_ns)]
        elif each.metric == "tpot":
            checks = [("p99", each.p99_ns, limits.tpot_p99_ns)]
        elif each.metric in ENGINE_PHASES:
            checks = [("max", each.max_ns, exact_ns)]
        elif each.metric.startswith("chain "):
            parts = len(told) if each.metric == "chain rest" else 1
            checks = [("max", each.max_ns, (PLACED_NS + parts * (exact_ns - EXACT_NS)) * cell.calls)]
        found += [
            f"{cell.name}: {each.metric} {which} {value / MS:.3f} ms, limit {limit / MS:.3f} ms"
            for which, value, limit in checks
            if value > limit
        ]
        if each.metric in ("ttft", "tpot", TPOT_BY_ENGINE) and abs(each.bias_share or 0.0) > BIAS_SHARE_LIMIT:
            found.append(f"{cell.name}: {each.metric} bias {each.bias_share:+.2%}, limit {BIAS_SHARE_LIMIT:.0%}")
    return found
