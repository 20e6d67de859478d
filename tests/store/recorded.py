"""Runs on disk, made by the real recorder and the real writer."""

import json
from contextlib import contextmanager

from opentelemetry.trace import SpanKind

from profiler.record.recorder import Recorder
from profiler.store.manifest import Manifest
from profiler.store.writer import RunWriter


@contextmanager
def recording(folder):
    """A recorder that writes to a folder: (recorder, writer)."""
    writer = RunWriter(folder)
    try:
        with Recorder(service_name="test", resource={}, sinks=[writer.write_chain]) as recorder:
            yield recorder, writer
    finally:
        writer.close()


def record_chain(recorder, *, attributes=None, children=1, start=1_000):
    """One chain with children of 10 ns each; returns its trace id as it is written."""
    root = recorder.start_trace("root", dict(attributes or {}), start)
    for number in range(children):
        begin = start + 10 * number
        root.child(f"child {number}", SpanKind.INTERNAL, {}, begin).end(begin + 10)
    root.end(start + 10 * children + 5)
    recorder.deliver(root.trace_id)
    return f"{root.trace_id:032x}"


def recorded_run(folder, chains=3):
    with recording(folder) as (recorder, writer):
        ids = [record_chain(recorder, start=1_000 * (number + 1)) for number in range(chains)]
        writer.write_manifest(manifest())
    return ids


def manifest(**changes):
    facts = {
        "created": "2026-01-01T00:00:00Z",
        "profiler": "0.1.0",
        "python": "3.11",
        "agent": {"name": "react"},
        "engine": {"name": "vllm"},
        "tasks": {},
        "flags": {},
        "host": {},
    }
    return Manifest.model_validate({**facts, **changes})


def span_line(*, trace="0" * 31 + "1", span="0" * 15 + "1", **changes):
    """One line of OTLP JSON, as another program might write it."""
    raw = {
        "traceId": trace,
        "spanId": span,
        "name": "foreign",
        "startTimeUnixNano": "1000",
        "endTimeUnixNano": "2000",
        **changes,
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [raw]}]}]}) + "\n"


def spread_file(path, places):
    """Traces whose spans stand on the lines of `places`; the first of each is its root."""
    seen = {}
    with path.open("w") as file:
        for place, trace in enumerate(places):
            number = seen[trace] = seen.get(trace, 0) + 1
            parent = {} if number == 1 else {"parentSpanId": f"{trace}-1"}
            start = str(1_000 + place)
            file.write(span_line(trace=f"t{trace}", span=f"{trace}-{number}", startTimeUnixNano=start, **parent))
            if place % 3 == 0:
                file.write("\n")


def rows_of(content):
    return {name: table.to_pylist() for name, table in content.tables.items()}
