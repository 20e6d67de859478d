"""How the recorder's test client asks in each dialect, so that an answer has some hundred tokens.

Where an exact length can be forced, it is. Elsewhere JSON is asked for whose schema makes it as long: a model that may
stop by itself does so after a few words.
"""

from __future__ import annotations

from typing import Any

from profiler.selftest.grid import TOKENS, Cell

Json = dict[str, Any]
_WORDY = {"type": "string", "minLength": 16, "maxLength": 32}
_LONG = {
    "type": "object",
    "properties": {"queries": {"type": "array", "items": _WORDY, "minItems": 20, "maxItems": 20}},
    "required": ["queries"],
}
_TOOLS = [{"type": "function", "function": {"name": "search", "parameters": _LONG}}]
"""What the model is to call: about as many tokens as an answer in words has."""
_OPENAI = {"type": "json_schema", "json_schema": {"name": "queries", "schema": _LONG}}
_TGI = {"type": "json", "value": _LONG}


def path_of(cell: Cell) -> str:
    """Where its requests go, below the server's root."""
    if not cell.native:
        return "/v1/chat/completions"
    if cell.dialect == "ollama":
        return "/api/chat"
    return "/generate_stream" if cell.stream else "/generate"


def body_of(cell: Cell, model: str, messages: list[Json]) -> Json:
    """One request of a cell."""
    if cell.native and cell.dialect == "tgi":
        text = "\n".join(f"{message['role']}: {message['content']}" for message in messages)
        return {"inputs": text, "parameters": {"max_new_tokens": TOKENS, "grammar": _TGI, "details": True}}
    body: Json = {"model": model, "messages": messages, "stream": cell.stream}
    if cell.native:
        return {**body, "format": _LONG, "options": {"num_predict": TOKENS}}
    if cell.tool_choice is not None:
        return {**body, "tools": _TOOLS, "tool_choice": cell.tool_choice}
    limit = {"max_tokens": TOKENS}
    if cell.dialect in ("vllm", "llama.cpp"):
        return {**body, **limit, "ignore_eos": True, **({"min_tokens": TOKENS} if cell.dialect == "vllm" else {})}
    return {**body, **limit, "response_format": _TGI if cell.dialect == "tgi" else _OPENAI}
