"""Findings about the agent's own code: tools and framework."""

from __future__ import annotations

import pandas as pd
import pytest
from made import MS, call, found_in, gap, kinds, only, tables, tools

from profiler.analysis.columns import Tables


def model(**columns):
    return call(prefill=10, decode=90, input_tokens=100, cached_tokens=100, output_tokens=10, **columns)


def test_a_slow_tool_of_three_gains_what_it_takes_longer_than_the_next():
    first = found_in(tables(*[[model(), tools(search=400, sql=100, calculator=20), model()]] * 6))[0]
    assert (first.kind, first.where, first.phase) == ("slow-tool", "tool search", "tool")
    assert first.gain_ns == 300 * MS
    assert "what runs beside it" in first.title


def test_a_slow_tool_that_is_not_the_last_to_finish_gains_nothing():
    findings = found_in(tables(*[[model(), tools(search=395, sql=400), model()]] * 6))
    assert "tool search" not in {finding.where for finding in findings}
    assert "slow-tool" not in kinds(findings)


def side_by_side(**lasting):
    """Tools of which the last one to end is on the path, whatever the others take; a name may be `search__2`."""
    made = tables(*[[model(), tools(**lasting), model()]] * 6)
    longest = max(lasting, key=lasting.get)
    here = made.tools["tool"] == longest
    made.tools.loc[here, ["path_ns", "own_ns"]] = lasting[longest] * MS
    made.tools["tool"] = made.tools["tool"].str.split("__").str[0]
    return made


def test_tools_that_all_take_long_are_named_as_a_step():
    found = found_in(side_by_side(search=400, sql=400))
    step = only(found, "slow-tool-step")
    assert (step.where, step.gain_ns) == ("step 2 (tools)", 400 * MS)
    assert "slow-tool" not in kinds(found)


def test_a_steps_tools_cost_no_more_than_their_own_time():
    """The node takes 100 longer than its tools: that is the node's code, and nobody's tool."""
    made = side_by_side(search=400, sql=400)
    made.steps.loc[made.steps["kind"] == "tool", "drag_ns"] = 500 * MS
    assert only(found_in(made), "slow-tool-step").gain_ns == 400 * MS


def test_a_step_of_one_tool_is_not_named_as_a_step():
    made = tables(*[[model(), tools(search=20), model()]] * 6)
    made.steps.loc[made.steps["kind"] == "tool", "drag_ns"] = 150 * MS
    assert "slow-tool-step" not in kinds(found_in(made))


def test_a_tool_that_runs_beside_itself_gains_all_of_its_time():
    """Each twin has no drag of its own because of the other; together they have."""
    found = found_in(side_by_side(search=400, search__2=400, search__3=390))
    slow = only(found, "slow-tool")
    assert (slow.where, slow.gain_ns) == ("tool search", 400 * MS)
    assert "beside" not in slow.title
    assert "slow-tool-step" not in kinds(found)


def test_twins_beside_another_tool_gain_what_they_take_longer_than_that():
    slow = only(found_in(side_by_side(search=400, search__2=390, sql=100)), "slow-tool")
    assert (slow.where, slow.gain_ns) == ("tool search", 300 * MS)
    assert "what runs beside it" in slow.title


def test_a_tool_is_not_blamed_for_the_calls_and_tools_that_it_uses():
    """An agent as a tool: 500, of which 50 are its own and 90 those of a tool that it uses."""
    made = tables(*[[model(), tools(agent=500), model()]] * 6)
    inner = made.tools.assign(tool="search", own_ns=90 * MS, path_ns=90 * MS, drag_ns=90 * MS, duration_ns=90 * MS)
    inner["start_ns"] += 200 * MS
    made.tools["own_ns"] = 50 * MS
    whole = Tables(made.chains, made.calls, made.steps, pd.concat([made.tools, inner]), made.gaps, made.repairs)
    found = [each for each in found_in(whole) if each.kind == "slow-tool"]
    assert [(each.where, each.gain_ns) for each in found] == [("tool search", 90 * MS), ("tool agent", 50 * MS)]
    assert "without the calls and tools that it uses" in found[1].detail


def test_a_tool_by_itself_gains_all_of_its_time_and_only_if_it_takes_none():
    found = only(found_in(tables(*[[model(), tools(search=100), model()]] * 6)), "slow-tool")
    assert found.gain_ns == 100 * MS
    assert "takes no time" in found.condition


