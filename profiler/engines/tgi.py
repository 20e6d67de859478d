"""TGI in its official container: shown, started, awaited, and removed at the end.

    docker run --rm --name profiler-tgi-… -p 127.0.0.1:PORT:80 -v CACHE:/data [--gpus all] IMAGE --model-id MODEL

The docker client stays in the foreground under the supervisor, which passes its end on to the container, so that it
does not outlive a profiler that is killed. Models are kept in the user's cache folder between runs.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from profiler.engines.attach import attached_info
from profiler.engines.cache import cache_root
from profiler.engines.launch import free_port, healthy, refuse_taken_port
from profiler.engines.model import Engine, EngineOptions, Progress
from profiler.engines.probe import probe
from profiler.engines.process import SupervisedProcess
from profiler.engines.startlog import death_report, tail
from profiler.errors import EngineDied, EngineUnavailable, UsageError

IMAGE = "ghcr.io/huggingface/text-generation-inference:3.3.7"
CPU_IMAGE = f"{IMAGE}-intel-cpu"
GRACE_S = 30.0  # which docker itself may need to stop a container
ASK_LIMIT_S = 20.0
POLL_S = 0.5
SAY_EVERY_S = 30.0


class Container:
    """The container's client, with the container behind it."""

    def __init__(self, process: SupervisedProcess, docker: str, name: str) -> None:
        """Hold a client that runs in the foreground."""
        self.pid = process.pid
        self._process = process
        self._docker = docker
        self._name = name

    def death(self) -> str | None:
        """How it ended, in words; None while it runs."""
        return self._process.death()

    def ask_to_stop(self) -> None:
        """Let it end."""
        self._process.ask_to_stop()

    def stop(self) -> None:
        """End the client, and see that no container is left."""
        self._process.stop()
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # --rm has mostly removed it already
            subprocess.run(
                [self._docker, "rm", "--force", self._name], capture_output=True, timeout=ASK_LIMIT_S, check=False
            )


@contextlib.contextmanager
def tgi_container(options: EngineOptions, *, log_path: Path, progress: Progress) -> Iterator[Engine]:
    """A TGI for the length of a with block.

    Raises:
        UsageError: no model is named, or its folder does not exist.
        EngineUnavailable: docker does not work here, the port is in use, or TGI was not ready in time.
        EngineDied: it ended while loading.
    """
    from profiler.engines.hardware import usable_gpus

    if options.model is None:
        raise UsageError("TGI's container needs a model", remedy="add --model, such as Qwen/Qwen3-0.6B")
    docker = working_docker()
    if options.port is not None:
        refuse_taken_port(options.port)
    port, name = options.port or free_port(), f"profiler-tgi-{secrets.token_hex(4)}"
    command = build_command(
        docker, options, port=port, name=name, cache=cache_root() / "tgi", gpu=bool(usable_gpus()), environ=os.environ
    )
    progress(f"starting {' '.join(command)}")
    (cache_root() / "tgi").mkdir(parents=True, exist_ok=True)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log_path.write_bytes(b"")
    began = time.monotonic()
    process = SupervisedProcess(
        command, env=os.environ, cwd=log_path.parent.absolute(), log_path=log_path.absolute(), grace_s=GRACE_S
    )
    container = Container(process, docker, name)
    try:
        _await_ready(container, port, options, log_path, progress)
        base_url = f"http://127.0.0.1:{port}/v1"
        found = probe(base_url, api_key=options.api_key, timeout_s=options.request_timeout_s)
        info = attached_info(found, replace(options, model=None))
    except BaseException:
        container.stop()
        raise
    startup_s = round(time.monotonic() - began, 2)
    progress(f"TGI is ready after {startup_s:.0f} s")
    started = replace(info, managed=True, package=command[command.index("--model-id") - 1], startup_s=startup_s)
    engine = Engine(replace(started, command=tuple(command)), process=container, log_path=log_path)
    try:
        yield engine
    finally:
        engine.close()


def working_docker() -> str:
    """The docker client, if its daemon answers.

    Raises:
        EngineUnavailable: there is none, or no daemon behind it.
    """
    remedy = "Start docker, or run TGI yourself and pass its address with --base-url."
    docker = shutil.which("docker")
    if docker is None:
        raise EngineUnavailable("TGI is started as a container, and there is no docker here", remedy=remedy)
    try:
        done = subprocess.run(
            [docker, "info", "--format", "{{.ServerVersion}}"],
            capture_output=True,
            text=True,
            timeout=ASK_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailable(f"docker does not answer: {error}", remedy=remedy) from error
    if done.returncode or not done.stdout.strip():
        why = (done.stderr.strip() or "it tells no version").splitlines()[-1]
        raise EngineUnavailable(f"docker does not work here: {why}", remedy=remedy)
    return docker


def build_command(
    docker: str, options: EngineOptions, *, port: int, name: str, cache: Path, gpu: bool, environ: Mapping[str, str]
) -> list[str]:
    """How the container is started. Of a token for gated models the name is passed: `ps` would show its value."""
    model = options.model or ""
    command = [docker, "run", "--rm", "--name", name, "--label", "agent-chain-profiler", "--shm-size", "1g"]
    command += ["-p", f"127.0.0.1:{port}:80", "-v", f"{cache}:/data"]
    command += ["--gpus", "all"] if gpu else []
    for variable in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        command += ["-e", variable] if environ.get(variable) else []
    folder = Path(model).expanduser()
    if folder.is_dir():
        command += ["-v", f"{folder.absolute()}:/model:ro"]
        model = "/model"
    elif model.startswith((".", "/", "~")):
        raise UsageError(f"there is no folder {model}", remedy="name a folder, or a model of the Hugging Face hub")
    return [*command, IMAGE if gpu else CPU_IMAGE, "--model-id", model, *options.extra_args]


def _await_ready(container: Container, port: int, options: EngineOptions, log_path: Path, progress: Progress) -> None:
    """Wait for `/health`, which includes the download of image and model the first time."""
    began = said_at = time.monotonic()
    while not healthy(port):
        death = container.death()
        if death is not None:
            message, remedy, details = death_report(f"TGI's container {death} while starting", tail(log_path, 400))
            raise EngineDied(message, remedy=remedy or f"The whole log: {log_path}", details=details)
        now = time.monotonic()
        if now - began > options.startup_timeout_s:
            raise EngineUnavailable(
                f"TGI was not ready within {options.startup_timeout_s:g} s",
                remedy="Pull the image and the model beforehand, or start it yourself and pass --base-url.",
                details="\n".join(tail(log_path, 15)),
            )
        if now - said_at >= SAY_EVERY_S:
            last = next(reversed(tail(log_path, 1)), "")
            progress(f"starting TGI … {now - began:.0f} s: {last[:200]}")
            said_at = now
        time.sleep(POLL_S)
