"""The metric tables of a small run, worked out on paper."""

import pandas as pd
import pytest
from build import call, chains, root, span, step, tool, trace
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import MS, small_run, with_a_retry, with_engine_timing

from profiler import semconv as sc
from profiler.analysis.columns import CALL_PHASES
from profiler.analysis.phases import PHASES
from profiler.analysis.schedule import Schedule
from profiler.analysis.tables import TYPES, build_tables, columns_of, tables_of


def plain(frame):
    """Rows as plain values, missing ones as None."""
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def test_a_chains_row_is_as_worked_out_on_paper():
    first, second = plain(build_tables([with_engine_timing(), with_a_retry()]).chains)
    assert first == {
        "trace_id": "aa",
        "task_id": "t1",
        "task_tags": None,
        "repeat": 1,
        "warmup": False,
        "failed": False,
        "error_type": None,
        "start_ns": 0,
        "e2e_ns": 1000 * MS,
        "steps": 3,
        "calls": 2,
        "failed_calls": 0,
        "tools": 1,
        "failed_tools": 0,
        "path_calls": 2,
        "path_decode_tokens": 10,
        "unused_script_calls": 0,
        "framework_ns": 110 * MS,
        "client_ns": 10 * MS,
        "queue_ns": 20 * MS,
        "prefill_ns": 60 * MS,
        "decode_ns": 200 * MS,
        "delivery_ns": 80 * MS,
        "tool_ns": 90 * MS,
        "retry_ns": 0,
        "unaccounted_ns": 430 * MS,
        "load_ns": 0,
        "inference_ns": 0,
        "parallel": False,
        "gain_without_framework_ns": 110 * MS,
        "gain_without_client_ns": 10 * MS,
        "gain_without_queue_ns": 20 * MS,
        "gain_without_prefill_ns": 60 * MS,
        "gain_without_decode_ns": 200 * MS,
        "gain_without_delivery_ns": 80 * MS,
        "gain_without_tool_ns": 90 * MS,
        "gain_without_retry_ns": 0,
        "gain_without_unaccounted_ns": 430 * MS,
        "gain_without_load_ns": 0,
        "gain_without_inference_ns": 0,
    }
    assert second["repeat"] == 2
    assert (second["calls"], second["failed_calls"], second["path_calls"]) == (3, 1, 2)
    assert second["path_decode_tokens"] is None, "one call did not count its tokens"
    spent = {phase: second[f"{phase}_ns"] // MS for phase in PHASES if second[f"{phase}_ns"]}
    assert spent == {"framework": 100, "retry": 100, "unaccounted": 600}


def test_a_calls_row_is_as_worked_out_on_paper():
    first = plain(build_tables([with_engine_timing()]).calls)[0]
    assert first == {
        "trace_id": "aa",
        "span_id": "c1",
        "task_id": "t1",
        "warmup": False,
        "chain_failed": False,
        "index": 1,
        "position": 1,
        "step": "model",
        "node": "model",
        "place": "model",
        "model": "m-served",
        "attempt": 1,
        "failed": False,
        "error_type": None,
        "stream": True,
        "truncated": False,
        "start_ns": 20 * MS,
        "call_e2e_ns": 370 * MS,
        "sent_ns": 10 * MS,
        "ttft_ns": 100 * MS,
        "tpot_ns": 20.0 * MS,  # the engine's 200 ms over 10 tokens: 3 chunks do not say what the first one held
        "tpot_source": "engine",
        "input_tokens": 100,
        "cached_tokens": 0,
        "output_tokens": 11,
        "chunks": 3,
        "queue_ns": 20 * MS,
        "prefill_ns": 60 * MS,
        "decode_ns": 200 * MS,
        "timing_source": "vllm.metrics",
        "path_ns": 370 * MS,
        "path_client_ns": 10 * MS,
        "path_queue_ns": 20 * MS,
        "path_prefill_ns": 60 * MS,
        "path_decode_ns": 200 * MS,
        "path_delivery_ns": 80 * MS,
        "path_unaccounted_ns": 0,
        "path_load_ns": 0,
        "path_inference_ns": 0,
        "load_ns": None,
        "inference_ns": None,
        "path_retry_ns": 0,
        "slack_ns": 0,
        "drag_ns": 370 * MS,
        "pool_wait_ns": None,
        "connect_ns": None,
        "headers_ns": None,
        "lag_max_ns": None,
        "first_late_ns": 20 * MS,  # 100 - 20 - 60
        "last_chunk_ns": 300 * MS,
        "distinct_arrivals": 3,
        "finish_reason": None,
        "adapted": None,
        "hidden_generation": False,
        "messages": None,
        "kept_messages": None,
        "previous_messages": None,
        "tools_changed": None,
        "broken_at_chars": None,
        "opening_digest": None,
        "opening_chars": None,
        "prompt_chars": None,
        "scripted_tokens": None,
    }


def test_missing_stays_missing_and_is_never_zero():
    rows = {(row["trace_id"], row["span_id"]): row for row in plain(build_tables(small_run()).calls)}
    assert rows["aa", "c1"]["cached_tokens"] == 0
    one_token = rows["aa", "c2"]
    assert (one_token["ttft_ns"], one_token["tpot_ns"]) == (200 * MS, None)
    assert [one_token[name] for name in ("queue_ns", "prefill_ns", "decode_ns", "timing_source")] == [None] * 4
    unstreamed = rows["bb", "c3"]
    assert [unstreamed[name] for name in ("ttft_ns", "tpot_ns", "output_tokens", "cached_tokens")] == [None] * 4
    assert (unstreamed["chunks"], unstreamed["stream"]) == (0, False)
    few_chunks = rows["bb", "c2"]
    assert (few_chunks["tpot_ns"], few_chunks["tpot_source"]) == (None, None), "two chunks of many tokens, no engine"


def test_a_steps_row_is_as_worked_out_on_paper():
    rows = plain(build_tables([with_engine_timing(), with_a_retry()]).steps)
    figures = [
        (
            row["trace_id"],
            row["position"],
            row["node"],
            row["kind"],
            *(row[name] // MS for name in ("start_ns", "end_ns", "path_ns", "cumulative_ns")),
        )
        for row in rows
    ]
    assert figures == [
        ("aa", 1, "model", "call", 10, 400, 390, 400),
        ("aa", 2, "tools", "tool", 400, 500, 100, 500),
        ("aa", 3, "model", "call", 500, 950, 450, 950),
        ("bb", 1, "model", "call", 2000, 2300, 300, 300),
        ("bb", 2, "model", "call", 2300, 2700, 400, 700),
    ]


def test_failed_and_warm_up_chains_have_rows_that_say_so():
    tables = build_tables(small_run())
    chains_ = {row["trace_id"]: row for row in plain(tables.chains)}
    assert {name: (row["failed"], row["warmup"]) for name, row in chains_.items()} == {
        "aa": (False, False),
        "bb": (False, False),
        "cc": (True, False),
        "dd": (False, True),
    }
    assert chains_["cc"]["error_type"] == "GraphRecursionError"
    for rows in (plain(tables.calls), plain(tables.steps)):
        assert {row["trace_id"] for row in rows if row["chain_failed"]} == {"cc"}
        assert {row["trace_id"] for row in rows if row["warmup"]} == {"dd"}


@pytest.mark.parametrize("traces", [[], [trace(root(0, 10))], small_run()], ids=["none", "bare", "small"])
def test_columns_have_the_declared_types_whatever_is_in_them(traces):
    tables = build_tables(traces)
    declared = TYPES
    for name, types in declared.items():
        frame = getattr(tables, name)
        assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == types


def test_no_traces_make_empty_tables():
    tables = build_tables([])
    assert (len(tables.chains), len(tables.calls), len(tables.steps)) == (0, 0, 0)


def test_a_trace_that_knows_nothing_of_the_profiler_has_a_row_too():
    row = plain(build_tables([trace(span("a", 5, 9, None))]).chains)[0]
    assert (row["task_id"], row["repeat"], row["e2e_ns"], row["framework_ns"]) == ("", None, 4, 4)


def test_a_tasks_tags_are_listed_with_commas_and_what_is_no_list_is_none():
    made = [trace(root(0, 9, {sc.TASK_TAGS: tags})) for tags in (("slow", "long-context"), (), "slow")]
    assert [row["task_tags"] for row in plain(build_tables(made).chains)] == ["slow,long-context", None, None]


@settings(max_examples=30, deadline=None)
@given(chains())
def test_the_phases_of_a_row_sum_to_its_end_to_end_time(built):
    row = columns_of([built]).chains
    assert sum(row[f"{phase}_ns"][0] for phase in PHASES) == row["e2e_ns"][0] == built.root.duration_ns


# Plain columns, without typed tables: those take a hundred times as long as the rows of one chain.


@settings(max_examples=50, deadline=None)
@given(chains())
def test_a_rows_phases_sum_to_its_time_on_the_path_and_rows_to_no_more_than_the_chain(built):
    columns = columns_of([built])
    steps = columns.steps
    by_phase = zip(*(steps[f"{phase}_ns"] for phase in PHASES), strict=True)
    assert list(map(sum, by_phase)) == list(steps["path_ns"])
    assert sum(steps["path_ns"]) <= columns.chains["e2e_ns"][0]
    for path_ns, on_path in zip(steps["path_ns"], steps["on_path"], strict=True):
        assert on_path or path_ns == 0
    for table in (steps, columns.calls, columns.tools):
        for path_ns, drag_ns, slack_ns in zip(table["path_ns"], table["drag_ns"], table["slack_ns"], strict=True):
            assert 0 <= drag_ns <= path_ns
            assert slack_ns == 0 or path_ns == 0
    calls = columns.calls
    of_calls = zip(*(calls[f"path_{phase}_ns"] for phase in CALL_PHASES), strict=True)
    assert all(total <= path_ns for total, path_ns in zip(map(sum, of_calls), calls["path_ns"], strict=True))


@settings(max_examples=50, deadline=None)
@given(chains())
def test_gains_are_at_most_the_phases_and_in_a_sequential_chain_equal_to_them(built):
    columns = columns_of([built])
    sequential = Schedule.of(built).sequential
    for phase in PHASES:
        gain, spent = columns.chains[f"gain_without_{phase}_ns"][0], columns.chains[f"{phase}_ns"][0]
        assert 0 <= gain <= spent
        assert gain == spent or not sequential
    for table in (columns.steps, columns.calls, columns.tools) if sequential else ():
        assert table["drag_ns"] == table["path_ns"]


@settings(max_examples=20, deadline=None)
@given(st.lists(chains(), max_size=4))
def test_batches_that_are_joined_are_what_one_batch_would_be(traces):
    whole, batches = columns_of(traces), [columns_of([built]) for built in traces]
    for table in TYPES:
        for name, values in getattr(whole, table).items():
            assert list(values) == [value for batch in batches for value in getattr(batch, table)[name]]


def test_tables_of_batches_are_those_of_one_batch():
    whole, joined = build_tables(small_run()), tables_of([columns_of([built]) for built in small_run()])
    for table in TYPES:
        pd.testing.assert_frame_equal(getattr(whole, table), getattr(joined, table))


def test_a_tools_row_is_as_worked_out_on_paper():
    (row,) = plain(build_tables([with_engine_timing()]).tools)
    assert row == {
        "trace_id": "aa",
        "span_id": "x",
        "task_id": "t1",
        "warmup": False,
        "chain_failed": False,
        "position": 2,
        "step": "tools",
        "tool": "search",
        "failed": False,
        "error_type": None,
        "start_ns": 405 * MS,
        "duration_ns": 90 * MS,
        "path_ns": 90 * MS,
        "slack_ns": 0,
        "drag_ns": 90 * MS,
        "own_ns": 90 * MS,
    }


def test_of_parallel_tools_only_the_last_to_finish_drags():
    """No gain from one that is not the last: the chain waits for the other."""
    built = trace(
        root(0, 100),
        step("s", 0, 100, node="tools"),
        tool("slow", 10, 90, "s"),
        tool("quick", 10, 30, "s"),
        tool("middle", 10, 60, "s"),
    )
    tools = build_tables([built]).tools.set_index("tool")
    assert tools["path_ns"].to_dict() == {"slow": 80, "middle": 0, "quick": 0}
    assert tools["slack_ns"].to_dict() == {"slow": 0, "middle": 30, "quick": 60}
    assert tools["drag_ns"].to_dict() == {"slow": 30, "middle": 0, "quick": 0}


def test_what_a_tool_uses_is_not_its_own_time():
    """A tool that asks a model and another tool: 100 on the path, of which 10, 15 and 5 are its own."""
    built = trace(
        root(0, 100),
        tool("outer", 0, 100, "root"),
        call("c", 10, 40, "outer"),
        tool("inner", 55, 95, "outer"),
    )
    tools = build_tables([built]).tools.set_index("tool")
    assert tools["path_ns"].to_dict() == {"outer": 100, "inner": 40}
    assert tools["own_ns"].to_dict() == {"outer": 30, "inner": 40}


def test_a_row_of_several_spans_drags_as_much_as_all_of_them():
    """Two runs of one node side by side are one row: without it the chain waits for neither."""
    built = trace(
        root(0, 100),
        step("a", 0, 60, node="worker"),
        call("ca", 0, 60, "a"),
        step("b", 0, 40, node="worker"),
        call("cb", 0, 40, "b"),
        step("c", 60, 100, node="join", number=2),
        call("cc", 60, 100, "c"),
    )
    tables = build_tables([built])
    assert list(tables.steps["drag_ns"]) == [60, 40]
    assert list(tables.calls["drag_ns"]) == [20, 0, 40]


def test_repairs_are_counted_by_kind_with_an_example():
    built = trace(root(0, 10), span("a", 1, 2, "gone"), span("b", 1, 2, "gone"), span("c", 3, 12))
    rows = plain(build_tables([built]).repairs)
    assert [(row["kind"], row["count"]) for row in rows] == [("orphan", 2), ("outside-parent", 1)]
    assert rows[0]["detail"] == "span a has an unknown parent: taken as a child of the root"


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([step("s", 0, 50), call("c", 10, 40, "s"), step("t", 50, 90)], False),
        ([call("a", 0, 30), call("b", 30, 60)], False),
        ([call("a", 0, 30), call("b", 29, 60)], True),
        ([tool("a", 0, 30), call("b", 10, 20)], True),
        ([step("s", 0, 90), tool("a", 0, 30, "s"), tool("b", 10, 50, "s")], True),
        ([call("a", 0, 30), span("other", 10, 50)], False),  # not a call, tool or step
        ([call("a", 0, 30), call("b", 10, 10)], False),  # lasted no time
        ([step("s", 0, 50), call("left", 10, 70, "s"), step("t", 50, 90)], True),  # goes on when its step has ended
    ],
)
def test_a_chain_is_parallel_if_two_of_its_calls_tools_or_steps_overlap(spans, expected):
    assert list(build_tables([trace(root(0, 100), *spans)]).chains["parallel"]) == [expected]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(("stop",), "stop"), (("stop", "length", "stop"), "stop,length"), ("stop", "stop"), ((), None), (7, None)],
)
def test_a_finish_reason_is_told_once(value, expected):
    table = build_tables([trace(root(0, 10), call("c", 0, 10, attributes={sc.RESPONSE_FINISH_REASONS: value}))]).calls
    assert plain(table)[0]["finish_reason"] == expected


