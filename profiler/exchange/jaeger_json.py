"""Jaeger's own JSON: what its interface saves and takes by upload, and its `/api/traces` gives.

Times are whole microseconds there, and values are texts, numbers or truth values. So that nothing is lost on the way
back, a span whose times are no whole microseconds carries them as `profiler.export.start_ns` and `…end_ns`, and arrays
are texts of JSON, as Jaeger itself writes them. Tags are those of Jaeger's translation from OTLP: `span.kind`, `error`,
`otel.status_code`, `otel.status_description`, `otel.scope.name`, `otel.scope.version`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from profiler import semconv as sc
from profiler.exchange.documents import Item, Object, attributes, canonical, encoded, wrapped
from profiler.store.dialects import NotSpans

_US: Final = 1000
_KINDS: Final = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
_KIND_NUMBERS: Final = {name: number for number, name in _KINDS.items()}
_STATUS: Final = {1: "OK", 2: "ERROR"}
_STATUS_NUMBERS: Final = {name: number for number, name in _STATUS.items()}
_KIND, _ERROR, _CODE, _DESCRIPTION = "span.kind", "error", "otel.status_code", "otel.status_description"
_SCOPE_NAME, _SCOPE_VERSION = "otel.scope.name", "otel.scope.version"
_OF_STATUS: Final = (_KIND, _ERROR, _CODE, _DESCRIPTION, _SCOPE_NAME, _SCOPE_VERSION, "internal.span.format")
_NAMES_OF_EVENTS: Final = ("event", "message")
_CHILD_OF: Final = "CHILD_OF"
_ARRAYS: Final = (
    sc.INTEGER_LISTS
    | {sc.TASK_TAGS, sc.RESPONSE_FINISH_REASONS, sc.CALL_ADAPTED, sc.EXPORT_ARRAYS}  # known to be arrays
)


def trace_of(items: Sequence[Item]) -> Object:
    """One trace of Jaeger's JSON: an element of `data`."""
    processes: dict[int, str] = {}
    listed: Object = {}
    spans = []
    for item in items:
        key = id(item.resource)
        if key not in processes:
            processes[key] = f"p{len(processes) + 1}"
            listed[processes[key]] = _process(item.resource)
        spans.append(_span(item, processes[key]))
    return {"traceID": items[0].trace_id, "spans": spans, "processes": listed, "warnings": None}


def _process(resource: Object) -> Object:
    found = attributes(resource)
    service = str(found.pop(sc.SERVICE_NAME, "") or "unknown")
    return {"serviceName": service, "tags": _tags(found)}


def _span(item: Item, process: str) -> Object:
    span, found = item.span, attributes(item.span)
    start, end = item.start_ns, max(item.end_ns, item.start_ns)
    for name, exact in ((sc.EXPORT_START_NS, item.start_ns), (sc.EXPORT_END_NS, item.end_ns)):
        if exact % _US:
            found.setdefault(name, exact)
    if item.start_ns % _US and not item.end_ns % _US:
        found.setdefault(sc.EXPORT_END_NS, item.end_ns)  # the length is rounded together with the start
    arrays = [name for name, value in found.items() if isinstance(value, list | dict) and name not in _ARRAYS]
    if arrays:
        found[sc.EXPORT_ARRAYS] = arrays
    tags = _tags(found)
    status = span.get("status") or {}
    kind, code = _KINDS.get(span.get("kind", 0)), _STATUS.get(status.get("code", 0))
    about = {_KIND: kind, _CODE: code, _DESCRIPTION: status.get("message") or None}
    about |= {_SCOPE_NAME: item.scope.get("name") or None, _SCOPE_VERSION: item.scope.get("version") or None}
    tags += _tags({name: value for name, value in about.items() if value is not None})
    if code == "ERROR":
        tags += _tags({_ERROR: True})
    parent = span.get("parentSpanId")
    references = [{"refType": _CHILD_OF, "traceID": item.trace_id, "spanID": parent}] if parent else []
    references += [
        {"refType": "FOLLOWS_FROM", "traceID": link.get("traceId", ""), "spanID": link.get("spanId", "")}
        for link in span.get("links") or ()
    ]
    return {
        "traceID": item.trace_id,
        "spanID": span["spanId"],
        "flags": 1,
        "operationName": str(span.get("name", "")),
        "references": references,
        "startTime": start // _US,
        "duration": end // _US - start // _US,
        "tags": tags,
        "logs": [_log(event) for event in span.get("events") or ()],
        "processID": process,
        "warnings": None,
    }


