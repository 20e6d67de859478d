"""Start a vLLM of our own, wait until it answers, stop it again."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from profiler.engines import hardware, vllm
from profiler.engines.cache import models_root
from profiler.engines.model import Engine, EngineInfo, EngineOptions, Progress
from profiler.engines.probe import probe, select_model
from profiler.engines.process import SupervisedProcess
from profiler.engines.scratch import scratch_environment, scratch_folder
from profiler.engines.startlog import death_report, phase, tail
from profiler.engines.vllm import Installation, Model
from profiler.errors import EngineDied, EngineUnavailable, UsageError

TINY_SCRIPT = Path(__file__).with_name("tiny_model.py")
POLL_S = 0.25
SAY_EVERY_S = 10.0
TINY_LIMIT_S = 120.0
_OK = 200
_PORT_TAKEN = re.compile(r"[Aa]ddress already in use")


@dataclass(frozen=True)
class Plan:
    """All that is decided before a process is started."""

    installation: Installation
    model: Model
    device: str | None
    options: EngineOptions
    log_path: Path


@contextlib.contextmanager
def managed_engine(options: EngineOptions, *, log_path: Path, progress: Progress) -> Iterator[Engine]:
    """A local vLLM for the length of a with block.

    Raises:
        UsageError: an option that cannot be met, such as a model folder that does not exist.
        EngineUnavailable: no vLLM, a port in use, or it did not become ready in time.
        EngineDied: it ended while loading.
    """
    if options.port is not None:
        refuse_taken_port(options.port)
    plan = make_plan(options, log_path, progress)
    engine = start(plan, progress)
    try:
        yield engine
    finally:
        engine.close()


def make_plan(options: EngineOptions, log_path: Path, progress: Progress) -> Plan:
    """Find the vLLM, the device and the model; may provision, which takes minutes."""
    gpus = hardware.usable_gpus()
    if options.model is not None:  # a wrong folder is told before minutes of provisioning
        vllm.choose_model(options.model, gpu=bool(gpus), tiny_folder=Path())
    installation = find_installation(options, gpu=bool(gpus), progress=progress)
    on_gpu = bool(gpus) and not installation.cpu_build
    if not installation.cpu_build and not gpus and options.vllm_python is None:
        raise EngineUnavailable(
            f"{installation.package} {installation.version} in {installation.python} is built for a GPU, "
            "and no NVIDIA GPU answers",
            remedy="Run `profiler engine doctor`, or `profiler engine install --cpu` and name its Python "
            "with --vllm-python.",
        )
    model = vllm.choose_model(options.model, gpu=on_gpu, tiny_folder=tiny_folder())
    if model.random_weights:
        make_tiny_model(installation.python, Path(model.source))
    device = f"cuda:{gpus[0].name}" if on_gpu else "cpu" if installation.cpu_build else None
    return Plan(installation, model, device, options, log_path)


def find_installation(options: EngineOptions, *, gpu: bool, progress: Progress) -> Installation:
    """The named Python's vLLM, else the one of this Python, else the provisioned one."""
    if options.vllm_python is not None:
        return vllm.inspect(options.vllm_python.expanduser().absolute())
    import importlib.util

    if importlib.util.find_spec("vllm") is not None:
        with contextlib.suppress(EngineUnavailable):  # a folder of that name without the package
            return vllm.inspect(Path(sys.executable))
    from profiler.engines.provision import provisioned_python

    return vllm.inspect(provisioned_python(gpu=gpu, allowed=options.provision, progress=progress))


def tiny_folder() -> Path:
    """Named after the script's content, so that another version of it makes another model."""
    digest = hashlib.sha256(TINY_SCRIPT.read_bytes()).hexdigest()[:12]
    return models_root() / f"{vllm.TINY}-{digest}"