def test_time_of_a_call_inside_of_a_call_counts_for_both():
    built = trace(
        root(0, 100),
        call("outer", 0, 100, attributes={sc.SENT_NS: 10}),
        tool("x", 20, 80, "outer"),
        call("inner", 30, 70, "x", {sc.SENT_NS: 5}),
    )
    rows = {row["span_id"]: row for row in plain(build_tables([built]).calls)}
    spent = {name: (row["path_client_ns"], row["path_unaccounted_ns"]) for name, row in rows.items()}
    assert spent == {"outer": (15, 65), "inner": (5, 35)}
    assert rows["outer"]["path_ns"] == 100


@settings(max_examples=30, deadline=None)
@given(chains())
def test_every_call_and_tool_is_in_one_row_of_the_steps(built):
    columns = columns_of([built])
    positions, kinds = columns.steps["position"], columns.steps["kind"]
    assert sorted(set(positions)) == list(range(1, len(set(positions)) + 1))
    assert set(columns.calls["position"]) <= set(positions)
    assert set(columns.tools["position"]) <= set(positions)
    with_calls = {position for position, kind in zip(positions, kinds, strict=True) if kind == "call"}
    assert with_calls == set(columns.calls["position"])
    assert len(columns.calls["span_id"]) == sum(one.is_call for one in built.spans)


