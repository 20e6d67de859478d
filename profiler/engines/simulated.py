"""Start the embedded engine in a process of its own, wait until it answers, stop it again."""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import profiler
from profiler.engines.launch import free_port, listens, refuse_taken_port
from profiler.engines.model import Engine, EngineInfo, EngineOptions, Progress
from profiler.engines.process import SupervisedProcess
from profiler.engines.startlog import tail
from profiler.engines.vllm import PROTOCOL_VARIABLE, spans_environment, without_tracing
from profiler.errors import EngineDied, EngineUnavailable, UsageError

POLL_S = 0.02
READY_LIMIT_S = 60.0
GRACE_S = 2.0
API_KEY_VARIABLE = "PROFILER_SIM_API_KEY"


@contextlib.contextmanager
def simulated_engine(
    options: EngineOptions, *, log_path: Path, progress: Progress, meanwhile: Callable[[], None] | None = None
) -> Iterator[Engine]:
    """The embedded engine for the length of a with block; `meanwhile` is done while it starts.

    Raises:
        UsageError: an unknown profile, trait or fault, or the ground truth cannot be written.
        EngineUnavailable: the port is in use, or it did not become ready.
        EngineDied: it ended while starting.
    """
    from profiler.engines.sim.faults import parse_faults
    from profiler.engines.sim.profile import load_profile
    from profiler.engines.sim.traits import parse_traits

    profile = load_profile(options.sim.profile)  # what is wrong with these is told before a process is started
    parse_faults(options.sim.faults)
    parse_traits(options.sim.traits)
    if options.port is not None:
        refuse_taken_port(options.port)
    _try_truth(options.sim.truth)
    port = options.port or free_port()
    model = simulated_model(options)
    dialect = options.sim.dialect or profile.dialect
    command = build_command(options, port=port, model=model, dialect=dialect)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log_path.write_bytes(b"")
    began = time.monotonic()
    process = SupervisedProcess(
        command,
        env=_environment(options),
        cwd=log_path.parent.absolute(),
        log_path=log_path.absolute(),
        grace_s=GRACE_S,
    )
    try:
        if meanwhile is not None:
            meanwhile()
        _await_ready(process, port, log_path)
    except BaseException:
        process.stop()
        raise
    info = EngineInfo(
        name="sim",
        version=profiler.__version__,
        base_url=f"http://127.0.0.1:{port}/v1",
        model=model,
        models=(model,),
        managed=True,
        device=profile.title,
        command=tuple(command),
        in_band_metrics=dialect == "vllm",
        simulated=True,
        server=dialect,
        profile=profile.name,
        startup_s=round(time.monotonic() - began, 2),
        sends_spans=options.sim.otlp_traces_endpoint is not None,
    )
    progress(f"using the embedded engine with profile {profile.name}: its times are simulated")
    engine = Engine(info, process=process, log_path=log_path)
    try:
        yield engine
    finally:
        engine.close()


def simulated_model(options: EngineOptions) -> str:
    """The name that the embedded engine serves: its profile's, unless told otherwise."""
    return options.model or Path(options.sim.profile).stem


def build_command(options: EngineOptions, *, port: int, model: str, dialect: str) -> list[str]:
    """How the embedded engine's process is started."""
    sim = options.sim
    path = Path(sim.profile)  # the process has another working folder
    profile = str(path.absolute()) if path.suffix == ".toml" or len(path.parts) > 1 else sim.profile
    command = [sys.executable, "-P", "-m", "profiler.engines.sim", "--port", str(port), "--model", model]
    command += ["--profile", profile, "--dialect", dialect, "--seed", str(options.seed)]
    for name, values in (("--trait", sim.traits), ("--fault", sim.faults)):
        for value in values:
            command += [name, value]
    if sim.truth is not None:
        command += ["--truth", str(sim.truth.absolute())]
    if sim.spin:
        command.append("--spin")
    if sim.otlp_traces_endpoint is not None:
        command += ["--otlp-traces-endpoint", sim.otlp_traces_endpoint]
    return command


def _try_truth(path: Path | None) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    except OSError as error:
        raise UsageError(f"cannot write the ground truth to {path}: {error.strerror}", remedy="name a file") from error


def _environment(options: EngineOptions) -> dict[str, str]:
    root = str(Path(profiler.__file__).parents[1])  # also where the profiler is run from a folder and not installed
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    inherited = {name: value for name, value in os.environ.items() if name != API_KEY_VARIABLE}
    key = {} if options.api_key is None else {API_KEY_VARIABLE: options.api_key}
    if options.sim.otlp_traces_endpoint is not None:
        inherited = {**without_tracing(inherited), **spans_environment(os.environ)}
        if not os.environ.get(PROTOCOL_VARIABLE):
            del inherited[PROTOCOL_VARIABLE]  # the engine takes HTTP for an address with a path, as vLLM's users expect
    return {**inherited, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **key}


def _await_ready(process: SupervisedProcess, port: int, log_path: Path) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while True:
        death = process.death()
        if death is not None:
            details = "\n".join(tail(log_path, 15))
            raise EngineDied(f"the embedded engine {death} while starting", details=details)
        if _answers(port) and listens(process.pid, port):
            return
        if time.monotonic() > deadline:
            raise EngineUnavailable(
                f"the embedded engine was not ready within {READY_LIMIT_S:g} s",
                remedy=f"Look at {log_path}; the machine may be very busy.",
            )
        time.sleep(POLL_S)


def _answers(port: int) -> bool:
    """Whether it answers at all: not every dialect has a page for its health."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()
