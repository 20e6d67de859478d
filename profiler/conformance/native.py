"""The protocols that TGI and Ollama have beside OpenAI's."""

from __future__ import annotations

from profiler.conformance.outcome import Seen, lacking, supported
from profiler.conformance.session import Session
from profiler.conformance.wire import Heard, Json

_MEANS = "Agents that use the server's own protocol cannot be measured."
_TOKENS = 8


def stream(session: Session) -> Seen:
    """Its own streaming is as specified."""
    return _tgi_stream(session) if session.protocol == "tgi" else _ollama_stream(session)


def answer(session: Session) -> Seen:
    """Its own unstreamed answer is as specified."""
    if session.protocol == "tgi":
        heard = session.wire.post(f"{session.wire.root}/generate", _tgi_body())
        return _has(heard, heard.json, ("generated_text", "details"), "/generate")
    heard = session.wire.post(f"{session.wire.root}/api/chat", {**_ollama_body(session), "stream": False})
    return _has(heard, heard.json, ("message", "done", "done_reason", "eval_count"), "/api/chat")


def _tgi_stream(session: Session) -> Seen:
    heard = session.wire.post(f"{session.wire.root}/generate_stream", _tgi_body())
    if not heard.ok or not heard.chunks:
        return lacking(f"/generate_stream: {heard.says}", _MEANS)
    first, last = heard.chunks[0], heard.chunks[-1]
    if not isinstance(first.get("token"), dict) or not isinstance(last.get("generated_text"), str):
        return lacking(f"/generate_stream: an event with {', '.join(first)}", _MEANS)
    details = last.get("details")
    if not isinstance(details, dict) or "generated_tokens" not in details:
        return lacking("/generate_stream: no details in the last event", "Tokens of such calls are unknown.")
    return supported(f"/generate_stream: {len(heard.chunks)} tokens, details in the last event")


def _ollama_stream(session: Session) -> Seen:
    heard = session.wire.post(f"{session.wire.root}/api/chat", _ollama_body(session))
    if not heard.ok or heard.kind != "application/x-ndjson" or not heard.chunks:
        return lacking(f"/api/chat: {heard.says}", _MEANS)
    last = heard.chunks[-1]
    if last.get("done") is not True or "total_duration" not in last:
        return lacking("/api/chat: no durations in the last line", "The engine's own timing is missing.")
    return supported(f"/api/chat: {len(heard.chunks)} lines, durations in the last")


def _has(heard: Heard, value: Json | None, names: tuple[str, ...], path: str) -> Seen:
    if not heard.ok or not isinstance(value, dict):
        return lacking(f"{path}: {heard.says}", _MEANS)
    missing = [name for name in names if name not in value]
    if missing:
        return lacking(f"{path}: without {', '.join(missing)}", _MEANS)
    return supported(f"{path}: as specified")


def _tgi_body() -> Json:
    return {"inputs": "The sea is", "parameters": {"max_new_tokens": _TOKENS, "details": True}}


def _ollama_body(session: Session) -> Json:
    messages = [{"role": "user", "content": "Say yes."}]
    return {"model": session.model, "messages": messages, "options": {"num_predict": _TOKENS}}
