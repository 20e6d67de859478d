"""Use a server that is already running. It is never stopped, and nothing is assumed about how it was started."""

from __future__ import annotations

from profiler.engines.model import Engine, EngineInfo, EngineOptions, Progress
from profiler.engines.probe import Probe, probe, select_model
from profiler.engines.recognise import PLAIN, TITLES
from profiler.engines.url import normalise
from profiler.engines.vllm import TINY
from profiler.errors import UsageError

_SIM = "sim"
_NAMED = ("vllm", "tgi", "ollama")  # backends that are one kind of server


def attach(options: EngineOptions, progress: Progress) -> Engine:
    """Probe the server at `options.base_url`, see which it is, and choose a model.

    Raises:
        UsageError: the URL cannot be one, or the server is another than the named one.
        EngineUnavailable: the server cannot be used, with the reason.
    """
    assert options.base_url is not None
    base_url = normalise(options.base_url)
    found = probe(base_url, api_key=options.api_key, timeout_s=options.request_timeout_s, wanted=options.model)
    _refuse_another(found, options.backend)
    info = attached_info(found, options)
    if options.model is None and len(found.models) > 1:
        others = ", ".join(name for name in info.models if name != info.model)
        progress(f"{base_url} serves several models; using {info.model} (others: {others})")
    else:
        progress(f"using {info.model} at {base_url}" + (f", version {info.version}" if info.version else ""))
    if info.recognised_by is not None and not info.simulated:
        progress(f"it is {TITLES[info.server]}, known by {info.recognised_by}")
    elif options.backend == "vllm" and not info.simulated:
        progress(f"{base_url} does not look like vLLM; it is taken for one, as you say")
    elif info.server == PLAIN:
        progress("which server it is cannot be told: only what the OpenAI protocol has is asked of it")
    return Engine(info)


def _refuse_another(found: Probe, backend: str) -> None:
    """An engine of another kind than the named one: requests would be adapted to what is not there.

    Raises:
        UsageError: it is certainly another, or says nothing of being TGI or Ollama.
    """
    if backend not in _NAMED or found.recognised.server == backend:
        return
    recognised = found.recognised
    if recognised.server != PLAIN:
        title = TITLES[recognised.server] + (f" {recognised.version}" if recognised.version else "")
        fits = recognised.server if recognised.server in _NAMED else "openai"
        raise UsageError(
            f"{found.base_url} is {title} and not {TITLES[backend]}, known by {recognised.by}",
            remedy=f"use --backend {fits}, or another --base-url",
        )
    if backend != "vllm":  # one behind a gateway may be taken at the user's word: it tells nothing of itself
        page = "/info" if backend == "tgi" else "/api/version"
        raise UsageError(
            f"{found.base_url} does not look like {TITLES[backend]}: it has no {page} page of its kind",
            remedy="use --backend openai for any server of the OpenAI protocol, or another --base-url",
        )


def attached_info(found: Probe, options: EngineOptions) -> EngineInfo:
    """What is known of a server that somebody else started."""
    recognised = found.recognised
    guessed = recognised.server == PLAIN and options.backend == "vllm"
    server = "vllm" if guessed else recognised.server
    chosen = select_model(options.model, found.models, found.base_url, server)
    simulated = any(model.owned_by == _SIM for model in found.models)
    return EngineInfo(
        name=_SIM if simulated else server,
        version=found.version,
        base_url=found.base_url,
        model=chosen.id,
        models=tuple(model.id for model in found.models),
        managed=False,
        random_weights=chosen.id == TINY,
        simulated=simulated,
        max_model_len=chosen.max_model_len or recognised.max_model_len,
        server=server,
        recognised_by=recognised.by,
    )
