"""The histograms, with the units and bucket boundaries that the conventions give them.

Source: OpenTelemetry's semantic conventions for generative AI, "Metrics" (status Development), and, for those of our
own, the same rows of numbers begun at a millisecond: a small model makes a token in less than the 10 ms at which the
conventions' first bucket ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from profiler import semconv as sc


@dataclass(frozen=True, slots=True)
class Instrument:
    """One histogram; a value that equals a boundary is in the bucket below it."""

    name: str
    unit: str  # UCUM
    description: str
    bounds: tuple[float, ...]


def _doubled(first: float, number: int) -> tuple[float, ...]:
    return tuple(round(first * 2**power, 6) for power in range(number))


_OPERATION: Final = _doubled(0.01, 14)  # 0.01 to 81.92 s
_AGENT: Final = _doubled(0.1, 13)  # 0.1 to 409.6 s
_COUNT: Final = _doubled(1, 8)  # 1 to 128
_TOKENS: Final = tuple(float(4**power) for power in range(14))  # 1 to 67,108,864
_FINE: Final = (0.001, 0.0025, 0.005, *_OPERATION)
_PER_TOKEN: Final = (0.001, 0.0025, 0.005, 0.0075)
# The conventions' boundaries of `gen_ai.server.time_per_output_token`.
_PER_SERVER_TOKEN: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)

OPERATION_DURATION: Final = Instrument(sc.METRIC_OPERATION_DURATION, "s", "Duration of an LLM call.", _OPERATION)
FIRST_CHUNK: Final = Instrument(
    sc.METRIC_FIRST_CHUNK, "s", "From the request's sending to the first chunk that bears output.", _OPERATION
)
OUTPUT_CHUNK: Final = Instrument(
    sc.METRIC_OUTPUT_CHUNK, "s", "From a chunk that bears output to the next, for each after the first.", _OPERATION
)
TOKEN_USAGE: Final = Instrument(sc.METRIC_TOKEN_USAGE, "{token}", "Input and output tokens of an LLM call.", _TOKENS)
AGENT_DURATION: Final = Instrument(
    sc.METRIC_AGENT_DURATION, "s", "Duration of a chain: of one invocation of the agent.", _AGENT
)
AGENT_CALLS: Final = Instrument(
    sc.METRIC_AGENT_CALLS, "{inference_call}", "LLM calls of a chain, failed ones included.", _COUNT
)
AGENT_TOOLS: Final = Instrument(
    sc.METRIC_AGENT_TOOLS, "{tool_call}", "Executions of tools in a chain, failed ones included.", _COUNT
)
TOOL_DURATION: Final = Instrument(sc.METRIC_TOOL_DURATION, "s", "Duration of a tool's execution.", _OPERATION)
OUTPUT_TOKEN: Final = Instrument(
    sc.METRIC_OUTPUT_TOKEN,
    "s",
    "Mean time per output token after the first arrival, of an LLM call.",
    (*_PER_TOKEN, *_PER_SERVER_TOKEN),
)
ENGINE_PHASE: Final = Instrument(
    sc.METRIC_ENGINE_PHASE, "s", "Load, queue, prefill, decode, inference of an LLM call, by the engine.", _FINE
)

ALL: Final = (
    OPERATION_DURATION,
    FIRST_CHUNK,
    OUTPUT_CHUNK,
    OUTPUT_TOKEN,
    TOKEN_USAGE,
    ENGINE_PHASE,
    AGENT_DURATION,
    AGENT_CALLS,
    AGENT_TOOLS,
    TOOL_DURATION,
)
