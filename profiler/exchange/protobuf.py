"""OTLP JSON to OTLP's protobuf messages.

`google.protobuf.json_format` does the same several times slower, and wants ids in base64.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from profiler.exchange.documents import Object


def request_of(document: Object) -> ExportTraceServiceRequest:
    """The message that is sent for a document whose spans are canonical (`documents.canonical`)."""
    return ExportTraceServiceRequest(resource_spans=map(_resource_spans, document["resourceSpans"]))


def _resource_spans(raw: Object) -> ResourceSpans:
    resource = raw.get("resource") or {}
    return ResourceSpans(
        resource=Resource(attributes=_attributes(resource.get("attributes"))),
        scope_spans=map(_scope_spans, raw.get("scopeSpans") or ()),
        schema_url=raw.get("schemaUrl") or "",
    )


def _scope_spans(raw: Object) -> ScopeSpans:
    scope = raw.get("scope") or {}
    return ScopeSpans(
        scope=InstrumentationScope(
            name=_text(scope.get("name")),
            version=_text(scope.get("version")),
            attributes=_attributes(scope.get("attributes")),
        ),
        spans=map(_span, raw.get("spans") or ()),
        schema_url=raw.get("schemaUrl") or "",
    )


def _span(raw: Object) -> Span:
    return Span(
        trace_id=_id(raw.get("traceId")),
        span_id=_id(raw.get("spanId")),
        parent_span_id=_id(raw.get("parentSpanId")),
        trace_state=_text(raw.get("traceState")),
        flags=int(raw.get("flags") or 0),
        name=_text(raw.get("name")),
        kind=raw.get("kind") or 0,  # type: ignore[arg-type]
        start_time_unix_nano=int(raw.get("startTimeUnixNano") or 0),
        end_time_unix_nano=int(raw.get("endTimeUnixNano") or 0),
        attributes=_attributes(raw.get("attributes")),
        dropped_attributes_count=int(raw.get("droppedAttributesCount") or 0),
        events=[
            Span.Event(
                name=_text(each.get("name")),
                time_unix_nano=int(each.get("timeUnixNano") or 0),
                attributes=_attributes(each.get("attributes")),
            )
            for each in raw.get("events") or ()
        ],
        links=[
            Span.Link(
                trace_id=_id(each.get("traceId")),
                span_id=_id(each.get("spanId")),
                trace_state=_text(each.get("traceState")),
                attributes=_attributes(each.get("attributes")),
            )
            for each in raw.get("links") or ()
        ],
        status=_status(raw["status"]) if raw.get("status") else None,
    )


def _status(raw: Object) -> Status:
    code: Any = raw.get("code") or 0
    return Status(code=code, message=_text(raw.get("message")))


def _id(value: Any) -> bytes:
    try:
        return bytes.fromhex(value or "")
    except ValueError:  # an id of some other kind, of a test perhaps
        return str(value).encode()


def _text(value: Any) -> str:
    """Half a surrogate pair, which protobuf refuses, becomes a question mark."""
    text = "" if value is None else str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _attributes(raw: Iterable[Object] | None) -> list[KeyValue]:
    return [KeyValue(key=_text(each.get("key")), value=_value(each.get("value"))) for each in raw or ()]


def _value(raw: Any) -> AnyValue:
    made = AnyValue()
    if not isinstance(raw, dict):
        return made
    if "stringValue" in raw:
        made.string_value = _text(raw["stringValue"])
    elif "intValue" in raw:
        made.int_value = int(raw["intValue"])
    elif "doubleValue" in raw:
        made.double_value = float(raw["doubleValue"])
    elif "boolValue" in raw:
        made.bool_value = bool(raw["boolValue"])
    elif "arrayValue" in raw:
        made.array_value.values.extend(map(_value, raw["arrayValue"].get("values") or ()))
        made.array_value.SetInParent()
    elif "kvlistValue" in raw:
        made.kvlist_value.values.extend(_attributes(raw["kvlistValue"].get("values")))
        made.kvlist_value.SetInParent()
    elif "bytesValue" in raw:
        made.bytes_value = base64.b64decode(raw["bytesValue"])
    return made
