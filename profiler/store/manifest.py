"""The manifest of a run, `run.json`."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT: Final = "profiler-run"
VERSION = 1
SPANS_FILE = "spans.jsonl"
MANIFEST_FILE = "run.json"


class Failure(BaseModel):
    """A chain that did not end well."""

    task: str
    repeat: int
    warmup: bool = False
    type: str
    message: str
    trace_id: str


class Counts(BaseModel):
    """How many chains there were."""

    planned: int = 0
    finished: int = 0  # ended well or badly, warm-up left out
    failed: int = 0
    warmup: int = 0


class SpanCounts(BaseModel):
    """The profiler's promise: every span that was started is on disk."""

    started: int = 0
    written: int = 0


class Export(BaseModel):
    """What became of the live export."""

    endpoint: str
    protocol: str
    sent: int = 0
    not_sent: int = 0
    error: str | None = None


class Manifest(BaseModel):
    """Everything that a reader of the spans needs to know about how they came about."""

    model_config = ConfigDict(extra="allow")  # a later minor version may add facts
    format: Literal["profiler-run"] = FORMAT
    version: int = VERSION
    status: Literal["running", "finished", "interrupted", "failed"] = "running"
    error: str | None = None
    created: str
    wall_s: float | None = None
    profiler: str
    python: str
    libraries: dict[str, str] = Field(default_factory=dict)
    agent: dict[str, str]
    engine: dict[str, Any]
    script: dict[str, Any] | None = None
    tasks: dict[str, Any]
    flags: dict[str, Any]
    host: dict[str, Any]
    git: dict[str, Any] | None = None
    chains: Counts = Field(default_factory=Counts)
    spans: SpanCounts = Field(default_factory=SpanCounts)
    calls_outside_chains: int = 0
    calls_not_followed: int = 0
    export: Export | None = None
    failures: list[Failure] = Field(default_factory=list)
