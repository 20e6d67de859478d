"""What the rest of the profiler knows about an engine: how to ask for one, what came of it, how to hold it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from profiler.errors import EngineDied

SIM_DIALECTS = ("vllm", "tgi", "ollama", "openai", "llama.cpp")
"""What the embedded engine speaks."""

Progress = Callable[[str], None]
"""Takes one plain line of what is going on, to be shown or logged."""


@dataclass(frozen=True)
class EngineInfo:
    """What served the run; goes into the run manifest."""

    name: str
    """The backend, such as `vllm`."""
    version: str | None
    """As the server itself reports it."""
    base_url: str
    """With the `/v1`, without a trailing slash."""
    model: str
    """The name to put into requests."""
    models: tuple[str, ...]
    managed: bool
    """Whether the profiler started it, and will stop it."""
    device: str | None = None
    """`cpu` or `cuda:NVIDIA H100 80GB HBM3`; known only of a managed engine."""
    package: str | None = None
    python: str | None = None
    command: tuple[str, ...] = ()
    """How a managed engine was started, keys redacted."""
    random_weights: bool = False
    """True for tiny-random: the timing is real, the text is not."""
    max_model_len: int | None = None
    in_band_metrics: bool = False
    """Whether it was told to put its own timings into responses; False also where that is unknown."""
    simulated: bool = False
    """True for the embedded engine: its times are made, not measured on hardware."""
    profile: str | None = None
    """Which of the embedded engine's time models; known only of one that the profiler started."""
    startup_s: float | None = None
    sends_spans: bool = False
    """Whether it was told to send spans of its own; False also where that is unknown."""
    server: str = "vllm"
    """Which kind of server it is, and so what requests it takes: `vllm`, `tgi`, `ollama`, `llama.cpp`, `openai` …"""
    recognised_by: str | None = None
    """What told it, of a server that somebody else started."""


@dataclass(frozen=True)
class SimOptions:
    """How the embedded engine behaves."""

    profile: str = "cpu-tiny"
    """A name of a profile that is shipped, or a TOML file."""
    dialect: str | None = None
    """One of `SIM_DIALECTS`; the profile's own if None."""
    traits: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    truth: Path | None = None
    """Where it writes its ground truth."""
    otlp_traces_endpoint: str | None = None
    """Where it sends spans as vLLM would."""
    spin: bool = False
    """Take a whole core and never sleep, so that its log is exact."""


@dataclass(frozen=True)
class EngineOptions:
    """What the user asked for."""

    backend: str = "vllm"
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    vllm_python: Path | None = None
    provision: bool = True
    startup_timeout_s: float = 600
    request_timeout_s: float = 10
    port: int | None = None
    extra_args: tuple[str, ...] = ()
    spans_endpoint: str | None = None
    """Where a vLLM that is started sends spans of its own, over OTLP."""
    seed: int = 0
    sim: SimOptions = field(default_factory=SimOptions)


class EngineProcess(Protocol):
    """The part of a supervised process that an `Engine` needs."""

    pid: int | None

    def death(self) -> str | None:
        """How it ended, in words; None while it runs."""

    def ask_to_stop(self) -> None:
        """Let it end; `stop` waits for that."""

    def stop(self) -> None:
        """End it and everything that it started; harmless when repeated."""


class Engine:
    """An engine that answers. Close it when done: a managed one is stopped, an attached one is left alone."""

    def __init__(self, info: EngineInfo, *, process: EngineProcess | None = None, log_path: Path | None = None) -> None:
        """Hold a probed engine; `process` only where the profiler started it."""
        self.info = info
        self.log_path = log_path
        self._process = process
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process of a managed engine."""
        return None if self._process is None else self._process.pid

    def check(self) -> None:
        """Raise EngineDied if a managed engine is no longer running."""
        death = None if self._process is None or self._closed else self._process.death()
        if death is None:
            return
        from profiler.engines.startlog import death_report

        message, remedy, details = death_report(f"{self.info.name} {death}", self.log_tail(400))
        raise EngineDied(message, remedy=remedy or f"See {self.log_path}", details=details)

    def log_tail(self, n: int = 15) -> list[str]:
        """The last `n` lines that a managed engine printed; empty for an attached one."""
        if self.log_path is None:
            return []
        from profiler.engines.startlog import tail

        return tail(self.log_path, n)

    def release(self) -> None:
        """Let a managed engine end while something else is done; `close` waits for it."""
        self._closed = True
        if self._process is not None:
            self._process.ask_to_stop()

    def close(self) -> None:
        """Stop a managed engine and wait until all its processes are gone."""
        self._closed = True
        if self._process is not None:
            self._process.stop()
