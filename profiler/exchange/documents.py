"""OTLP JSON as it is, span by span: what is exported keeps every member that it was recorded with.

The analysis reads spans into objects of its own and drops what it does not need (links, flags, scopes). Here nothing
is dropped: a span stays the dictionary that stood in the file, together with the resource and the scope around it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final, NamedTuple

import orjson

from profiler.errors import DataError
from profiler.store.dialects import NotSpans, hexadecimal, normal
from profiler.store.parse import MALFORMED
from profiler.store.reader import LoadedRun

Object = dict[str, Any]

_KINDS: Final = {
    "SPAN_KIND_UNSPECIFIED": 0,
    "SPAN_KIND_INTERNAL": 1,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
}
_STATUS: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_NO_PARENT: Final = (None, "", "0" * 16)
_TIMES: Final = ("startTimeUnixNano", "endTimeUnixNano")
_ODD_FLOATS: Final = {float("inf"): "Infinity", float("-inf"): "-Infinity"}
_BITS: Final = 64
_UTF8: Final = ("utf-8", "backslashreplace")


class Item(NamedTuple):
    """One span with what stands around it, all as in OTLP JSON."""

    resource: Object  # {"attributes": […]}
    scope: Object  # {"name": …, "version": …}
    span: Object
    schema_url: str = ""  # of the scope

    @property
    def trace_id(self) -> str:
        """Hexadecimal."""
        return str(self.span["traceId"])

    @property
    def start_ns(self) -> int:
        """Epoch nanoseconds; 0 if it is not known."""
        return int(self.span["startTimeUnixNano"])

    @property
    def end_ns(self) -> int:
        """Epoch nanoseconds; 0 if it is not known."""
        return int(self.span["endTimeUnixNano"])


def items_of(document: Any) -> Iterator[Item]:
    """Spans of one document, ids in hexadecimal, times as texts, enumerations as numbers.

    Raises:
        NotSpans, or another of `store.parse.MALFORMED`: it is not OTLP JSON.
    """
    for resource_spans in _objects(normal(document)["resourceSpans"]):
        resource = resource_spans.get("resource") or {}
        for scope_spans in _objects(resource_spans.get("scopeSpans")):
            scope = scope_spans.get("scope") or {}
            url = str(scope_spans.get("schemaUrl") or resource_spans.get("schemaUrl") or "")
            for span in _objects(scope_spans.get("spans")):
                yield Item(resource, scope, canonical(span), url)


def _objects(value: Any) -> list[Object]:
    found = value if value is not None else []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise NotSpans("a list of objects is expected where something else stands")
    return found


def canonical(span: Object) -> Object:
    """The span as OTLP JSON wants it, whichever way it was written.

    Raises:
        NotSpans: it lacks an id or a start, or they are none.
    """
    missing = [name for name in ("traceId", "spanId", "startTimeUnixNano") if span.get(name) in (None, "")]
    if missing:
        raise NotSpans(f"a span without {missing[0]}")
    made = dict(span)
    made["traceId"], made["spanId"] = _identity(span["traceId"]), _identity(span["spanId"])
    parent = span.get("parentSpanId")
    if parent in _NO_PARENT or _identity(parent) in _NO_PARENT:
        made.pop("parentSpanId", None)
    else:
        made["parentSpanId"] = _identity(parent)
    for name in _TIMES:
        time = int(span.get(name) or 0)
        if not 0 <= time < 1 << _BITS - 1:
            raise NotSpans(f"{name} is outside of what nanoseconds since 1970 can be")
        made[name] = str(time)
    if "kind" in span:
        made["kind"] = _KINDS.get(span["kind"], 0) if isinstance(span["kind"], str) else span["kind"]
    status = span.get("status")
    if isinstance(status, dict) and isinstance(status.get("code"), str):
        made["status"] = {**status, "code": _STATUS.get(status["code"], 0)}
    return made


def _identity(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise NotSpans("an id is not a text")
    return hexadecimal(value)


def document(items: Iterable[Item]) -> Object:
    """One document of OTLP JSON, spans of one resource and scope together, in the order of their coming."""
    resources: dict[str, tuple[Object, dict[str, Object]]] = {}
    keys: dict[int, str] = {}  # of objects: nearly all spans share theirs

    def key_of(value: Object) -> str:
        found = keys.get(id(value))
        if found is None:
            found = keys[id(value)] = json.dumps(value, sort_keys=True)
        return found

    items = list(items)  # so that no object goes, and its number to another
    for resource, scope, span, url in items:
        _, scopes = resources.setdefault(key_of(resource), (resource, {}))
        around = scopes.setdefault(key_of(scope) + url, {"scope": scope, "spans": []})
        if url:
            around["schemaUrl"] = url
        around["spans"].append(span)
    return {
        "resourceSpans": [
            {"resource": resource, "scopeSpans": list(scopes.values())} for resource, scopes in resources.values()
        ]
    }


def line_of(items: Iterable[Item]) -> bytes:
    """The same as a line, with its line break."""
    return encoded(document(items)) + b"\n"


def encoded(value: Any) -> bytes:
    """JSON in UTF-8; half a surrogate pair, which UTF-8 cannot have, stands as an escape."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half a surrogate pair, or an integer of more than 64 bits
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(*_UTF8)


