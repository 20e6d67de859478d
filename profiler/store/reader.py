"""Reading a run, or any file of OTLP JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from profiler.analysis.model import Span, Trace, build_trace
from profiler.errors import DataError
from profiler.store.manifest import FORMAT, MANIFEST_FILE, SPANS_FILE, VERSION, Manifest

_STATUS_ERROR = (2, "STATUS_CODE_ERROR")
_MAX_LINE_BYTES = 512 * 1024 * 1024
_NO_PARENT = ("", "0000000000000000")
_LINE_BEGINS = b'{"resourceSpans":'


@dataclass(frozen=True)
class LoadedRun:
    """A run as it lies on disk."""

    path: Path
    manifest: Manifest | None  # None for a file of spans from elsewhere
    traces: list[Trace]
    notes: list[str] = field(default_factory=list)  # what was wrong with the file, in words


def load_run(path: Path) -> LoadedRun:
    """Read a run's folder, or a file of OTLP JSON lines.

    A truncated last line (a run that was killed while writing) is left out and noted.

    Raises:
        DataError: no such run, not a run, a newer format, or no trace in it.
    """
    try:
        manifest, spans_path = _locate(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    notes: list[str] = []
    spans: dict[str, list[Span]] = {}
    for span in _read_spans(spans_path, notes):
        spans.setdefault(span.trace_id, []).append(span)
    traces, unfinished = [], 0
    for group in spans.values():
        trace = build_trace(group)
        if trace is None:
            unfinished += 1
            continue
        traces.append(trace)
        notes += [f"trace {trace.trace_id}: {repair}" for repair in trace.repairs]
    if unfinished:
        have = "trace has" if unfinished == 1 else "traces have"
        notes.append(f"{unfinished} {have} no root span: left out")
    return LoadedRun(path, manifest, sorted(traces, key=lambda trace: trace.root.start_ns), notes)


def _locate(path: Path) -> tuple[Manifest | None, Path]:
    if path.is_file():
        if path.name == MANIFEST_FILE:
            return _locate(path.parent)
        beside = path.parent / MANIFEST_FILE
        return (_read_manifest(beside) if path.name == SPANS_FILE and beside.exists() else None), path
    if not path.is_dir():
        raise DataError(f"no run at {path}", remedy="give the folder that profiler run printed")
    if not (path / SPANS_FILE).exists():
        runs = sorted(child.name for child in path.iterdir() if (child / SPANS_FILE).exists())
        hint = f"did you mean {path / runs[-1]}?" if runs else "give the folder that profiler run printed"
        raise DataError(f"{path} is not a run: it has no {SPANS_FILE}", remedy=hint)
    manifest = path / MANIFEST_FILE
    return (_read_manifest(manifest) if manifest.exists() else None), path / SPANS_FILE


def _read_manifest(path: Path) -> Manifest:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if (
            isinstance(raw, dict)
            and raw.get("format") == FORMAT
            and isinstance(raw.get("version"), int)
            and raw["version"] > VERSION
        ):
            raise DataError(
                f"{path} has format version {raw['version']}, this profiler reads up to {VERSION}",
                remedy="upgrade the profiler",
            )
        return Manifest.model_validate(raw)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise DataError(f"{path} is not a run's manifest: {where}: {first['msg']}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is not a run's manifest: {error}") from error


def _read_spans(path: Path, notes: list[str]) -> Iterator[Span]:
    good = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                if len(line) > _MAX_LINE_BYTES:
                    raise DataError(f"{path}: line {number} has {len(line)} bytes: not read")
                try:
                    spans = list(_spans_of(json.loads(line)))
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
                    if not line.endswith(b"\n") and (good or line[: len(_LINE_BEGINS)] in _LINE_BEGINS):
                        notes.append(f"the last line of {path.name} is cut off: left out")
                        return
                    raise DataError(
                        f"{path}: line {number} is not OTLP JSON: {type(error).__name__}: {error}",
                        remedy='spans come as lines of {"resourceSpans": […]}',
                    ) from error
                good += 1
                yield from spans
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _spans_of(document: dict[str, Any]) -> Iterator[Span]:
    for resource_spans in document["resourceSpans"]:
        resource = _attributes((resource_spans.get("resource") or {}).get("attributes"))
        service = str(resource.get("service.name", ""))
        for scope_spans in resource_spans.get("scopeSpans") or ():
            for raw in scope_spans.get("spans") or ():
                yield _span(raw, service)


def _span(raw: dict[str, Any], service: str) -> Span:
    status = raw.get("status") or {}
    parent = raw.get("parentSpanId") or ""
    start_ns, end_ns = int(raw["startTimeUnixNano"]), int(raw.get("endTimeUnixNano") or raw["startTimeUnixNano"])
    if not 0 <= start_ns < 2**63 or not 0 <= end_ns < 2**63:
        raise ValueError(f"a time outside of what nanoseconds since 1970 can be: {start_ns}, {end_ns}")
    return Span(
        trace_id=raw["traceId"].lower(),
        span_id=raw["spanId"].lower(),
        parent_id=None if parent in _NO_PARENT else parent.lower(),
        name=str(raw.get("name", "")),
        start_ns=start_ns,
        end_ns=end_ns,
        attributes=_attributes(raw.get("attributes")),
        failed=status.get("code") in _STATUS_ERROR,
        message=str(status.get("message", "")),
        service=service,
    )


def _attributes(raw: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {item["key"]: _value(item.get("value") or {}) for item in raw or ()}


def _value(raw: dict[str, Any]) -> Any:
    if "stringValue" in raw:
        return raw["stringValue"]
    if "intValue" in raw:
        return int(raw["intValue"])
    if "doubleValue" in raw:
        return float(raw["doubleValue"])
    if "boolValue" in raw:
        return bool(raw["boolValue"])
    if "arrayValue" in raw:
        return tuple(_value(item) for item in raw["arrayValue"].get("values") or ())
    if "kvlistValue" in raw:
        return {item["key"]: _value(item.get("value") or {}) for item in raw["kvlistValue"].get("values") or ()}
    return raw.get("bytesValue")
