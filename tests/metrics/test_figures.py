"""What is measured of a finished chain."""

from __future__ import annotations

import pytest
from chains import call, chain, span, tool

from profiler import semconv as sc
from profiler.metrics import figures
from profiler.metrics import instruments as of
from profiler.metrics.figures import Figures


def taken(*chains):
    """Instrument -> labels -> histogram."""
    all_figures = Figures()
    for each in chains:
        all_figures.take(each)
    found = {}
    for series in all_figures.copy():
        series.histogram.check()
        found.setdefault(series.instrument, {})[series.labels] = series.histogram
    return found


def only(found, instrument):
    (item,) = found[instrument].items()
    return dict(item[0]), item[1]


def test_a_call_has_its_duration_with_the_conventions_attributes():
    labels, histogram = only(taken(chain(call(ms=100))), of.OPERATION_DURATION)
    assert labels == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "asked",
        "gen_ai.response.model": "answered",
        "server.address": "127.0.0.1",
        "server.port": 8000,
    }
    assert (histogram.count, histogram.sum) == (1, pytest.approx(0.100))


def test_a_stream_has_its_first_chunk_every_later_one_and_its_pace():
    found = taken(chain(call()))
    assert only(found, of.FIRST_CHUNK)[1].sum == pytest.approx(0.030)
    gaps = only(found, of.OUTPUT_CHUNK)[1]
    assert (gaps.count, gaps.sum, gaps.least, gaps.most) == pytest.approx((3, 0.010, 0.003, 0.004))
    assert only(found, of.OUTPUT_TOKEN)[1].sum == pytest.approx(0.010 / 3)


def test_what_did_not_stream_has_no_first_chunk():
    whole = {sc.CHUNK_TIMES_US: None, sc.RESPONSE_TTFC: None}
    found = taken(chain(call(changed=whole)))
    assert of.OPERATION_DURATION in found
    assert not {of.FIRST_CHUNK, of.OUTPUT_CHUNK, of.OUTPUT_TOKEN} & set(found)


def test_tokens_are_told_by_type_and_those_that_nobody_counted_are_not():
    (given, was_input), = [(dict(labels), each.sum) for labels, each in
                           taken(chain(call(changed={sc.OUTPUT_TOKENS: None})))[of.TOKEN_USAGE].items()]  # fmt: skip
    assert (given["gen_ai.token.type"], was_input) == ("input", 1000)
    both = taken(chain(call()))[of.TOKEN_USAGE]
    assert {dict(labels)["gen_ai.token.type"]: each.sum for labels, each in both.items()} == {
        "input": 1000,
        "output": 4,
    }


def test_the_engines_own_phases_are_told_apart():
    found = taken(chain(call()))[of.ENGINE_PHASE]
    assert {dict(labels)["profiler.phase"]: round(each.sum, 6) for labels, each in found.items()} == {
        "queue": 0.001,
        "prefill": 0.02,
        "decode": 0.01,
    }


def test_of_a_failed_call_only_duration_and_usage_are_told_with_what_went_wrong():
    found = taken(chain(call(error="ReadError")))
    assert only(found, of.OPERATION_DURATION)[0]["error.type"] == "ReadError"
    assert of.TOKEN_USAGE in found
    assert not {of.FIRST_CHUNK, of.OUTPUT_CHUNK, of.OUTPUT_TOKEN, of.ENGINE_PHASE} & set(found)


def test_an_agents_duration_is_its_root_spans_and_its_calls_and_tools_are_counted():
    found = taken(chain(call(2), call(4, error="429"), tool(3), ms=200), chain(ms=50, error="TimeoutError"))
    good, bad = found[of.AGENT_DURATION].items()
    assert (dict(good[0]), good[1].sum) == ({"gen_ai.agent.name": "react"}, pytest.approx(0.2))
    assert dict(bad[0]) == {"gen_ai.agent.name": "react", "error.type": "TimeoutError"}
    assert only(found, of.AGENT_CALLS)[1].counts[:3] == [1, 1, 0]  # none, and two
    assert (only(found, of.AGENT_CALLS)[1].sum, only(found, of.AGENT_TOOLS)[1].sum) == (2, 1)


def test_a_tool_has_its_name_and_its_agents():
    labels, histogram = only(taken(chain(tool(ms=50, error="ToolException"))), of.TOOL_DURATION)
    assert labels == {
        "gen_ai.tool.name": "search",
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": "react",
        "error.type": "ToolException",
    }
    assert histogram.sum == pytest.approx(0.05)


def test_warm_up_is_in_no_figure():
    assert taken(chain(call(), warmup=True)) == {}


def test_spans_without_a_root_are_no_chain():
    assert taken([call()]) == {}
    assert taken([]) == {}


def test_a_value_leads_to_the_span_that_it_was_measured_at():
    histogram = only(taken(chain(call(2, ms=100))), of.OPERATION_DURATION)[1]
    ((bucket, example),) = histogram.examples.items()
    assert histogram.counts[bucket] == 1
    assert (example.trace_id, example.span_id, example.value) == (7, 2, pytest.approx(0.1))


def test_several_answers_at_once_have_no_pace_of_one():
    assert of.OUTPUT_TOKEN not in taken(chain(call(changed={sc.REQUEST_CHOICES: 2})))


def test_names_from_outside_are_bounded_and_can_be_sent():
    labels, _ = only(taken(chain(call(changed={sc.RESPONSE_MODEL: "\ud800" + "x" * 1000}))), of.OPERATION_DURATION)
    assert len(labels["gen_ai.response.model"].encode()) == 200


def test_ever_new_names_do_not_make_ever_new_series(monkeypatch):
    monkeypatch.setattr(figures, "_MOST_SERIES", 3)
    found = taken(*[chain(tool(name=f"tool {number}")) for number in range(10)])[of.TOOL_DURATION]
    assert sum(each.count for each in found.values()) == 10
    assert [dict(labels) for labels in found][-1] == {"otel.metric.overflow": True}
    assert len(found) == 4


def test_spans_of_other_kinds_are_passed_over():
    step = span(9, {sc.STEP_NODE: "model"}, ms=10, parent=1)
    assert set(taken(chain(step))) == {of.AGENT_DURATION, of.AGENT_CALLS, of.AGENT_TOOLS}
