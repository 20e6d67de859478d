"""Use a server that is already running. It is never stopped, and nothing is assumed about how it was started."""

from __future__ import annotations

from profiler.engines.model import Engine, EngineInfo, EngineOptions, Progress
from profiler.engines.probe import Probe, probe, select_model
from profiler.engines.url import normalise
from profiler.engines.vllm import TINY

KNOWN_OWNERS = ("vllm", "sim")


def attach(options: EngineOptions, progress: Progress) -> Engine:
    """Probe the server at `options.base_url` and choose a model.

    Raises:
        UsageError: the URL cannot be one.
        EngineUnavailable: the server cannot be used, with the reason.
    """
    assert options.base_url is not None
    base_url = normalise(options.base_url)
    found = probe(base_url, api_key=options.api_key, timeout_s=options.request_timeout_s)
    info = attached_info(found, options)
    if options.model is None and len(found.models) > 1:
        others = ", ".join(name for name in info.models if name != info.model)
        progress(f"{base_url} serves several models; using {info.model} (others: {others})")
    else:
        progress(f"using {info.model} at {base_url}" + (f", version {info.version}" if info.version else ""))
    owners = _owners(found)
    if options.backend == "vllm" and owners and "vllm" not in owners:
        progress(f"{base_url} does not look like vLLM (owned_by {', '.join(sorted(owners))})")
    return Engine(info)


def attached_info(found: Probe, options: EngineOptions) -> EngineInfo:
    """What is known of a server that somebody else started."""
    chosen = select_model(options.model, found.models, found.base_url)
    return EngineInfo(
        name=_name_of(found) if options.backend == "auto" else options.backend,
        version=found.version,
        base_url=found.base_url,
        model=chosen.id,
        models=tuple(model.id for model in found.models),
        managed=False,
        random_weights=chosen.id == TINY,
        simulated="sim" in _owners(found),
        max_model_len=chosen.max_model_len,
    )


def _owners(found: Probe) -> set[str]:
    return {model.owned_by for model in found.models if model.owned_by}


def _name_of(found: Probe) -> str:
    """Which server it is, as its model list says; `openai` for one that only speaks the protocol."""
    return next((name for name in KNOWN_OWNERS if name in _owners(found)), "openai")
