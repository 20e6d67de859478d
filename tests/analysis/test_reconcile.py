"""The engine's log and the trace tell of the same calls."""

from __future__ import annotations

from profiler import semconv as sc
from profiler.analysis.model import Span
from profiler.analysis.reconcile import reconcile
from profiler.analysis.tables import build_tables
from profiler.analysis.tree import build_trace
from profiler.truth import CLIENT_GONE, FAULTED, Truth


def span(span_id: str, parent: str | None = "root", *, failed: bool = False, operation: str = "chat", **more) -> Span:
    attributes = {sc.OPERATION: operation, **more.get("attributes", {})}
    return Span("t", span_id, parent, span_id, 0, 10, attributes, failed=failed)


def truth(span_id: str | None, outcome: str = "ok") -> Truth:
    return Truth(number=1, id="x", span_id=span_id, path="/", arrival_ns=0, outcome=outcome)


def test_calls_and_requests_are_matched_by_span():
    trace = build_trace(
        [
            span("root", None, operation="invoke_agent"),
            span("good"),
            span("spoilt", failed=True),
            span("believed"),
            span("refused", failed=True),
            span("nowhere"),
        ]
    )
    log = [
        truth("good"),
        truth("spoilt", FAULTED),
        truth("believed", CLIENT_GONE),
        truth("somebody else's"),
        truth(None),
    ]
    found = reconcile(build_tables([trace]).calls, log)
    assert (found.requests, found.recorded) == (5, 3)
    assert found.unseen_failures == 1, "the engine knows of a failure that the trace does not have"
    assert found.unreached == 1, "a refused connection is in no log"
    assert found.lost == 1


def test_calls_that_are_none_of_the_engines_business_are_not_missed():
    elsewhere = span("elsewhere", attributes={sc.CALL_PLACE: "model@api.example:443"})
    here = span("here", attributes={sc.CALL_PLACE: "model"})
    trace = build_trace([span("root", None, operation="invoke_agent"), elsewhere, here])
    assert reconcile(build_tables([trace]).calls, []).lost == 1


def test_a_stream_that_the_agent_left_is_no_failure_that_was_not_seen():
    left = span("left", attributes={sc.CALL_TRUNCATED: True})
    trace = build_trace([span("root", None, operation="invoke_agent"), left])
    assert reconcile(build_tables([trace]).calls, [truth("left", CLIENT_GONE)]).unseen_failures == 0
