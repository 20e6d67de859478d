"""Which server it is, and what its protocol promises.

A server that is none of those known is held to OpenAI's protocol. What depends on how a server was started (vLLM's
timing, its tool parser) is promised by none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.conformance.wire import Wire

PROTOCOLS = ("vllm", "tgi", "ollama", "openai", "llama.cpp")
TITLES = {
    "vllm": "vLLM",
    "tgi": "text-generation-inference",
    "ollama": "Ollama",
    "openai": "OpenAI's protocol",
    "llama.cpp": "llama.cpp",
}

_ALL = frozenset(
    {"models", "chat", "stream", "spread", "usage", "stream usage", "unasked usage", "max_tokens", "tools"}
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


def detect(wire: Wire, owners: set[str]) -> str:
    """Which of the protocols a server speaks, by the pages that only it has.

    Args:
        wire: to it.
        owners: `owned_by` of its models.

    Raises:
        EngineUnavailable: it stopped answering.
    """
    if isinstance(_page(wire, "/api/version").get("version"), str):
        return "ollama"
    if "max_concurrent_requests" in _page(wire, "/info"):
        return "tgi"
    if "default_generation_settings" in _page(wire, "/props"):
        return "llama.cpp"
    if "vllm" in owners or isinstance(_page(wire, "/version").get("version"), str):
        return "vllm"
    return "openai"


def version_of(wire: Wire, protocol: str) -> str | None:
    """The version that the server tells."""
    path, field = {
        "ollama": ("/api/version", "version"),
        "tgi": ("/info", "version"),
        "llama.cpp": ("/props", "build_info"),
    }.get(protocol, ("/version", "version"))
    told = _page(wire, path).get(field)
    return told if isinstance(told, str) and told else None


def context_of(wire: Wire, protocol: str, card: Mapping[str, Any], model: str) -> int | None:
    """The length of the context in tokens, as far as the server tells it."""
    told: Any = card.get("max_model_len")
    if protocol == "tgi":
        told = _page(wire, "/info").get("max_total_tokens")
    elif protocol == "llama.cpp":
        settings = _page(wire, "/props").get("default_generation_settings")
        told = settings.get("n_ctx") if isinstance(settings, dict) else None
    elif protocol == "ollama":
        shown = wire.post(f"{wire.root}/api/show", {"model": model}).json
        about = shown.get("model_info") if isinstance(shown, dict) else None
        lengths = [value for name, value in (about or {}).items() if name.endswith(".context_length")]
        told = lengths[0] if lengths else None
    return told if type(told) is int and told > 0 else None


def _page(wire: Wire, path: str) -> dict[str, Any]:
    heard = wire.get(f"{wire.root}{path}")
    found = heard.json if heard.ok else None
    return found if isinstance(found, dict) else {}