def test_tools_in_series_save_all_but_the_longest():
    found = only(found_in(tables(*[[model(), tools(serial=True, a=100, b=60, c=40), model()]] * 6)), "serial-tools")
    assert (found.gain_ns, found.where) == (100 * MS, "step 2 (tools)")
    assert found.evidence[0].note == "a, b, c"


def test_tools_side_by_side_are_not_in_series():
    assert "serial-tools" not in kinds(found_in(tables(*[[model(), tools(a=100, b=60), model()]] * 6)))


def test_a_nodes_own_time_is_named_with_the_node():
    first = found_in(tables(*[[model(), gap(300, owner="step review"), model()]] * 6))[0]
    assert (first.kind, first.where, first.phase) == ("framework-time", "node review", "framework")
    assert first.gain_ns == 300 * MS


def test_time_between_steps_is_the_graphs_and_time_around_them_nobodys():
    parts = [
        gap(30, "start", "root"),
        model(),
        gap(60, "between steps", "root"),
        model(),
        gap(90, "unattributed", "root"),
    ]
    found = [each for each in found_in(tables(*[parts] * 6)) if each.kind == "framework-time"]
    assert [(each.where, each.gain_ns) for each in found] == [("", 90 * MS), ("between steps", 60 * MS), ("", 30 * MS)]


def test_a_gap_that_a_held_loop_explains_is_the_loops():
    parts = [model(), gap(100, "event loop", "step model"), model()]
    assert kinds(found_in(tables(*[parts] * 6)))[0] == "loop-lag"


def test_hostile_names_are_cut():
    found = found_in(tables(*[[model(), tools(**{"x" * 100_000: 300}), model()]] * 6))[0]
    assert len(found.where) < 100
    assert len(found.title) < 300


@pytest.mark.parametrize("begin", [0, 1_795_000_000_000_000_155])  # since 1970: more than a float can hold
def test_a_nodes_time_is_split_at_its_call(begin):
    parts = [model(), gap(200, owner="step model"), model(), gap(50, owner="step model"), tools(a=1)]
    made = tables(*[parts] * 6)
    made.gaps["position"] = [2, 3] * 6  # the row that comes next: the second call, then the tools
    made.steps.loc[made.steps["position"] == 2, "start_ns"] -= 200 * MS
    made.gaps["start_ns"] = [100 * MS, 400 * MS] * 6
    for table in (made.chains, made.calls, made.steps, made.tools, made.gaps):
        table["start_ns"] += begin
    found = next(each for each in found_in(made) if each.where == "node model")
    assert "200 ms before the node's calls and tools, 50.0 ms after them" in found.detail
    assert "part before the call first" in found.remedy


def test_an_agent_without_steps_is_told_between_which_calls_its_own_code_takes_time():
    parts = [model(), gap(20, "unattributed", "root"), model(), gap(180, "unattributed", "root"), model()]
    made = tables(*[parts] * 6)
    made.chains["steps"] = 0
    made.gaps["position"] = [2, 3] * 6
    made.gaps["after"] = made.gaps["before"] = "call"
    found = only(found_in(made), "framework-time")
    assert found.gain_ns == 200 * MS
    assert "the function's own code, most of it between call 2 and call 3" in found.title
    assert "checkpoint" not in found.remedy + found.detail


def test_a_late_event_loop_is_said_to_be_part_of_it():
    parts = [model(lag_max_ns=70 * MS), gap(100), model(lag_max_ns=70 * MS)]
    found = only(found_in(tables(*[parts] * 6)), "framework-time")
    assert "event loop was late by over 20.0 ms (median 70.0 ms)" in found.detail


def crowd(*, at_once, lag_ms=70):
    """Six chains whose node's code overlaps in time, or that run one after another."""
    parts = [model(lag_max_ns=lag_ms * MS), gap(100), model(lag_max_ns=lag_ms * MS)]
    made = tables(*[{"parts": parts, "start_ns": 0 if at_once else 1000 * MS * number} for number in range(6)])
    return only(found_in(made), "framework-time")


def test_chains_that_run_at_once_in_a_held_loop_wait_for_each_other():
    found = crowd(at_once=True)
    assert "waiting for the other chains in this process" in found.title
    assert "83% of it is waiting for the others" in found.detail, "five of six chains wait at any time"
    assert "fewer chains at once" in found.remedy
    assert "py-spy" not in found.remedy


@pytest.mark.parametrize("options", [{"at_once": False}, {"at_once": True, "lag_ms": 1}], ids=["apart", "free loop"])
def test_chains_that_do_not_hold_each_other_up_are_profiled(options):
    found = crowd(**options)
    assert "other chains" not in found.title
    assert "py-spy" in found.remedy
