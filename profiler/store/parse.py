"""One line of OTLP JSON to spans.

A line is first read by msgspec into objects of the expected shape, which takes a third of the time of dictionaries.
What it refuses (half a surrogate pair, NaN, times as fractions, a shape that is wrong) is read again the slow way, by
Python's own parser, which decides whether it is valid and words the error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from profiler.analysis.model import Event, Span
from profiler.store.dialects import NotSpans, hexadecimal, normal

# What reading a line may raise: it is not OTLP JSON.
MALFORMED = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)

_STATUS_ERROR = (2, "STATUS_CODE_ERROR")
_NO_PARENT = (None, "", "0000000000000000")
_BASE64_LENGTH = 24  # of a trace id; in hexadecimal it has 32 characters
_TIME_BITS = 63
_LATEST_NS = 2**_TIME_BITS
_NEEDED = frozenset({"traceId", "spanId", "startTimeUnixNano"})
_LONGEST_SHOWN = 40
_ABSENT = msgspec.Raw(b"")


class _Value(msgspec.Struct, gc=False):
    """Any of OTLP's values; one of the fields is set."""

    stringValue: str | None = None  # noqa: N815 - names of the format, here and below
    intValue: int | None = None  # noqa: N815
    doubleValue: float | str | None = None  # noqa: N815
    boolValue: bool | None = None  # noqa: N815
    arrayValue: msgspec.Raw = _ABSENT  # noqa: N815
    kvlistValue: msgspec.Raw = _ABSENT  # noqa: N815
    bytesValue: str | None = None  # noqa: N815


class _Attribute(msgspec.Struct, gc=False):
    key: str
    value: _Value | None = None


class _Status(msgspec.Struct, gc=False):
    code: int | str | None = None
    message: str = ""


class _RawEvent(msgspec.Struct, gc=False):
    name: str = ""
    timeUnixNano: int = 0  # noqa: N815
    attributes: list[_Attribute] | None = None


class _RawSpan(msgspec.Struct, gc=False):
    traceId: str  # noqa: N815
    spanId: str  # noqa: N815
    startTimeUnixNano: int  # noqa: N815
    endTimeUnixNano: int | None = None  # noqa: N815
    parentSpanId: str | None = None  # noqa: N815
    name: str = ""
    attributes: list[_Attribute] | None = None
    status: _Status | None = None
    events: list[_RawEvent] | None = None


class _ScopeSpans(msgspec.Struct, gc=False):
    spans: list[_RawSpan] | None = None


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_Attribute] | None = None


class _ResourceSpans(msgspec.Struct, gc=False):
    resource: _Resource | None = None
    scopeSpans: list[_ScopeSpans] | None = None  # noqa: N815


class _Document(msgspec.Struct, gc=False):
    resourceSpans: list[_ResourceSpans]  # noqa: N815


_decode = msgspec.json.Decoder(_Document, strict=False).decode  # whole numbers come as texts
_decode_integers = msgspec.json.Decoder(tuple[int, ...]).decode
_decode_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_new = tuple.__new__  # what a named tuple's own constructor ends in
_NO_ATTRIBUTES: dict[str, Any] = {}
_LONGEST_KEPT = 1000


def what_is_wrong(error: Exception) -> str:
    """Why a line could not be read, in words of our own; the error is one of MALFORMED."""
    match error:
        case NotSpans():
            return str(error)
        case json.JSONDecodeError():
            return f"no JSON at character {error.pos + 1} ({error.msg})"
        case UnicodeDecodeError():
            return f"not UTF-8 at byte {error.start + 1}"
        case RecursionError():
            return "it is nested too deeply"
        case OverflowError() | ValueError():
            return "a number in it is none, or too large"
        case _:
            return "something in it is of another type than in OTLP"


def spans_of_line(line: bytes) -> list[Span]:
    """Spans in the order in which they stand in the line.

    Raises:
        One of MALFORMED: it is not OTLP JSON.
    """
    try:
        if not line.isascii():
            line.decode()  # what is skipped, msgspec does not look at: a member that no span has may be no UTF-8
        return _spans_of_structs(_decode(line))
    except (msgspec.MsgspecError, *MALFORMED):
        return list(_spans_of(normal(json.loads(line))))


# --- the quick way ---------------------------------------------------------------------------------------


def _spans_of_structs(document: _Document) -> list[Span]:
    found: list[Span] = []
    add = found.append
    given = trace_id = ""
    for resource_spans in document.resourceSpans:
        if resource_spans.scopeSpans is None:
            raise ValueError("no scopeSpans: under another name, or none")
        resource = resource_spans.resource
        attributes = _of_structs(resource.attributes) if resource is not None and resource.attributes else {}
        service = str(attributes.get("service.name", ""))
        for scope_spans in resource_spans.scopeSpans:
            for raw in scope_spans.spans or ():
                parent, start_ns, end_ns = raw.parentSpanId, raw.startTimeUnixNano, raw.endTimeUnixNano or 0
                if (start_ns | end_ns) >> _TIME_BITS:  # one of them is negative, or too large
                    raise ValueError("no time: for the thorough way, which says so")
                if raw.traceId != given:  # the same for all spans of a line, as a rule
                    given = raw.traceId
                    if len(given) == _BASE64_LENGTH:
                        raise ValueError("ids in base64: for the thorough way")
                    trace_id = given.lower()
                span_id, status, events = raw.spanId.lower(), raw.status, raw.events
                values = (
                    trace_id,
                    span_id,
                    parent.lower() if parent and parent != _NO_PARENT[-1] else None,
                    raw.name,
                    start_ns,
                    end_ns,
                    _of_structs(raw.attributes) if raw.attributes else _NO_ATTRIBUTES,
                    status is not None and status.code in _STATUS_ERROR,
                    "" if status is None else status.message,
                    service,
                    _events(events) if events else (),
                )
                add(_new(Span, values))
    return found


