"""Jaeger as a process of ours: which way there is, its command line, and its life until Ctrl-C."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Final, NamedTuple

from profiler.cli.ending import note
from profiler.errors import BackendUnavailable, Interrupted, UsageError

IMAGE: Final = "cr.jaegertracing.io/jaegertracing/jaeger:2.22.0"
_READY_S: Final = 300.0  # the image may have to be fetched
_ASK_DOCKER_S: Final = 10.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.3
_BLOCK: Final = 4096
_BLOCKS_KEPT: Final = 16
_LAST_WORDS_S: Final = 2.0


class Ports(NamedTuple):
    """Where it listens."""

    ui: int = 16686
    http: int = 4318
    grpc: int = 4317


USUAL: Final = Ports()


def docker_command(ports: Ports, image: str) -> list[str]:
    """Its container, reachable from this machine alone, removed when it ends."""
    published = [f"127.0.0.1:{outside}:{inside}" for outside, inside in zip(ports, USUAL, strict=True)]
    options = [word for each in published for word in ("-p", each)]
    return ["docker", "run", "--rm", "--name", f"profiler-jaeger-{ports.ui}", *options, image]


def run_jaeger(ports: Ports, image: str) -> int:
    """Start it, say where it is, and stay until it ends or the user ends it.

    Raises:
        UsageError: a port is taken.
        BackendUnavailable: there is no way to start one, or it did not start.
        Interrupted: Ctrl-C before it was ready.
    """
    _check_free(ports)
    command = _way(ports, image)
    note("+ " + " ".join(command))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE if _quiet(command) else None)
    log = _Log(process)
    before = {number: signal.signal(number, _as_interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    ready = False
    try:
        _await(process, ports, log)
        ready = True
        note(f"Jaeger is at http://127.0.0.1:{ports.ui} and takes spans at http://127.0.0.1:{ports.http} (HTTP)")
        note(f"and http://127.0.0.1:{ports.grpc} (gRPC); Ctrl-C ends it, and what it has is gone with it")
        note(f"a run of before: profiler export RUN --to http://127.0.0.1:{ports.http}")
        code = process.wait()
    except KeyboardInterrupt as error:
        if not ready:
            raise Interrupted("interrupted before Jaeger was ready") from error
        return 0
    finally:
        _stop(process)
        for number, handler in before.items():
            signal.signal(number, handler)
    raise BackendUnavailable(f"Jaeger ended by itself with exit code {code}", details=log.last())


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Log:
    """The end of what it says on a pipe, which is read all the time: a full one would stop it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._pipe = process.stderr
        self._blocks: deque[bytes] = deque(maxlen=_BLOCKS_KEPT)
        self._thread = threading.Thread(target=self._read, name="jaeger-log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        if self._pipe is not None:
            with suppress(OSError, ValueError):
                while block := self._pipe.read1(_BLOCK):  # type: ignore[attr-defined]
                    self._blocks.append(block)

    def last(self) -> str | None:
        """Its last lines, once it has ended."""
        if self._pipe is None:
            return None
        self._thread.join(_LAST_WORDS_S)
        return "\n".join(b"".join(list(self._blocks)).decode("utf-8", "replace").splitlines()[-6:])


def _quiet(command: Sequence[str]) -> bool:
    """Docker tells the fetching of an image on stderr, which the user should see."""
    return command[0] != "docker"


def _check_free(ports: Ports) -> None:
    for name, port in zip(("--ui-port", "--http-port", "--grpc-port"), ports, strict=True):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                there = ports == USUAL and _is_jaeger(ports.ui)
                raise UsageError(
                    f"a Jaeger runs already: http://127.0.0.1:{ports.ui}" if there else f"port {port} is taken",
                    remedy="use it" if there else f"choose another with {name}",
                ) from error


def _way(ports: Ports, image: str) -> list[str]:
    """The command that starts one here.

    Raises:
        BackendUnavailable: there is none.
    """
    why = _docker_lacks()
    if why is None:
        return docker_command(ports, image)
    binary = shutil.which("jaeger")
    if binary is not None:
        if ports != USUAL:
            raise UsageError(
                f"{binary} has its ports in a configuration file", remedy="leave the ports as they are, or use docker"
            )
        return [binary]
    raise BackendUnavailable(
        f"there is no way to start a Jaeger here: {why}, and no program `jaeger` on the path",
        details="\n".join(
            (
                "install docker and start it, then: profiler jaeger",
                "or put the program of https://www.jaegertracing.io/download/ on the path as `jaeger`, then likewise",
                "or where docker is: " + " ".join(docker_command(ports, image)),
            )
        ),
        remedy="without a Jaeger: profiler report RUN --format html, or profiler export RUN --format perfetto -o FILE",
    )


def _docker_lacks() -> str | None:
    docker = shutil.which("docker")
    if docker is None:
        return "docker is not installed"
    try:
        done = subprocess.run(
            [docker, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=_ASK_DOCKER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "docker does not answer"
    return None if done.returncode == 0 and done.stdout.strip() else "docker is installed and not running"


def _await(process: subprocess.Popen[bytes], ports: Ports, log: _Log) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        code = process.poll()
        if code is not None:
            raise BackendUnavailable(f"Jaeger ended with exit code {code}", details=log.last())
        if _is_jaeger(ports.ui):
            return
        time.sleep(_POLL_S)
    raise BackendUnavailable(f"Jaeger was not ready within {_READY_S:g} s")


def _is_jaeger(port: int) -> bool:
    from profiler.exchange.viewer import services_at

    return services_at(f"http://127.0.0.1:{port}", trust_env=False) is not None


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    if process.poll() is None:
        process.kill()
        process.wait()
