"""How it refuses what is wrong."""

from __future__ import annotations

import math

from profiler.conformance.outcome import Seen, lacking, supported, unclear
from profiler.conformance.session import Session, count, usage_of
from profiler.conformance.wire import Heard, Json

_CLIENT = range(400, 500)
_MOST_TRIED = 300_000
_ANYTHING = "no-such-model-anywhere"


def bad_json(session: Session) -> Seen:
    """A body that is no JSON is the client's mistake."""
    return _refused(session.wire.post(f"{session.wire.base_url}/chat/completions", b'{"model":'))


def unknown_model(session: Session) -> Seen:
    """Another model's name is refused."""
    heard = session.wire.chat({**session.body(tokens=1), "model": _ANYTHING})
    if heard.ok:
        means = "A misspelt --model goes unnoticed; the report names what was asked for, not what answered."
        return lacking("answers to any name", means)
    return _refused(heard)


def bad_value(session: Session) -> Seen:
    """A parameter out of its range is refused."""
    heard = session.chat(tokens=1, temperature=-5)
    if heard.ok:
        means = "A mistake in an agent's parameters goes unnoticed."
        return lacking("temperature -5 is taken", means)
    return _refused(heard)


def too_long(session: Session) -> Seen:
    """A prompt that does not fit is refused."""
    limit = session.context_tokens
    if limit is None:
        return unclear("not tried: it does not say how long a prompt may be")
    if limit > _MOST_TRIED:
        return unclear(f"not tried: it would take more than {_MOST_TRIED:,} tokens")
    words = math.ceil(limit * 1.1) + 64
    heard = session.chat(tokens=1, text=" sea" * words)
    if not heard.ok:
        return _refused(heard)
    counted = count(usage_of(heard), "prompt_tokens")
    told = "not told" if counted is None else f"{counted:,} tokens"
    means = (
        "A prompt that grows beyond the window is cut silently: later steps are measured with less context than the "
        "agent sent. Compare prompt tokens, or raise the window (Ollama: num_ctx, OLLAMA_CONTEXT_LENGTH)."
    )
    return lacking(f"a prompt of some {words:,} words is answered ({told})", means)


def stream_error(session: Session) -> Seen:
    """A stream that is refused has a status that says so."""
    wrong: Json = {"top_p": 5.0} if session.protocol == "tgi" else {"messages": "none"}
    heard = session.wire.chat({**session.body(), **wrong, "stream": True})
    if heard.status in _CLIENT:
        return supported(f"HTTP {heard.status}")
    if heard.error is not None:
        means = "The profiler reads it and counts the call as failed; clients that look at the status do not."
        return lacking(f"an error inside HTTP {heard.status}: {heard.error[:100]}", means)
    if heard.status >= _CLIENT.stop:
        return _refused(heard)
    return unclear(f"HTTP {heard.status}: what was to be wrong was taken")


def _refused(heard: Heard) -> Seen:
    if heard.status in _CLIENT:
        return supported(heard.says)
    if heard.status >= _CLIENT.stop:
        means = "Clients try again after such a status, so that one mistake becomes several calls in the trace."
        return lacking(heard.says, means)
    return lacking(heard.says, "The status does not say that it was refused: a failed call looks like an answer.")
