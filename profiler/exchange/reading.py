"""Files of spans in any format that is known, span by span as OTLP JSON has them.

- `resourceSpans`, and what `store/dialects.py` knows besides: OTLP JSON, a document or a line each.
- `data` with `traceID`, or one such trace: Jaeger, saved by its interface or from its `/api/traces`.
- Spans of OTLP JSON without what stands around them, in a list or under `data`, `spans`, `trace`: Phoenix's `otlpv1`,
  MLflow's traces.
- `context` with `trace_id`, and `start_time` in ISO 8601: Phoenix's spans, OpenTelemetry's console exporter.

A file of lines is read line by line. A document that is spread over lines has to be read as a whole.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final, cast

from profiler.errors import DataError
from profiler.exchange.documents import Item, Object, canonical, items_of, loads, wrapped
from profiler.exchange.jaeger_json import is_jaeger, items_of_jaeger
from profiler.store.dialects import NotSpans, normal
from profiler.store.parse import MALFORMED, what_is_wrong

MOST_AT_ONCE: Final = 1 << 30  # bytes of one document: in memory it is several times as much
_CONTAINERS: Final = ("data", "spans", "trace", "traces")
_LANGSMITH: Final = {"run_type", "start_time"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = 1000
_STATUS: Final = {"OK": 1, "ERROR": 2}
_KINDS: Final = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_REMEDY: Final = "docs/import.md lists what is read"


def items_in_file(path: Path) -> Iterator[list[Item]]:
    """Spans of each document of a file, which may be compressed with gzip.

    Raises:
        DataError: it cannot be read, is too large for one document, or is of no format that is known. Only a last
            line that is cut off is left out.
    """
    try:
        with _opened(path) as file:
            first = file.readline(MOST_AT_ONCE + 1)
            while first and not first.strip():
                first = file.readline(MOST_AT_ONCE + 1)
            if not first:
                raise DataError(f"{path} is empty", remedy=_REMEDY)
            rest = file.read(1)
            alone = _document(first) if rest else None
            if rest and alone is None:  # a document that is spread over lines
                yield _whole(path, first + rest + _limited(path, file, len(first) + 1))
                return
            yield _items(path, 1, loads(first) if rest else _one(path, first))
            yield from _lines(path, file, rest)
    except (OSError, EOFError, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"cannot read {path}: {said}") from error


def _opened(path: Path) -> IO[bytes]:
    if not path.exists():
        raise DataError(f"there is no file {path}")
    if not path.is_file():
        raise DataError(f"{path} is not a regular file", remedy="copy what comes out of it into one")
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path, "rb") if compressed else path.open("rb"))


def _document(text: bytes) -> Any:
    """The document on a line; None if it does not end there."""
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return None


def _limited(path: Path, file: IO[bytes], already: int) -> bytes:
    text = file.read(MOST_AT_ONCE - already + 1)
    if len(text) + already > MOST_AT_ONCE:
        raise DataError(
            f"{path} is one document of more than {MOST_AT_ONCE >> 20} MB, which would have to be in memory at once",
            remedy="save it as lines of OTLP JSON, or in parts",
        )
    return text


def _whole(path: Path, text: bytes) -> list[Item]:
    return _items(path, 0, _one(path, text))


def _one(path: Path, text: bytes) -> Any:
    try:
        return loads(text)
    except MALFORMED as error:
        said = what_is_wrong(error)
        raise DataError(f"{path} is not a file of spans: {said}", remedy=_REMEDY) from error


def _lines(path: Path, file: IO[bytes], begun: bytes) -> Iterator[list[Item]]:
    number = 1
    while line := begun + file.readline(MOST_AT_ONCE + 1):
        begun = b""
        number += 1
        if not line.strip():
            continue
        try:
            document = loads(line)
        except MALFORMED as error:
            if not line.endswith(b"\n"):  # cut off, as of a program that was killed while writing
                return
            raise DataError(f"{path}: line {number} is no JSON: {what_is_wrong(error)}", remedy=_REMEDY) from error
        yield _items(path, number, document)


def _items(path: Path, number: int, document: Any) -> list[Item]:
    try:
        return list(items_of_any(document))
    except MALFORMED as error:
        where = f"{path}: line {number}" if number > 1 else str(path)
        raise DataError(f"{where} has no spans that are known: {what_is_wrong(error)}", remedy=_REMEDY) from error


def items_of_any(document: Any) -> Iterator[Item]:
    """Spans of a document of any of the formats.

    Raises:
        NotSpans, or another of `store.parse.MALFORMED`: it is of none of them.
    """
    if isinstance(document, list) and document and all(isinstance(each, dict) for each in document):
        if "localEndpoint" in document[0]:  # Zipkin: named by what refuses it
            normal(document)
        for each in document:
            yield from items_of_any(each)
    elif is_jaeger(document):
        yield from items_of_jaeger(document)
    elif not isinstance(document, dict):
        normal(document)
    elif isinstance(document.get("context"), dict) and "start_time" in document:
        yield _of_context(document)
    elif document.keys() >= _LANGSMITH and "trace_id" in document:
        raise NotSpans("these are LangSmith's own runs: send its traces over OTLP, or export them as OTLP")
    elif "spanId" in document or "span_id" in document:
        yield _bare(document)
    else:
        container = next((each for each in _CONTAINERS if isinstance(document.get(each), list | dict)), None)
        if container is None or "resourceSpans" in document:
            yield from items_of(document)
        else:
            inner = document[container]
            yield from items_of_any(inner) if inner else ()


def _bare(span: Object) -> Item:
    """A span of OTLP JSON by itself, with names of either spelling."""
    wrapper = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    return next(items_of(wrapper))


def _of_context(span: Object) -> Item:
    context = span["context"]
    kind = str(span.get("kind") or span.get("span_kind") or "").rpartition(".")[2].upper()
    status = span.get("status") if isinstance(span.get("status"), dict) else {}
    code = _STATUS.get(str(span.get("status_code") or cast("Object", status).get("status_code") or "").upper(), 0)
    message = span.get("status_message") or cast("Object", status).get("description") or ""
    made: Object = {
        "traceId": _plain_id(context.get("trace_id")),
        "spanId": _plain_id(context.get("span_id")),
        "name": str(span.get("name") or ""),
        "kind": _KINDS.get(kind, 0),
        "startTimeUnixNano": str(_nanoseconds(span["start_time"])),
        "endTimeUnixNano": str(_nanoseconds(span.get("end_time"))),
        "attributes": _wrapped(span.get("attributes")),
    }
    if span.get("parent_id"):
        made["parentSpanId"] = _plain_id(span["parent_id"])
    if code:
        made["status"] = {"code": code, "message": str(message)}
    made["events"] = [
        {
            "name": str(each.get("name") or ""),
            "timeUnixNano": str(_nanoseconds(each.get("timestamp"))),
            "attributes": _wrapped(each.get("attributes")),
        }
        for each in span.get("events") or ()
    ]
    resource = span.get("resource") if isinstance(span.get("resource"), dict) else {}
    return Item({"attributes": _wrapped(cast("Object", resource).get("attributes"))}, {}, canonical(made))


def _plain_id(value: Any) -> str:
    return str(value or "").removeprefix("0x").lower()


def _wrapped(values: Any) -> list[Object]:
    return [{"key": str(key), "value": wrapped(value)} for key, value in (values or {}).items()]


def _nanoseconds(text: Any) -> int:
    """Epoch nanoseconds of a time in ISO 8601, with as many decimals as there are."""
    if not text:
        return 0
    whole, dot, rest = str(text).partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    zone = rest[digits:] if dot else ""
    moment = datetime.fromisoformat(whole + zone)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * _US + int(rest[:digits][:9].ljust(9, "0") or 0)


def documents_in(text: bytes) -> Iterator[Any]:
    """One document, or several after one another, as a server that streams sends them.

    Raises:
        ValueError: it is no JSON.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        documents = [loads(text)]
    except ValueError:
        if len(lines) <= 1:
            raise
        documents = list(map(json.loads, lines))
    yield from documents
