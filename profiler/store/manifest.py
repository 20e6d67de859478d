"""The manifest of a run, `run.json`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT: Final = "profiler-run"
VERSION = 1
SPANS_FILE = "spans.jsonl"
MANIFEST_FILE = "run.json"

Figure = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Failure(BaseModel):
    """A chain that did not end well."""

    task: str
    repeat: int
    warmup: bool = False
    type: str
    message: str
    trace_id: str
    where: str | None = None  # the last line of the agent's own files: "agent.py:12"


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
    """What became of the live export, or of the last one afterwards."""

    endpoint: str
    protocol: str
    sent: int = 0
    not_sent: int = 0
    error: str | None = None
    viewer: str | None = None  # where to look at it: the address of a Jaeger


class Imported(BaseModel):
    """Where the spans of a run came from that was recorded elsewhere."""

    source: str
    asked: dict[str, Any] = Field(default_factory=dict)
    duplicates: int = 0  # spans that came more than once


class EngineMetrics(BaseModel):
    """What became of sampling the engine's own metrics."""

    address: str
    period_s: Figure  # between two samples, where asking does not take long
    source: str | None = None  # whose names its metrics have
    samples: int = 0
    failed: int = 0
    took_ms: Figure | None = None  # median, for one sample
    error: str | None = None  # why there are none, or why the last that failed did


class EngineSpans(BaseModel):
    """What the engine sent of its own spans while the run went on, and what became of it."""

    endpoint: str  # where it was to send them
    requests: dict[str, int] = Field(default_factory=dict)  # by protocol: grpc, http
    received: int = 0  # spans
    kept: int = 0  # of the run's traces: in spans.jsonl, not among `spans`
    other: int = 0  # of other traces
    malformed: int = 0  # without ids or times
    dropped: int = 0  # of chains that never ended, beyond what is held, or the disk failed
    refused: dict[str, int] = Field(default_factory=dict)  # requests that were not taken, by reason
    calls: int = 0  # that were answered
    joined: int = 0  # of these, with a span of the engine right below them
    waited_s: Figure = 0.0  # at the end, for the last ones


class LoadingSpan(BaseModel):
    """A part of the engine's start, as it told itself."""

    name: str
    process: str
    start_s: Figure  # after the first
    seconds: Figure
    depth: int = 0  # in how many others it is


class LoopLag(BaseModel):
    """How late the event loop was for a timer, over the run."""

    samples: int
    p50_ms: Figure
    p99_ms: Figure
    max_ms: Figure


class RecordingCost(BaseModel):
    """What the recorder's own work took in a run, measured; what there was none of is missing."""

    calls: int = 0
    chunks: int = 0  # blocks of streamed answers, as they came from the socket
    chains: int = 0
    spans: int = 0
    per_call_us: Figure | None = None  # without its chunks
    per_chunk_us: Figure | None = None
    per_chain_us: Figure | None = None  # everything: calls, chunks, steps, tools, encoding and writing
    deliver_us: Figure | None = None  # of that, after the chain's end: encoding and writing
    spans_per_second: int | None = None  # of the recorder's own time
    memory_per_chain_bytes: int | None = None  # growth of the process after its first chain, the agent's included


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
    timings_not_believed: int = 0  # calls whose engine told longer durations than they took
    export: Export | None = None
    metrics_export: Export | None = None  # counted in measurements
    engine_metrics: EngineMetrics | None = None
    imported: Imported | None = None
    engine_spans: EngineSpans | None = None  # None if none were asked for
    loading: list[LoadingSpan] = Field(default_factory=list)
    loop_lag: LoopLag | None = None
    suspect: list[str] = Field(default_factory=list)  # reasons to doubt the figures' exactness
    recording_cost: RecordingCost | None = None
    failures: list[Failure] = Field(default_factory=list)
