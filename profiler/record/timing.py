"""What engines tell of their own time, each under its own definition. Two with one name are never merged.

    source                   where it stands                         what it tells
    vllm.metrics             `metrics` in the body (vLLM 0.25+)      queue, prefill, decode; ms
    llama.cpp.timings        `timings` in the body                   prefill, decode; ms
    ollama.durations         the last object of its own API          load, prefill, decode, and the sum; ns
    groq.usage               `usage` or `x_groq.usage`               queue, prefill, decode; s
    cerebras.time_info       `time_info` in the body                 queue, prefill, decode; s
    tgi.headers              headers of an unstreamed answer         queue, inference; whole ms, cut off

What an engine does not tell is missing, and never 0: where the queue is missing, a request may have waited in it, and
what passed until the engine began counts as unaccounted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

_LONGEST_NS = 10**14  # a day; more is not a duration of a request
_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class EngineTiming:
    """Phases of one request on the engine's clock, in nanoseconds; None for what the engine does not tell."""

    source: str
    queue_ns: int | None = None
    prefill_ns: int | None = None
    decode_ns: int | None = None
    load_ns: int | None = None  # of the model, before anything else
    inference_ns: int | None = None  # prefill and decode, not told apart
    untold_ns: int | None = 0  # after the load: what the engine had the request for besides; None if that is unknown
    precision_ns: int = 1  # durations are cut off to whole multiples of it

    @property
    def phases(self) -> list[tuple[str, int]]:
        """Name and duration of what is known, in order."""
        told = (
            ("load", self.load_ns),
            ("unaccounted", self.untold_ns),
            ("queue", self.queue_ns),
            ("prefill", self.prefill_ns),
            ("decode", self.decode_ns),
            ("inference", self.inference_ns),
        )
        return [(name, duration) for name, duration in told if duration is not None]


def engine_timing(body: Mapping[str, Json | None], headers: Mapping[str, str]) -> EngineTiming | None:
    """The engine's own timing of an answer, if it gave any.

    Args:
        body: what stood in the answer, by its place: `metrics`, `timings`, `time_info`, `usage`, `durations`.
        headers: of the response; names in small letters.
    """
    return (
        vllm_timing(body.get("metrics"))
        or llama_cpp_timing(body.get("timings"))
        or ollama_timing(body.get("durations"))
        or hosted_timing("groq.usage", body.get("usage"))
        or hosted_timing("cerebras.time_info", body.get("time_info"))
        or tgi_timing(headers)
    )


def vllm_timing(metrics: Json | None) -> EngineTiming | None:
    """Phases from vLLM's in-band `metrics` object (milliseconds; vLLM 0.25 and later).

    Its `time_to_first_token_ms` runs from the moment of scheduling and so is the prefill, without the queue;
    `generation_time_ms` runs from the first token to the last.
    """
    if not isinstance(metrics, dict):
        return None
    names = ("queue_time_ms", "time_to_first_token_ms", "generation_time_ms")
    values = [metrics.get(name) for name in names]
    if values[2] is None and values[1] is not None:
        values[2] = 0.0  # one token: there is no generation after the first
    queue, prefill, decode = (_ns(value, _NS_PER_MS) for value in values)
    if queue is None or prefill is None or decode is None:
        return None
    return EngineTiming("vllm.metrics", queue, prefill, decode)


def llama_cpp_timing(timings: Json | None) -> EngineTiming | None:
    """Phases from llama.cpp's `timings` object (milliseconds).

    `prompt_ms` runs from a slot's beginning with the prompt to the first token, `predicted_ms` from there to the last.
    How long the request waited for a slot is not told.
    """
    if not isinstance(timings, dict):
        return None
    prefill, decode = _ns(timings.get("prompt_ms"), _NS_PER_MS), _ns(timings.get("predicted_ms"), _NS_PER_MS)
    if prefill is None or decode is None:
        return None
    return EngineTiming("llama.cpp.timings", prefill_ns=prefill, decode_ns=decode, untold_ns=None)


def ollama_timing(last: Json | None) -> EngineTiming | None:
    """Phases from the last object of Ollama's own API (nanoseconds; a zero is left out there).

    `load_duration` is what passed until the model was loaded, next to nothing for one that is. `total_duration` begins
    with the request: what it exceeds the other three by is waiting for a place, templating and tokenising, untold.
    """
    if not isinstance(last, dict):
        return None
    names = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
    total, load, prefill, decode = (_ns(last.get(name, 0), 1) for name in names)
    if not total or load is None or prefill is None or decode is None:
        return None
    untold = max(0, total - load - prefill - decode)
    return EngineTiming("ollama.durations", None, prefill, decode, load_ns=load, untold_ns=untold)


def hosted_timing(source: str, told: Json | None) -> EngineTiming | None:
    """Phases as Groq (in `usage`) and Cerebras (in `time_info`) tell them: seconds."""
    if not isinstance(told, dict):
        return None
    names = ("queue_time", "prompt_time", "completion_time")
    queue, prefill, decode = (_ns(told.get(name), _NS_PER_S) for name in names)
    if prefill is None or decode is None:
        return None
    return EngineTiming(source, queue, prefill, decode)


def tgi_timing(headers: Mapping[str, str]) -> EngineTiming | None:
    """Phases from TGI's response headers: whole milliseconds, cut off, so that 0 is anything below one.

    `x-inference-time` has the prefill in it. A stream has no such headers.
    """
    queue, inference = (_whole_ms(headers.get(name)) for name in ("x-queue-time", "x-inference-time"))
    if queue is None or inference is None:
        return None
    return EngineTiming("tgi.headers", queue, inference_ns=inference, precision_ns=_NS_PER_MS)


def _whole_ms(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    return _ns(int(text[:20]), _NS_PER_MS)


def _ns(value: Any, unit_ns: int) -> int | None:
    """A duration; None for what is none."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value * unit_ns < _LONGEST_NS:
        return None
    return value * unit_ns if isinstance(value, int) else round(value * unit_ns)