def _log(event: Object) -> Object:
    fields = {"event": str(event.get("name", "")), **attributes(event)}
    return {"timestamp": int(event.get("timeUnixNano") or 0) // _US, "fields": _tags(fields)}


def _tags(values: dict[str, Any]) -> list[Object]:
    return [_tag(key, value) for key, value in values.items()]


def _tag(key: str, value: Any) -> Object:
    match value:
        case bool():
            return {"key": key, "type": "bool", "value": value}
        case int():
            return {"key": key, "type": "int64", "value": value}
        case float():
            return {"key": key, "type": "float64", "value": value}
        case list() | dict():
            return {"key": key, "type": "string", "value": encoded(value).decode("utf-8", "surrogatepass")}
    return {"key": key, "type": "string", "value": "" if value is None else str(value)}


# --- and back --------------------------------------------------------------------------------------------


def is_jaeger(document: Any) -> bool:
    """Whether it is Jaeger's JSON: a saved trace, an answer of `/api/traces`, or one trace of these."""
    if not isinstance(document, dict):
        return False
    data = document.get("data")
    if isinstance(data, list):
        return any(isinstance(each, dict) and "traceID" in each for each in data)
    return "traceID" in document and isinstance(document.get("spans"), list)


def items_of_jaeger(document: Object) -> Iterator[Item]:
    """Its spans, as OTLP JSON has them.

    Raises:
        NotSpans, or another of `store.parse.MALFORMED`: something in it is not as in Jaeger's JSON.
    """
    for trace in document.get("data", [document]):
        processes = {name: _resource(each) for name, each in (trace.get("processes") or {}).items()}
        for span in trace["spans"]:
            process = span.get("process")
            resource = _resource(process) if process else processes.get(str(span.get("processID")), {})
            yield _item(span, resource)


def _resource(process: Object) -> Object:
    found = {sc.SERVICE_NAME: process.get("serviceName", ""), **_values(process.get("tags"))}
    return {"attributes": _wrapped(found)}


def _item(span: Object, resource: Object) -> Item:
    if "startTime" not in span or "spanID" not in span:
        raise NotSpans("a span without spanID or startTime")
    found = _values(span.get("tags"))
    start_us = int(span["startTime"])
    code = _STATUS_NUMBERS.get(str(found.get(_CODE)), 2 if found.get(_ERROR) in (True, "true") else 0)
    made: Object = {
        "traceId": str(span["traceID"]).rjust(32, "0"),
        "spanId": str(span["spanID"]).rjust(16, "0"),
        "name": str(span.get("operationName", "")),
        "kind": _KIND_NUMBERS.get(str(found.get(_KIND)), 0),
        "startTimeUnixNano": str(start_us * _US),
        "endTimeUnixNano": str((start_us + int(span.get("duration") or 0)) * _US),
    }
    references = [each for each in span.get("references") or () if each.get("spanID")]
    parent = next((each["spanID"] for each in references if each.get("refType") == _CHILD_OF), span.get("parentSpanID"))
    if parent:
        made["parentSpanId"] = str(parent).rjust(16, "0")
    links = [each for each in references if each.get("refType") != _CHILD_OF]
    if links:
        made["links"] = [{"traceId": str(each.get("traceID", "")), "spanId": str(each["spanID"])} for each in links]
    if code:
        made["status"] = {"code": code} | ({"message": found[_DESCRIPTION]} if found.get(_DESCRIPTION) else {})
    if span.get("logs"):
        made["events"] = [_event(each) for each in span["logs"]]
    scope = {"name": found.get(_SCOPE_NAME), "version": found.get(_SCOPE_VERSION)}
    kept = {name: value for name, value in found.items() if name not in _OF_STATUS}
    arrays = kept.pop(sc.EXPORT_ARRAYS, None)
    for name in (*_ARRAYS, *(arrays if isinstance(arrays, list) else ())):
        if name in kept:
            kept[name] = _unpacked(kept[name])
    if kept:
        made["attributes"] = _wrapped(kept)
    return Item(resource, {name: value for name, value in scope.items() if value}, canonical(made))


def _event(log: Object) -> Object:
    fields = _values(log.get("fields"))
    name = next((str(fields.pop(each)) for each in _NAMES_OF_EVENTS if each in fields), "")
    return {"name": name, "timeUnixNano": str(int(log.get("timestamp") or 0) * _US), "attributes": _wrapped(fields)}


def _values(tags: Any) -> dict[str, Any]:
    found = {}
    for tag in tags or ():
        value = tag.get("value")
        kind = tag.get("type")
        if kind == "int64" and isinstance(value, str | float):  # some write 64 bits as a text
            value = int(value)
        elif kind == "float64" and isinstance(value, str | int):
            value = float(value)
        elif kind == "bool" and isinstance(value, str):
            value = value == "true"
        found[str(tag["key"])] = _unpacked(value) if tag["key"] == sc.EXPORT_ARRAYS else value
    return found


def _unpacked(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _wrapped(values: dict[str, Any]) -> list[Object]:
    return [{"key": key, "value": wrapped(value)} for key, value in values.items()]
