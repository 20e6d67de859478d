"""Engines: attach to a server that runs, or start the embedded one, a local vLLM or TGI's container, and stop it again.

    with open_engine(EngineOptions(), log_path=Path("engine.log"), progress=print) as engine:
        requests go to engine.info.base_url, for engine.info.model
        engine.check()  # raises EngineDied when it is gone

Importing this is cheap; what is heavy is imported when an engine is opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from profiler.engines.model import Engine, EngineInfo, EngineOptions, SimOptions
from profiler.errors import UsageError

__all__ = ["Engine", "EngineInfo", "EngineOptions", "SimOptions", "expected_model", "open_engine"]


@contextlib.contextmanager
def open_engine(
    options: EngineOptions,
    *,
    log_path: Path,
    progress: Callable[[str], None],
    meanwhile: Callable[[], None] | None = None,
) -> Iterator[Engine]:
    """An engine that answers, for the length of a with block.

    Args:
        options: with a `base_url` attaches; otherwise starts the embedded engine (`sim`), TGI's container (`tgi`) or a
            vLLM, provisioning one when there is none.
        log_path: where a managed engine's output goes; its folder is made.
        progress: takes one plain line at a time.
        meanwhile: done while the embedded engine starts, and before a vLLM does, which takes minutes. What it raises
            ends the engine.

    Raises:
        UsageError: an option that can never work.
        EngineUnavailable: nothing to attach to, or it could not be started or provisioned.
        EngineDied: it ended while loading.
    """
    if options.base_url is not None:
        from profiler.engines.attach import attach

        if meanwhile is not None:
            meanwhile()
        engine = attach(options, progress)
        try:
            yield engine
        finally:
            engine.close()
        return
    if options.backend == "sim":
        from profiler.engines.simulated import simulated_engine

        with simulated_engine(options, log_path=log_path, progress=progress, meanwhile=meanwhile) as simulated:
            yield simulated
        return
    if options.backend == "tgi":
        from profiler.engines.tgi import tgi_container, working_docker

        working_docker()  # before the agent is imported
        if meanwhile is not None:
            meanwhile()
        with tgi_container(options, log_path=log_path, progress=progress) as contained:
            yield contained
        return
    if options.backend != "vllm":
        raise UsageError(
            f"the profiler does not start {options.backend!r} itself",
            remedy="Start it and pass its address with --base-url.",
        )
    from profiler.engines.launch import managed_engine

    if meanwhile is not None:
        meanwhile()
    with managed_engine(options, log_path=log_path, progress=progress) as managed:
        yield managed


def expected_model(options: EngineOptions) -> str:
    """The name that a managed engine will most likely serve, before it is started.

    Raises:
        UsageError: the model's folder does not exist or holds no model.
    """
    if options.backend == "sim":
        from profiler.engines.simulated import simulated_model

        return simulated_model(options)
    if options.backend == "tgi" and options.model is not None:
        return options.model
    from profiler.engines import hardware, vllm

    return vllm.choose_model(options.model, gpu=bool(hardware.usable_gpus()), tiny_folder=Path()).name