def _events(raw: Sequence[_RawEvent]) -> tuple[Event, ...]:
    return tuple(Event(each.name, each.timeUnixNano, _of_structs(each.attributes or ())) for each in raw)


def _of_structs(attributes: Sequence[_Attribute]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for attribute in attributes:
        value = attribute.value
        if value is None:
            read[attribute.key] = None
        elif (text := value.stringValue) is not None:
            read[attribute.key] = text
        elif (number := value.intValue) is not None:
            read[attribute.key] = number
        else:
            read[attribute.key] = _rarer(value)
    return read


def _rarer(value: _Value) -> Any:
    if value.boolValue is not None:
        return value.boolValue
    if value.doubleValue is not None:
        return float(value.doubleValue)
    raw = bytes(value.arrayValue)
    if raw:
        plain = _plain_array(raw)
        return _value({"arrayValue": json.loads(raw)}) if plain is None else plain
    raw = bytes(value.kvlistValue)
    return _value({"kvlistValue": json.loads(raw)}) if raw else value.bytesValue


_INTEGERS = (b'{"values":[{"intValue":"', b'"},{"intValue":"', b'"}]}')
_TEXTS = (b'{"values":[{"stringValue":"', b'"},{"stringValue":"', b'"}]}')


def _plain_array(raw: bytes) -> tuple[int, ...] | tuple[str, ...] | None:
    """An array of integers or of texts, without an object for each; None if it is anything else.

    What stands between two values cannot be part of one: in valid JSON a quote within a text has a backslash before it.
    """
    first, between, last = _INTEGERS
    try:
        if raw.startswith(first) and raw.endswith(last):
            return _decode_integers(b"[" + raw[len(first) : -len(last)].replace(between, b",") + b"]")
        if raw.startswith(_TEXTS[0]) and raw.endswith(_TEXTS[-1]):
            return _texts(raw) if len(raw) <= _LONGEST_KEPT else _texts.__wrapped__(raw)
    except (msgspec.MsgspecError, ValueError):
        return None
    return None


@lru_cache(maxsize=1000)  # mostly the same few: why generation ended, what was set in the request
def _texts(raw: bytes) -> tuple[str, ...]:
    first, between, last = _TEXTS
    return _decode_texts(b'["' + raw[len(first) : -len(last)].replace(between, b'","') + b'"]')


# --- the thorough way ------------------------------------------------------------------------------------


def _spans_of(document: dict[str, Any]) -> Iterator[Span]:
    for resource_spans in _objects(document["resourceSpans"], "resourceSpans"):
        resource = _attributes(_object(resource_spans.get("resource") or {}, "resource").get("attributes"))
        service = str(resource.get("service.name", ""))
        for scope_spans in _objects(resource_spans.get("scopeSpans") or [], "scopeSpans"):
            for raw in _objects(scope_spans.get("spans") or [], "spans"):
                yield _span(raw, service)


def _objects(value: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise NotSpans(f"{name} is not a list")
    if not all(isinstance(each, dict) for each in value):
        raise NotSpans(f"{name} holds something that is not an object")
    return value


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotSpans(f"{name} is not an object")
    return value


def _span(raw: dict[str, Any], service: str) -> Span:
    status = _object(raw.get("status") or {}, "status")
    parent = raw.get("parentSpanId") or ""
    if not raw.keys() >= _NEEDED:
        raise NotSpans(f"a span without {min(_NEEDED - raw.keys())}")
    return Span(
        trace_id=_identity(raw["traceId"], "traceId"),
        span_id=_identity(raw["spanId"], "spanId"),
        parent_id=None if parent in _NO_PARENT else _identity(parent, "parentSpanId"),
        name=str(raw.get("name", "")),
        start_ns=_time(raw["startTimeUnixNano"], "startTimeUnixNano"),
        end_ns=_time(raw.get("endTimeUnixNano") or 0, "endTimeUnixNano"),
        attributes=_attributes(raw.get("attributes")),
        failed=status.get("code") in _STATUS_ERROR,
        message=str(status.get("message", "")),
        service=service,
        events=tuple(
            Event(str(each.get("name", "")), int(each.get("timeUnixNano", 0)), _attributes(each.get("attributes")))
            for each in _objects(raw.get("events") or [], "events")
        ),
    )


def _identity(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise NotSpans(f"{name} is not a text")
    return hexadecimal(value)


def _time(value: Any, name: str) -> int:
    try:
        time = int(value)
    except (ValueError, TypeError, OverflowError):
        raise NotSpans(f"{name} is not a time: {_cut(value)}") from None
    if not 0 <= time < _LATEST_NS:
        raise NotSpans(f"{name} is outside of what nanoseconds since 1970 can be: {_cut(value)}")
    return time


def _cut(value: Any) -> str:
    if not isinstance(value, str | int | float):
        return "no number"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _attributes(raw: Any) -> dict[str, Any]:
    found = {}
    for item in _objects(raw or [], "attributes"):
        if "key" not in item:
            raise NotSpans("an attribute without a key")
        found[item["key"]] = _value(_object(item.get("value") or {}, "an attribute's value"))
    return found


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
