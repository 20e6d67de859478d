"""What the engine tells of its own time, and what joins a request to the engine's records."""

from __future__ import annotations

import uuid

from profiler.conformance.outcome import Seen, lacking, supported, unclear
from profiler.conformance.session import Session, usage_of
from profiler.conformance.wire import Heard, Json

_NS_PER_MS = 1e6
_SLACK_NS = 5e6
_NONE = "The time in the engine is not split into queue, prefill and decode: it is all one."


def in_band(session: Session) -> Seen:
    """An answer tells the engine's own timing, and that is no longer than the call."""
    if session.protocol == "tgi":
        return _headers(session.whole)
    if session.protocol == "ollama":
        return _durations(session)
    heard = session.stream
    told = [chunk for chunk in heard.chunks if isinstance(chunk.get("metrics") or chunk.get("timings"), dict)]
    if not told:
        means = _NONE
        if session.protocol == "vllm":
            means += " Start it with --enable-per-request-metrics (0.25 or newer)."
        return lacking("none in a stream", means)
    last = told[-1]
    names = ("queue_time_ms", "time_to_first_token_ms", "generation_time_ms") if "metrics" in last else _LLAMA
    values = {name: value for name, value in (last.get("metrics") or last["timings"]).items() if name in names}
    return _plausible(heard, values, _NS_PER_MS, "metrics" if "metrics" in last else "timings")


_LLAMA = ("prompt_ms", "predicted_ms")
_OLLAMA = ("load_duration", "prompt_eval_duration", "eval_duration")


def _headers(heard: Heard) -> Seen:
    names = ("x-validation-time", "x-queue-time", "x-inference-time")
    values = {name: int(heard.headers[name]) for name in names if heard.headers.get(name, "").isdigit()}
    if len(values) < len(names):
        return lacking("no timing headers", _NONE)
    return _plausible(heard, values, _NS_PER_MS, "headers, whole milliseconds, unstreamed only")


def _durations(session: Session) -> Seen:
    body: Json = {"model": session.model, "messages": [{"role": "user", "content": "Say yes."}], "stream": False}
    heard = session.wire.post(f"{session.wire.root}/api/chat", {**body, "options": {"num_predict": 8}})
    told = heard.json if heard.ok and isinstance(heard.json, dict) else {}
    values = {name: told.get(name, 0) for name in _OLLAMA}
    if not any(values.values()):
        return lacking("no durations at /api/chat", _NONE)
    return _plausible(heard, values, 1.0, "durations at /api/chat, none under /v1")


def _plausible(heard: Heard, values: Json, unit_ns: float, source: str) -> Seen:
    numbers = [value for value in values.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    total_ns, wall_ns = sum(numbers) * unit_ns, heard.ended_ns - heard.sent_ns
    if min(numbers, default=0) < 0 or total_ns > wall_ns + _SLACK_NS:
        found = f"{source}: {total_ns / 1e6:.1f} ms in a call of {wall_ns / 1e6:.1f} ms"
        return lacking(found, "The engine's own timing cannot be true, so phases made of it would be wrong.")
    return supported(f"{source}: {total_ns / 1e6:.1f} of {wall_ns / 1e6:.1f} ms")


def cached_tokens(session: Session) -> Seen:
    """An answer tells how much of the prompt was in the prefix cache."""
    text = f"{uuid.uuid4().hex} " + "The harbour is quiet tonight, and the boats rest. " * 40
    found: list[int | None] = []
    for _ in range(2):
        heard = session.chat(tokens=1, text=text, stream=True, stream_options={"include_usage": True})
        if not heard.ok:
            return unclear(heard.says)
        found.append(_cached(heard))
    if found[1] is None:
        means = "How much of a growing prompt is computed again is unknown; findings about prompts lack it."
        if session.protocol == "vllm":
            means += " Start it with --enable-prompt-tokens-details."
        return lacking("not told", means)
    if not found[1]:
        means = "It tells, but finds nothing: prefix caching is off, or the prompt was too short for a block."
        return unclear("0 of a prompt that was just sent", means)
    return supported(f"{found[1]} of a prompt that was just sent")


def _cached(heard: Heard) -> int | None:
    timings = [chunk["timings"] for chunk in heard.chunks if isinstance(chunk.get("timings"), dict)]
    details = (usage_of(heard) or {}).get("prompt_tokens_details")
    told = details.get("cached_tokens") if isinstance(details, dict) else None
    if told is None and timings:
        told = timings[-1].get("cache_n")
    return told if type(told) is int else None


def request_id(session: Session) -> Seen:
    """The client's `X-Request-Id` becomes the answer's id."""
    own = f"conformance-{uuid.uuid4().hex[:12]}"
    heard = session.wire.chat(session.body(tokens=1), {"X-Request-Id": own})
    if not heard.ok:
        return unclear(heard.says)
    answered = str((heard.json or {}).get("id"))
    if own in answered:
        return supported("adopted")
    means = "A call can only be joined to the engine's own records by its traceparent."
    return lacking(f"it answers with id {answered[:40]!r}", means)
