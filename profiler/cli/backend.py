"""Which engine a run takes, and what it is told."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.ending import note
from profiler.errors import UsageError
from profiler.truth import TRUTH_FILE

_OLLAMA = "http://127.0.0.1:11434"

if TYPE_CHECKING:
    from profiler.cli.session import Options
    from profiler.engines import EngineOptions


def resolve_backend(options: Options, environ: Mapping[str, str]) -> Options:
    """`auto` becomes what it stands for, and says so; options of another engine than the chosen are refused."""
    from profiler.engines.url import normalise

    of_sim = bool(options.sim_profile or options.sim_dialect or options.sim_traits or options.sim_faults)
    if options.backend == "auto" and of_sim and options.base_url is None:
        options = replace(options, backend="sim")
    if options.backend == "auto":
        address = environ.get("OPENAI_BASE_URL", "").strip()
        if options.base_url is None and address:
            key = "OPENAI_API_KEY" if environ.get("OPENAI_API_KEY") else None
            options = replace(options, base_url=address, api_key_env=options.api_key_env or key)
            shown = normalise(address)  # refuses credentials, and does not repeat them
            note(f"attaching to {shown}, which OPENAI_BASE_URL names (--backend sim for the embedded engine)")
        elif options.base_url is None:
            given = "--model" if options.model else _of_a_start(options)
            if given:
                raise UsageError(f"{given} is for an engine that loads a model", remedy="add --backend vllm")
            options = replace(options, backend="sim")
            note("no engine was named: taking the embedded one (--backend vllm for a real one)")
    if options.base_url is None and options.backend in ("tgi", "ollama", "openai"):
        options = _with_address(options, environ)
    if options.backend != "sim" and of_sim:
        raise UsageError("--sim-… options are for the embedded engine", remedy="use --backend sim, or drop them")
    given = "--base-url" if options.base_url else _of_a_start(options)
    if options.backend == "sim" and given:
        raise UsageError(f"{given} is not for the embedded engine", remedy="drop it, or --backend sim")
    return options


def _of_a_start(options: Options) -> str | None:
    """An option that says how vLLM is started, if one is given."""
    if options.vllm_python:
        return "--vllm-python"
    if options.no_provision:
        return "--no-provision"
    return "--engine-arg" if options.engine_args else None


def _with_address(options: Options, environ: Mapping[str, str]) -> Options:
    """Where a server of this kind is, if nobody says so; a TGI without an address is started."""
    from profiler.engines.url import normalise

    if options.backend == "ollama":
        address = environ.get("OLLAMA_HOST", "").strip() or _OLLAMA
        address = address if "://" in address else f"http://{address}"
        address = address.replace("//0.0.0.0", "//127.0.0.1")  # what it listens to is no address to call
        note(f"attaching to {normalise(address)} (--base-url for another)")
        return replace(options, base_url=address)
    if options.backend == "openai":
        address = environ.get("OPENAI_BASE_URL", "").strip()
        if not address:
            raise UsageError(
                "--backend openai is for a server that runs already, and none is named",
                remedy="add --base-url URL, such as http://127.0.0.1:8080/v1",
            )
        key = "OPENAI_API_KEY" if environ.get("OPENAI_API_KEY") else None
        note(f"attaching to {normalise(address)}, which OPENAI_BASE_URL names")
        return replace(options, base_url=address, api_key_env=options.api_key_env or key)
    if options.model is None:
        raise UsageError(
            "--backend tgi without an address starts TGI's container, which needs a model",
            remedy="add --model, such as Qwen/Qwen3-0.6B, or --base-url for a TGI that runs already",
        )
    return options


def engine_options(options: Options, environ: Mapping[str, str], folder: Path) -> EngineOptions:
    """What the engine is told; the embedded one writes its log into the run's folder.

    Raises:
        UsageError: options that contradict each other, or a key or address that is none.
    """
    from profiler.engines import EngineOptions, SimOptions

    given = _of_a_start(options)
    if options.base_url and given:
        raise UsageError(f"{given} is for an engine that is started", remedy="drop --base-url")
    if not math.isfinite(options.timeout):
        raise UsageError(f"--timeout {options.timeout} is no number of seconds", remedy="leave it out for 300")
    key = None
    if options.api_key_env is not None:
        key = environ.get(options.api_key_env)
        if not key:
            raise UsageError(
                f"the environment variable {options.api_key_env} is empty or not set",
                remedy=f"export {options.api_key_env}=…, or drop --api-key-env",
            )
    if options.otlp_endpoint is not None:
        from profiler.record.live import protocol_of

        protocol_of(options.otlp_endpoint, environ)
    return EngineOptions(
        backend=options.backend,
        base_url=options.base_url,
        api_key=key,
        model=options.model,
        vllm_python=options.vllm_python,
        provision=not options.no_provision,
        extra_args=options.engine_args,
        port=None if options.base_url else _free_port(),
        seed=options.seed,
        sim=SimOptions(
            profile=options.sim_profile or SimOptions.profile,
            dialect=options.sim_dialect,
            traits=options.sim_traits,
            faults=options.sim_faults,
            truth=folder / TRUTH_FILE,
        ),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
