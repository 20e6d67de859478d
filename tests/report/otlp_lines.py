"""Chains as another program would write them: OTLP JSON lines."""

import json

from report_inputs import manifest


def line_of(trace):
    """One line with all spans of a chain."""
    spans = [
        {
            "traceId": f"{_number(trace.trace_id):032x}",
            "spanId": f"{_number(span.span_id):016x}",
            "parentSpanId": "" if span.parent_id is None else f"{_number(span.parent_id):016x}",
            "name": span.name,
            "startTimeUnixNano": str(span.start_ns),
            "endTimeUnixNano": str(span.end_ns),
            "attributes": [{"key": key, "value": _value(value)} for key, value in span.attributes.items()],
            "status": {"code": 2, "message": span.message} if span.failed else {},
        }
        for span in trace.spans
    ]
    return json.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": spans}]}]}) + "\n"


def write_run(folder, traces, *, with_manifest=True, **facts):
    """A run's folder."""
    folder.mkdir(exist_ok=True)
    (folder / "spans.jsonl").write_text("".join(line_of(trace) for trace in traces), encoding="utf-8")
    if with_manifest:
        count = len([span for trace in traces for span in trace.spans])
        told = manifest(spans={"started": count, "written": count}, **facts)
        (folder / "run.json").write_text(told.model_dump_json(), encoding="utf-8")
    return folder


def _number(name):
    return int.from_bytes(name.encode()[-7:], "big") + 1


def _value(value):
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, tuple):
        return {"arrayValue": {"values": [_value(each) for each in value]}}
    return {"stringValue": value}