def make_tiny_model(python: Path, folder: Path) -> None:
    """Create the tiny model with the engine's own Python, unless it is there."""
    if (folder / "config.json").is_file():
        return
    try:
        result = subprocess.run(
            [str(python), "-I", str(TINY_SCRIPT), str(folder)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TINY_LIMIT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailable(f"cannot create the tiny model in {folder}: {error}") from error
    if result.returncode != 0:
        raise EngineUnavailable(
            f"cannot create the tiny model in {folder}",
            remedy="Check that the folder can be written; PROFILER_CACHE_DIR moves it.",
            details="\n".join(result.stderr.splitlines()[-5:]),
        )


def free_port() -> int:
    """A loopback port that nothing listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def refuse_taken_port(port: int) -> None:
    """Raise EngineUnavailable if something has this port, UsageError if it cannot be one."""
    if not 0 < port < 2**16:
        raise UsageError(f"{port} is not a port number", remedy="Choose one from 1 to 65535.")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise EngineUnavailable(
                f"port {port} on 127.0.0.1 cannot be used: {error.strerror}",
                remedy="Choose another with --port, leave it out for a free one, or attach to what runs there "
                f"with --base-url http://127.0.0.1:{port}/v1.",
            ) from error


def start(plan: Plan, progress: Progress) -> Engine:
    """Start and wait; a free port that somebody else took in between is replaced once."""
    port = plan.options.port
    try:
        return start_on_port(plan, port or free_port(), progress)
    except EngineDied:
        taken = any(_PORT_TAKEN.search(line) for line in tail(plan.log_path, 400))
        if port is not None or not taken:
            raise
        progress("the port was taken by another program in the meantime; trying another")
        return start_on_port(plan, free_port(), progress)


def start_on_port(plan: Plan, port: int, progress: Progress) -> Engine:
    """One attempt; on any failure, Ctrl-C included, the process is gone before this returns."""
    options = plan.options
    spans = options.spans_endpoint if plan.installation.spans else None
    if options.spans_endpoint is not None and spans is None:
        progress(f"no spans of the engine: {plan.installation.python} lacks opentelemetry-sdk and its OTLP exporters")
    command = vllm.build_command(
        plan.installation,
        plan.model,
        port=port,
        seed=options.seed,
        extra_args=options.extra_args,
        bfloat16=hardware.computes_bfloat16(hardware.read_cpu_flags()),
        spans_endpoint=spans,
    )
    environment = vllm.build_environment(
        plan.installation,
        plan.model,
        base=os.environ,
        cores=vllm.core_count(),
        memory_gib=hardware.available_memory_gib(),
        spans=spans is not None,
    )
    if options.api_key is not None:
        environment["VLLM_API_KEY"] = options.api_key  # not on the command line, where anyone could read it
    plan.log_path.parent.mkdir(parents=True, exist_ok=True)
    plan.log_path.write_bytes(b"")
    label = f"vLLM {plan.installation.version} ({plan.device or 'unknown device'}) with {plan.model.name}"
    progress(f"starting {label} on port {port}")
    began = time.monotonic()
    scratch = scratch_folder(sockets=True)
    process = SupervisedProcess(
        command,
        env=scratch_environment(scratch, environment),
        cwd=plan.log_path.parent.absolute(),
        log_path=plan.log_path.absolute(),
        scratch=scratch,
    )
    try:
        await_ready(plan, process, port, progress)
        startup_s = round(time.monotonic() - began, 2)
        info = managed_info(plan, port, command, startup_s)
    except BaseException:
        process.stop()
        raise
    progress(f"vLLM is ready after {startup_s:.0f} s")
    return Engine(info, process=process, log_path=plan.log_path)


def await_ready(plan: Plan, process: SupervisedProcess, port: int, progress: Progress) -> None:
    """Wait for `/health`, telling how far the log says it is.

    Raises:
        EngineDied: it ended instead.
        EngineUnavailable: it took longer than allowed.
    """
    began = time.monotonic()
    said_at, said = began, ""
    while True:
        death = process.death()
        lines = tail(plan.log_path, 400)
        if death is not None:
            message, remedy, details = death_report(f"vLLM {death} while loading {plan.model.name}", lines)
            raise EngineDied(message, remedy=remedy or f"The whole log: {plan.log_path}", details=details)
        if healthy(port) and listens(process.pid, port):
            return
        now = time.monotonic()
        if now - began > plan.options.startup_timeout_s:
            raise EngineUnavailable(
                f"vLLM was not ready within {plan.options.startup_timeout_s:g} s (it was {phase(lines)})",
                remedy="Choose a smaller model, or start it with `profiler engine serve --startup-timeout S` and "
                "attach to it with --base-url.",
                details="\n".join(lines[-15:]),
            )
        words = phase(lines)
        if words != said or now - said_at >= SAY_EVERY_S:
            progress(f"starting vLLM … {now - began:.0f} s: {words}")
            said_at, said = now, words
        time.sleep(POLL_S)


def healthy(port: int) -> bool:
    """Whether `/health` answers with 200; the standard library's client, since this is asked many times."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == _OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def listens(pid: int | None, port: int) -> bool:
    """Whether this very process has the port: another program may have been quicker to take it."""
    import psutil

    try:
        sockets = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return True  # not allowed to look, or just ended, which the next round notices
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)


def managed_info(plan: Plan, port: int, command: list[str], startup_s: float) -> EngineInfo:
    """Ask the server itself what it serves, and add what only its starter knows."""
    installation = plan.installation
    base_url = f"http://127.0.0.1:{port}/v1"
    found = probe(base_url, api_key=plan.options.api_key, timeout_s=plan.options.request_timeout_s)
    chosen = select_model(plan.model.name, found.models, base_url)
    info = EngineInfo(
        name="vllm",
        version=found.version,
        base_url=base_url,
        model=chosen.id,
        models=tuple(model.id for model in found.models),
        managed=True,
        max_model_len=chosen.max_model_len,
    )
    return replace(
        info,
        device=plan.device,
        package=f"{installation.package} {installation.version}",
        python=installation.python_version,
        command=vllm.redact(command),
        random_weights=plan.model.random_weights,
        in_band_metrics=installation.release >= vllm.IN_BAND_METRICS_SINCE,
        startup_s=startup_s,
        sends_spans=plan.options.spans_endpoint is not None and installation.spans,
    )
