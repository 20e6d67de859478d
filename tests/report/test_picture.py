"""One chain as the HTML report draws it."""

import itertools
import json

import pandas as pd
import pytest
from report_inputs import chain, small_run

from profiler import semconv as sc
from profiler.analysis.model import Span
from profiler.analysis.phases import PHASES
from profiler.analysis.tables import build_tables
from profiler.report.distributions import facts_of
from profiler.report.picture import FACTS, KINDS, MOST_ROWS, Packer, picture


def drawn(trace):
    tables = build_tables([trace])
    return picture(trace, facts_of(tables.calls, tables.tools))


def groups(flat, size):
    return [tuple(flat[at : at + size]) for at in range(0, len(flat), size)]


def pieces(row):
    return [(PHASES[phase], start, lasts) for phase, start, lasts in groups(row["pieces"], 3)]


def test_the_path_covers_the_chain_from_end_to_end():
    path = groups(drawn(small_run()[0])["path"], 4)
    assert path[0][2] == 0
    for (_, _, start, lasts), (_, _, following, _) in itertools.pairwise(path):
        assert start + lasts == following
    assert sum(lasts for *_, lasts in path) == 1_000_000


def test_rows_are_steps_calls_and_tools_below_their_parents():
    rows = drawn(small_run()[0])["rows"]
    assert [(row["kind"], row["depth"], row["name"]) for row in rows] == [
        ("step", 0, "model"),
        ("call", 1, "m"),
        ("step", 0, "tools"),
        ("tool", 1, "search"),
        ("step", 0, "model"),
        ("call", 1, "m"),
    ]


def test_a_calls_row_is_cut_by_the_engines_phases():
    call = drawn(small_run()[0])["rows"][1]
    kinds = ["client", "delivery", "queue", "prefill", "decode", "delivery"]
    assert [phase for phase, *_ in pieces(call)] == kinds
    assert sum(lasts for *_, lasts in pieces(call)) == call["lasts"]


def test_other_rows_have_one_kind_of_work():
    rows = drawn(small_run()[0])["rows"]
    assert [phase for phase, *_ in pieces(rows[2])] == ["framework"]
    assert [phase for phase, *_ in pieces(rows[3])] == ["tool"]


def test_what_ran_beside_the_path_has_a_row_and_is_not_on_the_path():
    beside = chain(
        "aa",
        0,
        100,
        [
            Span("", "long", "root", "t", 0, 90, {sc.OPERATION: sc.OP_EXECUTE_TOOL, sc.TOOL_NAME: "long"}),
            Span("", "short", "root", "t", 1, 50, {sc.OPERATION: sc.OP_EXECUTE_TOOL, sc.TOOL_NAME: "short"}),
        ],
    )
    made = drawn(beside)
    assert [row["name"] for row in made["rows"]] == ["long", "short"]
    assert {row for row, *_ in groups(made["path"], 4)} == {-1, 0}
    assert made["rows"][1]["facts"]["slack_us"] == 40_000


def test_a_call_tells_how_busy_the_engine_was_if_that_is_known():
    tables = build_tables(small_run()[:1])
    known = [1, *[None] * (len(tables.calls) - 1)]
    sampled = tables.calls.assign(engine_running=3, engine_waiting=pd.array(known, dtype="Int64"))
    first, second, *_ = facts_of(sampled, tables.tools).values()
    assert (first["engine_running"], first["engine_waiting"]) == (3, 1)
    assert "engine_waiting" not in second
    assert "engine_running" not in next(iter(facts_of(tables.calls, tables.tools).values()))


def test_facts_are_those_of_the_tables_and_missing_ones_are_left_out():
    first, second = (row["facts"] for row in drawn(small_run()[0])["rows"] if row["kind"] == "call")
    assert (first["input_tokens"], first["ttft_us"]) == (100, 100_000)
    assert "tpot_us" not in second
    assert set(first) <= set(FACTS)


def test_a_failed_span_says_why():
    failed = chain("aa", 0, 10, [Span("", "t", "root", "t", 0, 9, {sc.OPERATION: sc.OP_EXECUTE_TOOL}, failed=True)])
    assert drawn(failed)["rows"][0]["failed"] == "failed"


@pytest.mark.parametrize(
    "recorded",
    [
        '[{"role": "assistant", "content": "fine"}]',
        "not JSON",
        "[]",
        '[{"tool_calls": [1]}]',
        "[" * 100_000,
        '{"a": 1}',
    ],
)
def test_a_captured_answer_is_shown_however_it_was_written(recorded):
    call = Span("", "c", "root", "c", 0, 9, {sc.OPERATION: sc.OP_CHAT, sc.OUTPUT_MESSAGES: recorded})
    said = drawn(chain("aa", 0, 10, [call]))["rows"][0]["facts"]["said"]
    assert 0 < len(said) <= 600


def test_short_steps_without_calls_are_counted_and_not_drawn():
    spans = [Span("", f"s{at}", "root", "s", at, at + 1, {sc.STEP_NODE: "n"}) for at in range(5)]
    made = drawn(chain("aa", 0, 1000, spans))
    assert (made["rows"], made["left_out"]) == ([], 5)


def test_of_very_many_spans_the_longest_are_drawn():
    tools = [
        Span("", f"t{at}", "root", "t", at, at + 1 + at % 3, {sc.OPERATION: sc.OP_EXECUTE_TOOL}) for at in range(2000)
    ]
    made = drawn(chain("aa", 0, 3000, tools))
    assert len(made["rows"]) == MOST_ROWS
    assert made["left_out"] == 1600
    assert {row["lasts"] for row in made["rows"]} == {3000}
    assert len(json.dumps(made)) < 500_000


def test_a_deep_chain_is_drawn_and_indented_only_so_far():
    spans = [
        Span("", f"s{at}", f"s{at - 1}" if at else "root", "s", at, 5000 - at, {sc.STEP_NODE: "n"})
        for at in range(2000)
    ]
    made = drawn(chain("aa", 0, 5000, spans))
    assert max(row["depth"] for row in made["rows"]) == 12


def test_packing_keeps_everything_that_is_shown():
    packer = Packer()
    made = drawn(small_run()[0])
    packed = packer.pack(made)
    for row, (kind, depth, name, start, lasts, span, flat, *more) in zip(made["rows"], packed["rows"], strict=True):
        assert (KINDS[kind], depth, packer.names[name]) == (row["kind"], row["depth"], row["name"])
        assert (start, lasts, span, flat) == (row["start"], row["lasts"], row["span"], row["pieces"])
        told = dict(zip(FACTS, more[0], strict=False)) if more else {}
        assert {fact: value for fact, value in told.items() if value is not None} == row.get("facts", {})
    assert packed["path"] == made["path"]
