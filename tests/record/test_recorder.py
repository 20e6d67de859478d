"""Spans while they are recorded, and what the sinks get of them."""

from __future__ import annotations

from opentelemetry.trace import SpanKind, StatusCode

from profiler.record.recorder import Recorder


def recorder_with(batches):
    return Recorder(service_name="agent", resource={"host.name": "h"}, sinks=[batches.append])


def test_a_chain_is_handed_on_when_it_is_delivered_and_only_once():
    batches = []
    with recorder_with(batches) as recorder:
        root = recorder.start_trace("root", {"a": 1}, 100)
        root.child("child", SpanKind.CLIENT, {}, 110).end(120)
        root.end(130)
        assert batches == []
        recorder.deliver(root.trace_id)
        recorder.deliver(root.trace_id)
    ((child, top),) = batches
    assert [(span.name, span.start_time, span.end_time) for span in (child, top)] == [
        ("child", 110, 120),
        ("root", 100, 130),
    ]
    assert child.parent.span_id == top.context.span_id
    assert child.context.trace_id == top.context.trace_id
    assert top.resource.attributes == {"service.name": "agent", "host.name": "h"}
    assert recorder.spans_started == 2


def test_a_span_fails_with_or_without_words():
    batches = []
    with recorder_with(batches) as recorder:
        for error in (None, "", "no such file"):
            span = recorder.start_trace("root", {}, 1)
            span.error = error
            span.end(2)
            recorder.deliver(span.trace_id)
    statuses = [batch[0].status for batch in batches]
    assert [status.status_code for status in statuses] == [StatusCode.UNSET, StatusCode.ERROR, StatusCode.ERROR]
    assert [status.description for status in statuses] == [None, None, "no such file"]


def test_ids_differ_and_are_never_zero():
    with recorder_with([]) as recorder:
        spans = [recorder.start_trace("root", {}, 1) for _ in range(1000)]
    assert len({span.trace_id for span in spans}) == len({span.span_id for span in spans}) == 1000
    assert all(span.trace_id and span.span_id for span in spans)


def test_an_agent_that_seeds_random_does_not_make_runs_share_ids():
    import random

    ids = []
    for _ in range(2):
        random.seed(1)
        with recorder_with([]) as recorder:
            ids.append(recorder.start_trace("root", {}, 1).trace_id)
    assert ids[0] != ids[1]


def test_what_ends_after_its_chain_is_handed_on_at_the_end():
    batches = []
    with recorder_with(batches) as recorder:
        root = recorder.start_trace("root", {}, 1)
        late = root.child("late", SpanKind.INTERNAL, {}, 1)
        root.end(2)
        recorder.deliver(root.trace_id)
        late.end(3)
        assert len(batches) == 1
    assert [span.name for span in batches[1]] == ["late"]