def test_parallel_nodes_of_a_superstep_share_a_position_and_show_which_was_waited_for():
    built = trace(
        root(0, 100),
        step("a", 0, 40, node="left", number=1),
        call("ca", 5, 35, "a"),
        step("b", 0, 60, node="right", number=1),
        call("cb", 5, 55, "b"),
        step("c", 60, 100, node="join", number=2),
        call("cc", 65, 95, "c"),
    )
    tables = build_tables([built])
    rows = [(row["position"], row["node"], row["start_ns"], row["end_ns"]) for row in plain(tables.steps)]
    assert rows == [(1, "right", 0, 60), (1, "left", 0, 40), (2, "join", 60, 100)]
    assert list(tables.calls["position"]) == [1, 1, 2]
    assert list(tables.steps["path_ns"]) == [60, 0, 40]
    assert list(tables.steps["on_path"]) == [True, False, True]
    assert list(tables.steps["slack_ns"]) == [0, 20, 0]
    assert list(tables.steps["drag_ns"]) == [20, 0, 40]
    assert list(tables.calls["step"]) == ["right", "left", "join"]
    assert list(tables.calls["path_ns"]) == [50, 0, 30]
    assert list(tables.chains["parallel"]) == [True]


def test_parallel_nodes_are_at_one_position_whichever_calls_first():
    for left, right in ((1, 5), (5, 1)):
        built = trace(
            root(0, 100),
            step("a", 0, 40, node="left"),
            call("ca", left, 35, "a"),
            step("b", 0, 60, node="right"),
            call("cb", right, 55, "b"),
        )
        steps = build_tables([built]).steps
        assert dict(zip(steps["node"], steps["position"], strict=True)) == {"left": 1, "right": 1}


