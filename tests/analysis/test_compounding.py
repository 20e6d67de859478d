"""What delays of calls, tokens and tools do to a chain, and what retries and tools in series cost it."""

from __future__ import annotations

import pytest
from made import MS, call, failed_call, tables, tools

from profiler.analysis.compounding import SECOND, compounding_in_full
from profiler.analysis.measured import Measured
from profiler.analysis.serial import serial_tools


def model(**columns):
    return call(prefill=10, decode=90, **{"input_tokens": 100, "output_tokens": 10, "tpot_ns": 10.0 * MS, **columns})


def compounding(*chains):
    return compounding_in_full(Measured.of(tables(*chains)))


def test_every_call_token_and_tool_on_the_path_adds_its_delay():
    found = compounding(
        [model(), tools(search=5), model()], [model(), tools(search=5), model(), tools(search=5), model()]
    )
    by_name = {each.name: each.chain_ns for each in found.sensitivities}
    assert by_name["every LLM call"] == 2.5 * SECOND
    assert by_name["TTFT"] == 2.5 * MS
    assert by_name["TPOT"] == 2.5 * 9 * MS
    assert by_name["one more output token per call"] == pytest.approx(2.5 * 10 * MS)
    assert by_name["tool search"] == 1.5 * SECOND
    assert all(each.condition for each in found.sensitivities)


def test_a_tool_off_the_path_has_no_part():
    found = compounding([model(), tools(search=5, sql=9)])
    assert "tool search" not in {each.name for each in found.sensitivities}


def test_without_token_counts_nothing_is_said_per_token():
    found = compounding([model(output_tokens=None, tpot_ns=None)])
    assert [each.name for each in found.sensitivities] == ["every LLM call", "TTFT"]


def test_chains_without_calls_do_not_compound():
    assert compounding([tools(search=5)]) is None
    assert compounding() is None


def test_retries_are_counted_with_the_time_they_cost():
    found = compounding([failed_call(40), model()], [model()])
    assert (found.retry_ns, found.retried_chains) == (20 * MS, 1)


def test_tools_in_series_are_counted_with_what_they_would_save():
    found = compounding([model(), tools(serial=True, a=30, b=20)], [model(), tools(a=30, b=20)])
    assert (found.serial_tools_ns, found.serial_chains) == (10 * MS, 1)


def test_tools_of_different_steps_are_in_series_for_a_reason():
    assert serial_tools(Measured.of(tables([tools(a=30), tools(b=20)]))).empty


def test_tools_of_which_two_overlap_are_not_in_series():
    made = tables([tools(serial=True, a=30, b=20, c=10)])
    made.tools.loc[2, "start_ns"] -= 1
    assert serial_tools(Measured.of(made)).empty


def test_tools_between_which_the_model_is_asked_are_in_series_for_a_reason():
    """A node that holds an agent of its own: call, search, call, sql, all in one step."""
    made = tables([tools(serial=True, search=100, sql=120), model(), tools(serial=True, a=30, b=20)])
    assert serial_tools(Measured.of(made))["saved_ns"].to_list() == [100 * MS, 20 * MS]
    made.calls["start_ns"] = 100 * MS
    assert serial_tools(Measured.of(made))["tools"].to_list() == ["a, b"]
    assert compounding_in_full(Measured.of(made)).serial_tools_ns == 20 * MS


def test_a_call_of_another_chain_or_inside_of_a_tool_changes_nothing():
    made = tables([tools(serial=True, a=30, b=20)], [model(), model()])
    made.calls["start_ns"] = [30 * MS, 10 * MS]
    assert len(serial_tools(Measured.of(made))) == 1
    inside = tables([tools(serial=True, a=30, b=20), model()])
    inside.calls["start_ns"] = 10 * MS
    assert len(serial_tools(Measured.of(inside))) == 1
