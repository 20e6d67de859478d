"""Calls that are there twice, as traces of their own; whose chains are whose."""

import random

import pytest
from build import root, span

from profiler import semconv as sc
from profiler.analysis.foreign import trace_of
from profiler.analysis.provenance import provenance, without_strangers, without_twins
from profiler.analysis.tables import build_tables

MS = 1_000_000
KIND = "openinference.span.kind"
TOKENS = {"llm.model_name": "m", "llm.token_count.prompt": 10, "llm.token_count.completion": 5}


def agent(trace_id, *calls, **more):
    spans = [span("root", 0, 1000 * MS, None, {KIND: "AGENT"}, trace_id=trace_id)]
    for number, (start, end) in enumerate(calls):
        attributes = {KIND: "LLM", **TOKENS, **more}
        call = span(f"c{number}", start * MS, end * MS, "root", attributes, trace_id=trace_id)
        spans.append(call._replace(name="ChatOpenAI"))
    return trace_of(spans)


def lone(trace_id, start, end, *, failed=False, **more):
    attributes = {KIND: "LLM", **TOKENS, **more}
    return trace_of([span("x", start * MS, end * MS, None, attributes, trace_id=trace_id, failed=failed)])


def kept(*traces):
    tables, dropped = without_twins(build_tables(traces))
    assert dropped == len(traces) - len(tables.chains)
    return tables.chains["trace_id"].tolist()


def test_a_single_call_within_another_chains_call_is_that_call():
    assert kept(agent("a", (100, 300)), lone("b", 110, 290)) == ["a"]


@pytest.mark.parametrize(
    "other",
    [
        lone("b", 50, 290),
        lone("b", 110, 400),
        lone("b", 110, 290, **{"llm.token_count.prompt": 11}),
        lone("b", 110, 290, **{"llm.token_count.completion": None}),
        lone("b", 110, 290, **{"llm.model_name": "other"}),
        lone("b", 110, 290, failed=True),
    ],
    ids=["begins before", "ends after", "other tokens", "tokens unknown", "another model", "failed"],
)
def test_a_single_call_that_differs_is_a_chain_of_its_own(other):
    assert kept(agent("a", (100, 300)), other) == ["a", "b"]


def test_each_call_has_one_twin_at_most():
    assert kept(agent("a", (100, 300)), lone("b", 110, 290), lone("c", 120, 280)) == ["a", "c"]
    assert kept(agent("a", (100, 300), (101, 301)), lone("b", 110, 290), lone("c", 120, 280)) == ["a"]


def test_two_chains_are_no_twins():
    assert kept(lone("a", 0, 100), lone("b", 10, 90)) == ["a", "b"]


def test_the_first_token_of_the_twin_goes_to_the_call():
    other = lone("b", 110, 290, **{sc.RESPONSE_TTFC: 0.050})
    tables, _ = without_twins(build_tables([agent("a", (100, 300)), other]))
    assert tables.calls["ttft_ns"].tolist() == [60 * MS]
    assert tables.calls["stream"].tolist() == [True]
    assert not any("first tokens" in line for line in provenance(tables.repairs))


def test_all_tables_lose_what_the_twins_have():
    tables, _ = without_twins(build_tables([agent("a", (100, 300)), lone("b", 110, 290)]))
    for table in (tables.chains, tables.calls, tables.steps, tables.tools, tables.gaps, tables.repairs):
        assert set(table["trace_id"]) <= {"a"}
        assert table.index.tolist() == list(range(len(table)))


def test_many_chains_find_their_own_twins():
    spots = list(range(0, 200_000, 400))
    random.Random(5).shuffle(spots)
    traces = [agent(f"a{at}", (at, at + 300)) for at in spots] + [lone(f"b{at}", at + 10, at + 290) for at in spots]
    assert sorted(kept(*traces)) == sorted(f"a{at}" for at in spots)


def test_an_engines_start_beside_chains_is_left_out():
    start = trace_of([span("root", 0, 9 * MS, None, {"code.lineno": 5}, trace_id="s")])
    tables, dropped = without_strangers(build_tables([agent("a", (1, 2)), start]))
    assert (tables.chains["trace_id"].tolist(), dropped) == (["a"], 1)


def test_without_foreign_chains_nothing_is_left_out():
    ours = trace_of([root(0, 9, {sc.TASK_ID: "t"})])
    unknown = trace_of([span("root", 0, 9, None, {}, trace_id="u")])
    tables = build_tables([ours, unknown])
    assert without_strangers(tables) == (tables, 0)
    assert without_twins(tables) == (tables, 0)
    assert list(provenance(tables.repairs)) == []


def test_a_chain_of_our_own_without_a_call_stays_beside_foreign_ones():
    ours = trace_of([root(0, 9, {sc.TASK_ID: "t"}, trace_id="o")])
    tables, dropped = without_strangers(build_tables([agent("a", (1, 2)), ours]))
    assert (sorted(tables.chains["trace_id"]), dropped) == (["a", "o"], 0)


def test_what_some_chains_lack_is_told_with_their_number():
    with_first = agent("a", (100, 300), **{sc.RESPONSE_TTFC: 0.050})
    said = list(provenance(build_tables([with_first, agent("b", (100, 300))]).repairs))
    assert said[0] == "2 chains come from openinference spans: docs/foreign.md says what is read of them"
    assert "first tokens (in 1 of 2 chains)" in said[1]