def test_a_call_inside_a_tools_own_graph_belongs_to_the_tools_step():
    built = trace(
        root(0, 100),
        step("s", 0, 100, node="tools"),
        tool("x", 0, 100, "s"),
        step("inner", 10, 90, "x", node="writer"),
        call("c", 20, 80, "inner"),
    )
    tables = build_tables([built])
    assert [(row["node"], row["kind"]) for row in plain(tables.steps)] == [("tools", "call")]
    assert list(tables.calls["node"]) == ["tools"]


def test_without_a_graph_each_call_is_a_position_and_its_attempts_share_it():
    def attributes(ordinal, attempt):
        return {sc.CALL_PLACE: "", sc.CALL_ORDINAL: ordinal, sc.CALL_ATTEMPT: attempt}

    built = trace(
        root(0, 100),
        call("a", 0, 20, attributes=attributes(1, 1), failed=True),
        call("b", 30, 50, attributes=attributes(1, 2)),
        tool("x", 50, 60),
        call("c", 60, 90, attributes=attributes(2, 1)),
    )
    tables = build_tables([built])
    assert [(row["position"], row["node"], row["kind"]) for row in plain(tables.steps)] == [
        (1, "call", "call"),
        (2, "x", "tool"),
        (3, "call", "call"),
    ]
    assert list(tables.calls["position"]) == [1, 1, 3]
    assert list(tables.chains["path_calls"]) == [2]


