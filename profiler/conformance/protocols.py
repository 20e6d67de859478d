"""What the protocol of a server promises.

A server whose kind has no protocol here is held to OpenAI's. What depends on how a server was started (vLLM's
timing, its tool parser) is promised by none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.conformance.wire import Wire
from profiler.engines.probe import Served
from profiler.engines.recognise import Recognised

PROTOCOLS = ("vllm", "tgi", "ollama", "openai", "llama.cpp")
_ALL = frozenset(
    {"models", "chat", "stream", "end mark", "spread", "usage", "stream usage", "unasked usage", "max_tokens", "tools"}
)
_OPENAI = _ALL | {
    "tool_choice none",
    "tool_choice required",
    "client defaults",
    "cached tokens",
    "bad JSON",
    "unknown model",
    "too long",
    "bad value",
    "stream error",
}
PROMISES: Mapping[str, frozenset[str]] = {
    "openai": _OPENAI,
    "vllm": (_OPENAI - {"tool_choice required", "cached tokens"})
    | {"unknown fields", "exact length", "ignore_eos", "request id"},
    "llama.cpp": _ALL
    | {"tool_choice none", "tool_choice required", "client defaults", "unknown fields", "ignore_eos", "timing"}
    | {"cached tokens", "too long", "stream error"},
    "tgi": _ALL
    | {"tool_choice none", "tool_choice required", "unknown fields", "timing", "bad JSON", "unknown model"}
    | {"too long", "bad value", "native stream", "native answer"},
    "ollama": _ALL
    | {"client defaults", "unknown fields", "timing", "bad JSON", "unknown model", "stream error"}
    | {"native stream", "native answer"},
}
"""The checks whose support each protocol promises."""


def protocol_of(server: str) -> str:
    """What a server of a kind is held to."""
    return server if server in PROTOCOLS else "openai"


def page(wire: Wire, path: str) -> Any:
    """The JSON below a server's root; None if there is none.

    Raises:
        EngineUnavailable: it stopped answering.
    """
    heard = wire.get(f"{wire.root}{path}")
    return heard.json if heard.ok else None


def context_of(wire: Wire, recognised: Recognised, model: Served) -> int | None:
    """The length of the context in tokens, as far as the server tells it."""
    if recognised.server != "ollama":
        return model.max_model_len or recognised.max_model_len
    shown = wire.post(f"{wire.root}/api/show", {"model": model.id}).json
    about = shown.get("model_info") if isinstance(shown, dict) else None
    lengths = (
        [value for name, value in about.items() if name.endswith(".context_length")] if isinstance(about, dict) else []
    )
    return lengths[0] if lengths and type(lengths[0]) is int and lengths[0] > 0 else None
