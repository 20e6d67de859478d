"""What viewers get: gaps, no time of 0, services of their own; all of it undone by an import, to the nanosecond."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))

from jaeger_rule import path_times

from profiler import semconv as sc
from profiler.exchange.documents import attribute, canonical
from profiler.exchange.jaeger_json import trace_of
from profiler.exchange.present import GAP_NS, presented, restored
from traces import BASE, call, chain, item, span_id, traces


def by_name(items):
    return {each.span["name"]: each for each in items}


def times(each):
    return each.start_ns - BASE, each.end_ns - BASE


def test_siblings_that_touch_are_set_apart_by_a_microsecond():
    shown = by_name(presented(chain()))
    assert times(shown["chatq"]) == (0, 99_000)
    assert times(shown["chatp"]) == (100_000, 499_000)
    assert times(shown["chatd"]) == (500_000, 1_000_000)
    assert times(shown["chat"]) == (0, 999_000)  # the tool begins where it ended
    assert times(shown["tool"]) == (1_000_000, 1_500_000)


def test_siblings_less_than_a_microsecond_apart_are_too_and_those_that_overlap_are_not():
    items = [item("root", 0, 9_000), item("a", 0, 2_500, "root"), item("b", 3_000, 5_000, "root")]
    items.append(item("c", 4_900, 8_000, "root"))
    shown = by_name(presented(items))
    assert times(shown["a"]) == (0, 2_000)
    assert times(shown["b"]) == (3_000, 5_000)


def test_a_span_shorter_than_the_gap_never_ends_before_it_begins():
    shown = by_name(presented([item("root", 0, 9_000), item("a", 500, 900, "root"), item("b", 900, 2_000, "root")]))
    assert times(shown["a"]) == (500, 500)


def test_phases_are_of_a_service_that_is_named_as_the_engine():
    shown = by_name(presented(chain()))
    services = {name: attribute(each.resource, "service.name") for name, each in shown.items()}
    assert services == {
        "root": "agent",
        "chat": "agent",
        "tool": "agent",
        "chatq": "vllm",
        "chatp": "vllm",
        "chatd": "vllm",
    }


def test_times_that_are_not_known_are_those_around_them():
    items = [item("root", 0, 9_000), item("a", None, None, "root"), item("b", 1_000, 4_000, "a")]
    shown = by_name(presented(items))
    assert times(shown["a"]) == (1_000, 4_000)
    alone = by_name(presented([item("root", 5, 9_000), item("a", None, None, "root")]))
    assert times(alone["a"]) == (5, 5)


def test_phases_come_below_the_engines_own_span_of_the_request():
    # as siblings: chat |----------------|, request |--------------| over all three phases
    request = item("request", 10_000, 999_500, "chat", service="vllm", kind=2, **{"gen_ai.latency.e2e": 0.9})
    items = [item("root", 0, 2_000_000), *call(), request]
    shown = by_name(presented(items))
    assert {shown[name].span["parentSpanId"] for name in ("chatq", "chatp", "chatd")} == {span_id("request")}
    assert times(shown["request"]) == (0, 1_000_000)
    assert shown["request"].span["parentSpanId"] == span_id("chat")
    spent = path_times(trace_of(presented(items)))
    assert {name: spent.get(name, 0) for name in ("queue", "prefill", "decode")} == {
        "queue": 99,
        "prefill": 399,
        "decode": 500,
    }


def test_without_the_gaps_jaegers_rule_would_lose_queue_and_prefill():
    items = chain()
    assert "prefill" not in path_times(trace_of(items))
    assert path_times(trace_of(presented(items)))["prefill"] == 399


@settings(max_examples=50, deadline=None)
@given(traces())
def test_what_was_changed_is_undone_by_an_import(items):
    before = json.dumps(items)
    shown = presented(items)
    assert [restored(each) for each in shown] == items
    assert json.dumps(items) == before, "the recorded spans are as they were"


@settings(max_examples=50, deadline=None)
@given(traces())
def test_no_exported_time_is_0_or_before_its_start_and_followers_are_apart(items):
    shown = presented(items)
    siblings = {}
    for recorded, each in zip(items, shown, strict=True):
        assert 0 < each.start_ns <= each.end_ns
        siblings.setdefault(each.span.get("parentSpanId"), []).append((recorded, each))
    for group in siblings.values():
        for recorded, one in group:
            for _, other in group:
                followed = 0 < recorded.start_ns < recorded.end_ns <= other.start_ns
                if followed and one is not other and one.end_ns > one.start_ns:
                    assert other.start_ns - one.end_ns >= GAP_NS


def test_attributes_of_the_export_say_what_was_recorded():
    shown = by_name(presented(chain()))
    assert attribute(shown["chatq"].span, sc.EXPORT_END_NS) == BASE + 100_000
    assert attribute(shown["chatd"].span, sc.EXPORT_END_NS) is None
    assert attribute(shown["chatq"].resource, sc.EXPORT_SERVICE) == "agent"


@pytest.mark.parametrize(
    "odd", [{"boolValue": True}, {"intValue": "-1"}, {"intValue": str(1 << 63)}, {"stringValue": "x"}]
)
def test_notes_that_are_no_times_or_ids_are_left_out_and_what_remains_is_readable(odd):
    made = item("a", 0, 10)
    notes = [{"key": name, "value": odd} for name in (sc.EXPORT_START_NS, sc.EXPORT_END_NS, sc.EXPORT_PARENT)]
    marked = made._replace(
        span={**made.span, "attributes": [*made.span.get("attributes", ()), *notes]},
        resource={"attributes": [{"key": sc.EXPORT_SERVICE, "value": {"intValue": "5"}}]},
    )
    back = restored(marked)
    assert (back.start_ns, back.end_ns) == (made.start_ns, made.end_ns)
    assert canonical(back.span) == back.span
    assert back.span.get("parentSpanId") == made.span.get("parentSpanId")
