"""Which server it is that answers, from what it says of itself.

Many speak the OpenAI protocol, each with habits of its own: what it takes, what it refuses, what it tells of its time.
What is certain comes first, and asking stops with the first answer:

    `owned_by` of its models      vLLM, SGLang, llama.cpp, LM Studio, Ollama (of models from its library)
    the header `Server`           llama.cpp
    GET /info                     TGI
    GET /api/version              Ollama
    GET /props                    llama.cpp
    GET /get_server_info          SGLang
    GET /version                  vLLM, if its models also tell their length
    GET /api/v0/models            LM Studio
    GET /openapi.json             `transformers serve`, by its paths

One that says none of it is taken for a server of the plain protocol: `openai`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PLAIN = "openai"
TITLES = {
    "vllm": "vLLM",
    "tgi": "TGI",
    "ollama": "Ollama",
    "llama.cpp": "llama.cpp",
    "sglang": "SGLang",
    "lmstudio": "LM Studio",
    "transformers": "transformers serve",
    PLAIN: "a server of the OpenAI protocol",
}
_OWNERS = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama.cpp",
    "library": "ollama",
    "organization_owner": "lmstudio",
}

Page = Callable[[str], Any]
"""Takes a path below the server's root; the JSON that stands there, or None."""


@dataclass(frozen=True)
class Recognised:
    """A kind of server, and what it says of itself."""

    server: str
    by: str | None = None
    """What told it, in words; None for a guess."""
    version: str | None = None
    model: str | None = None
    """The model that it serves, where it says so outside of its list."""
    max_model_len: int | None = None


def recognise(
    owners: Sequence[str], headers: Mapping[str, str], page: Page, *, tells_lengths: bool = False
) -> Recognised:
    """Which server it is.

    Args:
        owners: `owned_by` of each model that it lists.
        headers: of that list.
        page: reads a page; called for one after the other, until one is telling.
        tells_lengths: whether its list of models has `max_model_len`.
    """
    for owner in owners:
        if owner in _OWNERS:
            return _with_page(Recognised(_OWNERS[owner], f"the owner of its models, {owner}"), page)
    if headers.get("server", "").lower().startswith("llama.cpp"):
        return _with_page(Recognised("llama.cpp", "the header `Server`"), page)
    for path, read in _PAGES:
        found = read(page(path))
        if found is not None:
            return found
    version = _version(page("/version"))
    if version is not None and tells_lengths:
        return Recognised("vllm", "its /version, and its models tell their length", version)
    return _by_late_pages(page) or Recognised(PLAIN, version=version)


def _with_page(found: Recognised, page: Page) -> Recognised:
    """With what the page of that kind of server adds."""
    if found.server == "vllm":
        return Recognised("vllm", found.by, _version(page("/version")))
    for path, read in _PAGES:
        if _OF_PAGE[path] == found.server:
            told = read(page(path))
            if told is not None:
                return Recognised(found.server, found.by, told.version, told.model, told.max_model_len)
    return found


def _tgi(value: Any) -> Recognised | None:
    if not isinstance(value, dict) or "max_total_tokens" not in value or not _text(value.get("model_id")):
        return None
    return Recognised("tgi", "its /info", *_facts(value, "version", "model_id"), _count(value["max_total_tokens"]))


def _ollama(value: Any) -> Recognised | None:
    version = _version(value)
    return None if version is None else Recognised("ollama", "its /api/version", version)


def _llama_cpp(value: Any) -> Recognised | None:
    settings = value.get("default_generation_settings") if isinstance(value, dict) else None
    if not isinstance(settings, dict):
        return None
    return Recognised(
        "llama.cpp", "its /props", *_facts(value, "build_info", "model_alias"), _count(settings.get("n_ctx"))
    )


def _sglang(value: Any) -> Recognised | None:
    if not isinstance(value, dict) or "model_path" not in value:
        return None
    return Recognised("sglang", "its /get_server_info", *_facts(value, "version", "served_model_name"))


_PAGES: tuple[tuple[str, Callable[[Any], Recognised | None]], ...] = (
    ("/info", _tgi),
    ("/api/version", _ollama),
    ("/props", _llama_cpp),
    ("/get_server_info", _sglang),
)
_OF_PAGE = {"/info": "tgi", "/api/version": "ollama", "/props": "llama.cpp", "/get_server_info": "sglang"}


def _by_late_pages(page: Page) -> Recognised | None:
    listed = page("/api/v0/models")
    if isinstance(listed, dict) and isinstance(listed.get("data"), list):
        return Recognised("lmstudio", "its /api/v0/models")
    described = page("/openapi.json")
    paths = described.get("paths") if isinstance(described, dict) else None
    if isinstance(paths, dict) and {"/load_model", "/reset", "/v1/chat/completions"} <= paths.keys():
        return Recognised("transformers", "the paths in its /openapi.json")
    return None


def _facts(value: dict[str, Any], version: str, model: str) -> tuple[str | None, str | None]:
    return _text(value.get(version)), _text(value.get(model))


def _version(value: Any) -> str | None:
    return _text(value.get("version")) if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