def test_calls_that_do_not_say_which_they_are_are_positions_of_their_own():
    built = trace(root(0, 100), call("a", 0, 20), call("b", 30, 50))
    assert list(build_tables([built]).calls["position"]) == [1, 2]


def test_a_chain_of_very_many_calls_has_a_position_for_each():
    count = 5_000
    built = trace(root(0, 2 * count), *(call(f"c{n}", 2 * n, 2 * n + 1) for n in range(count)))
    tables = build_tables([built])
    assert list(tables.calls["position"]) == list(range(1, count + 1))
    assert set(tables.steps["kind"]) == {"call"}


def test_cumulative_time_ends_with_the_chain():
    built = trace(root(0, 50), step("s", 10, 90), call("c", 10, 90, "s"))
    assert list(build_tables([built]).steps["cumulative_ns"]) == [50]


def test_what_a_call_or_tool_calls_in_its_turn_is_part_of_its_row():
    """Each piece of the path is in one row: rows never add up to more than the chain.

    call  |--------- chat ---------|
    tool     |--- search ---|
    step       |- model -|
    call         |-c2-|
    """
    built = trace(
        root(0, 100),
        call("c1", 0, 90),
        tool("search", 10, 60, "c1"),
        step("s", 20, 50, "search"),
        call("c2", 25, 45, "s"),
    )
    rows = build_tables([built]).steps
    assert list(zip(rows["position"], rows["node"], rows["path_ns"], strict=True)) == [(1, "call", 90)]
