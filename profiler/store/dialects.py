"""Documents of spans that are nearly OTLP JSON, as OTLP JSON.

| found | where it comes from | made of it |
|---|---|---|
| `resource_spans`, `trace_id` … | protobuf's JSON with the names of the fields kept | the names of the JSON format |
| `batches` | Tempo's API | `resourceSpans` |
| `result.resourceSpans` | Jaeger's API, version 3 | likewise |
| `instrumentationLibrarySpans` | OTLP before 1.0 | `scopeSpans` |
| ids in base64 | protobuf's JSON as it is: OTLP wants hexadecimal | hexadecimal |

Other formats are refused by name.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

_RESOURCE_SPANS: Final = "resourceSpans"
_SNAKE: Final = re.compile(r"_([a-z])")
_BASE64_LENGTHS: Final = {24: 16, 12: 8}  # characters of an id in base64: its bytes
_REAL_NAMES: Final = {"instrumentationLibrarySpans": "scopeSpans"}


class NotSpans(ValueError):
    """What is wrong with a document, in words of our own."""


def normal(document: Any) -> dict[str, Any]:
    """The document with the names and the nesting of OTLP JSON.

    Raises:
        NotSpans: it is of another format, which the message names where it is known.
    """
    found = _of_object(document) if isinstance(document, dict) else None
    if found is None:
        raise NotSpans(_what_it_is(document))
    return found


def _of_object(document: dict[str, Any]) -> dict[str, Any] | None:
    inner = document.get("result")
    if isinstance(inner, dict) and _RESOURCE_SPANS not in document:
        document = inner
    if _RESOURCE_SPANS in document:
        return _renamed(document) if _is_renamed(document) else document
    for name in ("resource_spans", "batches"):
        if name in document:
            return _renamed({_RESOURCE_SPANS: document[name]})
    return None


def _what_it_is(document: Any) -> str:
    if isinstance(document, list):
        one = document[0] if document else None
        if isinstance(one, dict) and {"traceId", "id"} <= one.keys():
            return "these are spans in Zipkin's format"
        return "a list, where an object with resourceSpans is expected"
    if not isinstance(document, dict):
        return "not an object"
    data = document.get("data")
    if isinstance(data, list) and data and isinstance(data[0], dict) and "traceID" in data[0]:
        return "this is Jaeger's own format: profiler import makes a run of it"
    if "resourceLogs" in document or "resourceMetrics" in document:
        return "logs or metrics, not spans"
    if "traceEvents" in document:
        return "these are Chrome's trace events"
    return "no resourceSpans in it"


def hexadecimal(identity: str) -> str:
    """An id in hexadecimal, lower case, also if it is in base64."""
    size = _BASE64_LENGTHS.get(len(identity))
    if size is not None:
        try:
            raw = base64.b64decode(identity, validate=True)
        except (binascii.Error, ValueError):
            return identity.lower()
        if len(raw) == size:
            return raw.hex()
    return identity.lower()


def _is_renamed(document: dict[str, Any]) -> bool:
    """Whether something below has another name than in OTLP JSON: tools rename at one level only, too."""
    resources = document[_RESOURCE_SPANS]
    return any(
        "scope_spans" in each or "instrumentationLibrarySpans" in each or any(map(_has_snake, _spans_in(each)))
        for each in (resources if isinstance(resources, list) else ())
        if isinstance(each, dict)
    )


def _spans_in(resource_spans: dict[str, Any]) -> list[Any]:
    return [
        span
        for scope_spans in _list(resource_spans.get("scopeSpans"))
        if isinstance(scope_spans, dict)
        for span in _list(scope_spans.get("spans"))
    ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _has_snake(span: Any) -> bool:
    return isinstance(span, dict) and "trace_id" in span


def _renamed(document: dict[str, Any]) -> dict[str, Any]:
    """With the names of the JSON format everywhere; names of attributes are values, and stay."""
    return {_camel(name): _below(inner) for name, inner in document.items()}


def _below(value: Any) -> Any:
    if isinstance(value, dict):
        return _renamed(value)
    return [_below(inner) for inner in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    camel = _SNAKE.sub(lambda found: found[1].upper(), name)
    return _REAL_NAMES.get(camel, camel)