def by_trace(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Trace id -> its spans, both in the order of their coming."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.trace_id, []).append(item)
    return groups


def traces_of(run: LoadedRun) -> Iterator[list[Item]]:
    """Every trace of a run, whole, in the order of the file; no more than those that are spread over lines at once.

    Raises:
        DataError: the file has changed since it was loaded, or cannot be read.
    """
    index = run.index
    lines = list(zip(index["offset"].to_pylist(), index["length"].to_pylist(), strict=True))
    ids: list[str] = index["trace_id"].to_pylist()
    left: dict[str, int] = {}
    for trace_id in ids:
        left[trace_id] = left.get(trace_id, 0) + 1
    waiting: dict[str, list[Item]] = {}
    at, found = -1, {}
    try:
        with run.spans_path.open("rb") as file:
            for (offset, length), trace_id in zip(lines, ids, strict=True):
                if offset != at:
                    file.seek(offset)
                    at, found = offset, by_trace(items_of(loads(file.read(length))))
                waiting.setdefault(trace_id, []).extend(found.get(trace_id, ()))
                left[trace_id] -= 1
                if not left[trace_id]:
                    yield waiting.pop(trace_id)
    except OSError as error:
        raise DataError(f"cannot read {run.spans_path}: {error.strerror}") from error
    except MALFORMED as error:
        raise DataError(f"{run.spans_path} has changed while it was read", remedy="give the command again") from error


def loads(text: bytes) -> Any:
    """JSON, also what orjson refuses and Python reads: NaN, half a surrogate pair, integers of any size."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


# --- attributes ------------------------------------------------------------------------------------------


def attribute(of: Mapping[str, Any], name: str) -> Any:
    """An attribute's value as Python has it; None if it is not there."""
    for each in of.get("attributes") or ():
        if each.get("key") == name:
            return plain(each.get("value"))
    return None


def attributes(of: Mapping[str, Any]) -> dict[str, Any]:
    """All of them, as Python has them."""
    return {str(each.get("key")): plain(each.get("value")) for each in of.get("attributes") or ()}


def plain(value: Any) -> Any:
    """One of OTLP's values as Python has it."""
    if not isinstance(value, dict):
        return None
    if "intValue" in value:
        return int(value["intValue"])
    if "doubleValue" in value:
        return float(value["doubleValue"])
    if "arrayValue" in value:
        return [plain(each) for each in value["arrayValue"].get("values") or ()]
    if "kvlistValue" in value:
        return {each["key"]: plain(each.get("value")) for each in value["kvlistValue"].get("values") or ()}
    return next((value[name] for name in ("stringValue", "boolValue", "bytesValue") if name in value), None)


def wrapped(value: Any) -> Object:
    """The other way round."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return (
                {"intValue": str(value)} if -(1 << _BITS - 1) <= value < 1 << _BITS - 1 else {"stringValue": str(value)}
            )
        case float():
            return {"doubleValue": value if isfinite(value) else _ODD_FLOATS.get(value, "NaN")}
        case list() | tuple():
            return {"arrayValue": {"values": [wrapped(each) for each in value]}}
        case dict():
            return {
                "kvlistValue": {"values": [{"key": str(key), "value": wrapped(each)} for key, each in value.items()]}
            }
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
    return {} if value is None else {"stringValue": str(value)}


def with_attributes(of: Object, changes: Mapping[str, Any]) -> Object:
    """A copy with attributes set, each in its place; those that become None are taken out."""
    listed = of.get("attributes") or ()
    there = {each.get("key") for each in listed}
    made = [
        each if each.get("key") not in changes else {"key": each["key"], "value": wrapped(changes[each["key"]])}
        for each in listed
        if each.get("key") not in changes or changes[each["key"]] is not None
    ]
    made += [
        {"key": key, "value": wrapped(value)}
        for key, value in changes.items()
        if value is not None and key not in there
    ]
    return {**of, "attributes": made} if made else {name: value for name, value in of.items() if name != "attributes"}


def spans_in(groups: Iterable[Sequence[Item]]) -> int:
    """How many spans there are."""
    return sum(map(len, groups))
