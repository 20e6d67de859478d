"""Traces of other instrumentations: recorded ones (tests/data/foreign/record.py), and what may stand in a span."""

import functools
import json
import time
from pathlib import Path

import pytest
from build import call, root, span, step, tool
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler import semconv as sc
from profiler.analysis.critical_path import check, critical_path
from profiler.analysis.foreign import adopt, trace_of
from profiler.analysis.lineage import downwards, nearest, parents
from profiler.analysis.model import Event, Span
from profiler.analysis.phases import classify
from profiler.analysis.summary import summarise
from profiler.analysis.tables import build_tables, columns_of
from profiler.report.caveats import caveats
from profiler.store.reader import load_run

RECORDED = Path(__file__).parents[1] / "data" / "foreign"
MS = 1_000_000
KIND = "openinference.span.kind"
NO_SENDING = "when requests were sent (connecting counts as waiting for the engine)"


@functools.cache
def run_of(name):
    return load_run(RECORDED / f"{name}.jsonl", use_cache=False)


def chain_of(name, calls):
    """The recorded chain with so many calls that ended well."""
    run = run_of(name)
    chains = run.tables.chains
    ids = chains.loc[(chains["calls"] == calls) & ~chains["failed"], "trace_id"].tolist()
    assert len(ids) == 1
    return ids[0]


def rows(name, table, trace_id):
    frame = getattr(run_of(name).tables, table)
    return frame[frame["trace_id"] == trace_id]


ALL = ("genai", "openinference", "traceloop", "genai+openai", "traceloop+openai", "openinference+openai")
WITH_ERROR = ALL[:4]
WITH_STEPS = ("openinference", "traceloop", "traceloop+openai", "openinference+openai")


# --- recorded --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_every_recorded_chain_is_one_chain_with_its_calls_and_tools(name):
    chains = run_of(name).tables.chains
    found = sorted(zip(chains["calls"], chains["failed_calls"], chains["tools"], chains["failed"], strict=True))
    good, broken, fan = (3, 0, 3, False), (2, 1, 2, True), (5, 0, 0, False)
    assert found == ([broken, good, fan] if name in WITH_ERROR else [good, fan])


@pytest.mark.parametrize("name", ALL)
def test_tokens_models_and_reasons_are_those_that_the_engine_told(name):
    calls = rows(name, "calls", chain_of(name, 3))
    assert calls["input_tokens"].tolist() == [20, 80, 120]
    assert calls["cached_tokens"].tolist() == [10, 40, 60]
    assert calls["output_tokens"].tolist() == [9, 9, 9]
    assert set(calls["model"]) == {"tiny"}
    assert calls["finish_reason"].str.removesuffix("s").tolist() == ["tool_call", "tool_call", "stop"]
    assert not calls["failed"].any()


@pytest.mark.parametrize("name", ALL)
def test_tools_are_told_apart_and_the_one_that_failed_failed(name):
    tools = rows(name, "tools", chain_of(name, 3))
    assert sorted(tools["tool"].tolist()[:2]) == ["lookup", "search"]  # at the same time: in either order
    assert tools["tool"].tolist()[2] == "fail"
    assert tools["failed"].tolist() == [False, False, True]
    assert tools["error_type"].tolist()[2] == "ValueError"


@pytest.mark.parametrize("name", WITH_STEPS)
def test_node_spans_are_steps(name):
    steps = rows(name, "steps", chain_of(name, 3))
    assert steps["node"].tolist() == ["model", "tools", "model", "tools", "model"]
    assert steps["position"].tolist() == [1, 2, 3, 4, 5]
    fan = rows(name, "steps", chain_of(name, 5))
    assert sorted(zip(fan["position"], fan["node"], strict=True)) == [
        (1, "one"),
        (1, "three"),
        (1, "two"),
        (2, "gather"),
    ]


@pytest.mark.parametrize("name", ["genai", "genai+openai"])
def test_without_node_spans_each_call_is_a_row(name):
    steps = rows(name, "steps", chain_of(name, 3))
    assert steps["node"].tolist() == ["call", "search", "lookup", "call", "fail", "call"]


@pytest.mark.parametrize("name", ["genai", "genai+openai", "traceloop+openai", "openinference+openai"])
def test_first_tokens_are_read_where_one_of_the_layers_tells_them(name):
    calls = rows(name, "calls", chain_of(name, 3))
    assert (calls["ttft_ns"] > 30 * MS).all()  # what the recorded engine takes
    assert (calls["ttft_ns"] < calls["call_e2e_ns"]).all()
    assert calls["tpot_ns"].isna().all()
    assert calls["stream"].all()


@pytest.mark.parametrize("name", ["openinference", "traceloop"])
def test_first_tokens_that_nobody_told_are_missing(name):
    assert run_of(name).tables.calls["ttft_ns"].isna().all()


@pytest.mark.parametrize("name", ALL)
def test_parallel_branches_are_parallel_and_the_path_sums_to_the_chain(name):
    run = run_of(name)
    fan = rows(name, "chains", chain_of(name, 5)).iloc[0]
    assert fan["parallel"]
    assert fan["path_calls"] == 2
    for trace in run.traces:
        sections = critical_path(trace)
        check(trace, sections)
        phases = classify(trace, sections)
        assert sum(section.duration_ns for section in phases) == trace.root.duration_ns


@pytest.mark.parametrize("name", WITH_ERROR)
def test_the_failed_chain_says_what_failed(name):
    run = run_of(name)
    chains = run.tables.chains
    failed = chains[chains["failed"]].iloc[0]
    assert failed["error_type"].endswith("OpenAIAPIError")
    calls = rows(name, "calls", failed["trace_id"])
    assert calls["failed"].tolist() == [False, True]
    assert calls["error_type"].tolist()[1].endswith("Error")


@pytest.mark.parametrize(
    ("name", "title", "lacks", "has"),
    [
        ("genai", "OpenTelemetry GenAI", ["engine timing", "steps of a graph", NO_SENDING], ["first tokens"]),
        ("openinference", "openinference", ["engine timing", "first tokens", NO_SENDING], ["steps of a graph"]),
        ("traceloop", "Traceloop", ["engine timing", "first tokens", "chunks (no TPOT)"], ["steps of a graph"]),
        ("openinference+openai", "openinference", ["engine timing"], ["first tokens", "steps of a graph"]),
    ],
)
def test_a_report_says_whose_spans_these_are_and_what_they_do_not_tell(name, title, lacks, has):
    run = run_of(name)
    said = caveats(summarise(run.tables), None, run.notes)
    chains = len(run.tables.chains)
    assert f"{chains} chains come from {title} spans: docs/foreign.md says what is read of them" in said
    (told,) = [line for line in said if line.startswith(f"{title} spans do not tell here: ")]
    assert all(part in told for part in lacks)
    assert not any(part in told for part in has)
    assert not any(line.startswith("trace ") for line in said)
    assert not any("--stream" in line for line in said)


def test_the_making_of_an_agent_is_no_chain():
    assert "2 traces have no root span, or nothing of a run in it: left out" in run_of("traceloop").notes


def test_calls_of_two_layers_are_counted_once_and_that_is_said():
    assert "10 calls or tools are recorded by two layers, and counted once" in run_of("genai+openai").notes
    assert "8 calls or tools are recorded by two layers, and counted once" in run_of("traceloop+openai").notes
    twins = "8 traces are single calls that another chain's spans record, too: counted once, there"
    assert twins in run_of("openinference+openai").notes


def test_unsaid_defects_of_a_foreign_trace_are_still_told_for_each_trace():
    orphan = span("o", 2, 3, "nowhere", {KIND: "CHAIN"})
    trace = trace_of([root(0, 9), span("c", 1, 5, "root", {KIND: "LLM"}), orphan])
    assert [repair.kind for repair in trace.repairs] == ["foreign-genai+openinference", "orphan"]


# --- names of any release --------------------------------------------------------------------------------


def adopted_call(attributes, **more):
    (found,) = adopt([span("c", 0, 100 * MS, None, attributes, **more)]).spans
    assert found.is_call
    return found.attributes


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3},
        {"gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 3},
        {"llm.request.type": "chat", "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 3},
        {KIND: "LLM", "llm.token_count.prompt": 7, "llm.token_count.completion": 3},
        {KIND: "llm", "llm.token_count.prompt": "7", "llm.token_count.completion": 3.0},
    ],
)
def test_token_counts_are_read_under_every_name_they_had(attributes):
    found = adopted_call({"gen_ai.request.model": "m", **attributes})
    assert (found[sc.INPUT_TOKENS], found[sc.OUTPUT_TOKENS]) == (7, 3)


def test_old_names_of_the_provider_and_of_cached_tokens_are_read():
    found = adopted_call(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "vllm",
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.cache_read_input_tokens": 4,
            "gen_ai.completion.0.finish_reason": "stop",
        }
    )
    assert (found[sc.PROVIDER], found[sc.CACHED_TOKENS], found[sc.RESPONSE_FINISH_REASONS]) == ("vllm", 4, ("stop",))


def test_cached_tokens_that_are_counted_apart_from_the_prompts_are_missing():
    found = adopted_call({KIND: "LLM", "llm.token_count.prompt": 5, "llm.token_count.prompt_details.cache_read": 90})
    assert sc.CACHED_TOKENS not in found


@pytest.mark.parametrize("seconds", [-1.0, 5.0, float("nan"), float("inf"), "0.01", True, None, (0.01,)])
def test_a_first_chunk_outside_of_the_call_is_missing(seconds):
    found = adopted_call({"gen_ai.operation.name": "chat", sc.RESPONSE_TTFC: seconds})
    assert sc.RESPONSE_TTFC not in found


def test_an_event_gives_the_first_token():
    event = Event("First Token Stream Event", 30 * MS)
    found = adopt([Span("t", "c", None, "ChatCompletion", 10 * MS, 90 * MS, {KIND: "LLM"}, events=(event,))]).spans[0]
    assert found.attributes[sc.RESPONSE_TTFC] == 0.020
    assert found.attributes[sc.REQUEST_STREAM] is True


def test_a_retriever_and_a_nameless_tool_are_tools():
    found = adopt([span("r", 0, 1, None, {KIND: "RETRIEVER"}), span("t", 2, 3, "r", {KIND: "TOOL", "tool.name": 5})])
    assert [(each.is_tool, each.attributes[sc.TOOL_NAME]) for each in found.spans] == [(True, "r"), (True, "t")]


def test_supersteps_that_are_not_told_are_found_by_time():
    task = {"traceloop.span.kind": "task", "traceloop.entity.name": "n"}
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    spans = [span("root", 0, 90, None, {"traceloop.span.kind": "workflow"})]
    for name, start, end in (("a", 0, 20), ("b", 10, 30), ("c", 30, 50)):
        spans += [span(name, start, end, "root", task), span(f"{name}/call", start, end, name, chat)]
    spans.append(span("idle", 60, 70, "root", task))
    found = {each.span_id: each.attributes.get(sc.STEP_NUMBER) for each in adopt(spans).spans}
    assert (found["a"], found["b"], found["c"], found["idle"]) == (1, 1, 2, None)


# --- two layers ------------------------------------------------------------------------------------------


def llm(name, start, end, parent="root", **attributes):
    return span(name, start, end, parent, {KIND: "LLM", "llm.model_name": "m", **attributes})


def chat(name, start, end, parent="root", **attributes):
    return span(name, start, end, parent, {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **attributes})


FOREIGN_ROOT = span("root", 0, 100, None, {"gen_ai.operation.name": "invoke_workflow"})


def calls_of(*spans):
    return [each.span_id for each in adopt([FOREIGN_ROOT, *spans]).spans if each.is_call]


def test_three_layers_of_one_call_are_one():
    assert calls_of(chat("a", 0, 90), llm("b", 1, 80, "a"), chat("c", 2, 70, "b")) == ["a"]


def test_a_call_that_holds_several_is_none():
    assert calls_of(chat("a", 0, 90 * MS), llm("b", 1, 40 * MS, "a"), llm("c", 50 * MS, 80 * MS, "a")) == ["b", "c"]


def test_a_call_below_a_tool_of_a_call_is_another_one():
    between = span("t", 5, 60, "a", {KIND: "TOOL"})
    assert calls_of(chat("a", 0, 90), between, llm("c", 10, 50, "t")) == ["a", "c"]


def test_parallel_calls_of_one_layer_are_no_twins():
    one, other = (chat(name, 0, 90)._replace(name="chat m") for name in ("a", "b"))
    assert calls_of(one, other) == ["a", "b"]
    assert calls_of(one, other, llm("c", 1, 80)) == ["a", "b"]


def test_calls_of_other_tokens_or_another_model_are_no_twins():
    tokens = {"gen_ai.usage.input_tokens": 5}
    assert calls_of(chat("a", 0, 90, **tokens), llm("b", 1, 80, **{"llm.token_count.prompt": 6})) == ["a", "b"]
    assert calls_of(chat("a", 0, 90), llm("b", 1, 80, **{"llm.model_name": "other"})) == ["a", "b"]
    assert calls_of(chat("a", 0, 90, **tokens), llm("b", 1, 80, **{"llm.token_count.prompt": 5})) == ["a"]


def test_a_wide_fan_out_in_two_layers_is_told_apart():
    outer = [chat(f"o{at}", at, 5000 - at)._replace(name="chat m") for at in range(200)]
    inner = [llm(f"i{at}", 300 + at, 4000 + at)._replace(name="ChatOpenAI") for at in range(200)]
    assert calls_of(*outer, *inner) == [each.span_id for each in outer]


def test_thousands_of_siblings_take_no_longer_each_than_a_few():
    def of(count):
        models = [{KIND: "LLM", "llm.model_name": str(at)} for at in range(count)]
        return [FOREIGN_ROOT, *[span(f"c{at}", at, at + count, "root", models[at]) for at in range(count)]]

    few, many = of(200), of(4000)
    assert _timed(lambda: adopt(many), 1) / 4000 < 10 * min(_timed(lambda: adopt(few), 1) for _ in range(3)) / 200


def test_each_call_has_one_twin_at_most():
    assert calls_of(chat("a", 0, 90), llm("b", 1, 80), llm("c", 2, 70)) == ["a", "c"]


def test_a_tool_that_two_layers_record_is_one():
    inner = span("u", 2, 8, "t", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"})
    found = adopt([FOREIGN_ROOT, span("t", 1, 9, "root", {KIND: "TOOL", "tool.name": "t"}), inner]).spans
    assert [each.span_id for each in found if each.is_tool] == ["t"]


# --- vLLM's own spans ------------------------------------------------------------------------------------

LATENCY = {
    "gen_ai.latency.time_in_queue": 0.010,
    "gen_ai.latency.time_in_model_prefill": 0.020,
    "gen_ai.latency.time_in_model_decode": 0.040,
    "gen_ai.latency.e2e": 0.072,
    "gen_ai.usage.prompt_tokens": 11,
    "gen_ai.usage.completion_tokens": 4,
}


def engine_span(parent, start=10 * MS, end=90 * MS, name="llm_request"):
    return Span("t1", name, parent, "llm_request", start, end, LATENCY, service="vllm-server")


def test_the_engines_own_span_is_the_timing_of_the_call_above_it():
    """
    chat           0 |--------------------------------------------------| 100
    POST              5 |------| 20
    llm_request      10    |----------------------------------------| 90
    phases                  12 |queue|22|  prefill  |42|   decode   | 82
    """
    call_span = Span("t1", "c", "root", "chat m", 0, 100 * MS, {"gen_ai.operation.name": "chat"}, service="agent")
    post = Span("t1", "p", "c", "POST", 5 * MS, 20 * MS, {"http.request.method": "POST"}, service="agent")
    trace = trace_of([FOREIGN_ROOT._replace(end_ns=100 * MS), call_span, post, engine_span("p")])
    row = build_tables([trace]).calls.iloc[0]
    assert (row["timing_source"], row["queue_ns"], row["prefill_ns"], row["decode_ns"]) == (
        "vllm.spans", 10 * MS, 20 * MS, 40 * MS
    )  # fmt: skip
    assert (row["input_tokens"], row["output_tokens"]) == (11, 4)
    by_phase = {}
    for section in classify(trace, critical_path(trace)):
        by_phase[section.phase] = by_phase.get(section.phase, 0) + section.duration_ns
    assert by_phase["decode"] == 40 * MS
    assert by_phase["prefill"] == 20 * MS
    assert by_phase["queue"] == 10 * MS
    assert by_phase["delivery"] == 30 * MS
    assert "engine timing" not in trace.repairs[0].detail


def test_a_recorded_run_on_vllm_has_the_engines_timing_and_leaves_its_start_out():
    run = run_of("genai+httpx+vllm")
    calls = run.tables.calls
    assert sorted(run.tables.chains["calls"]) == [1, 2, 2, 2]  # one request was sent by no instrumented client
    assert set(calls["timing_source"]) == {"vllm.spans"}
    assert (calls["prefill_ns"] + calls["decode_ns"] > 50 * MS).all()
    for name in ("prefill", "decode"):  # all of it is on the path: nothing is cut off by the HTTP client's span
        assert (calls[f"path_{name}_ns"] - calls[f"{name}_ns"]).abs().max() < 3000
    assert run.tables.calls["ttft_ns"].notna().sum() == 6
    assert "traces in which nothing is recognised are left out: 1" in run.notes


def test_an_engines_span_that_no_client_recorded_is_a_call_itself():
    table = build_tables([trace_of([engine_span(None)])]).calls
    assert table["timing_source"].tolist() == ["vllm.spans"]
    assert table["decode_ns"].tolist() == [40 * MS]


def test_of_several_requests_below_one_call_none_is_its_timing():
    spans = [FOREIGN_ROOT, chat("c", 0, 90), engine_span("c"), engine_span("c", name="again")]
    assert not any(sc.ENGINE_SOURCE in each.attributes for each in adopt(spans).spans)


# --- our own, and anybody's ------------------------------------------------------------------------------


def our_spans(count):
    return [root(0, 90, {sc.TASK_ID: "t"}), *[step(f"s{at}", at, at + 1) for at in range(count - 1)]]


def test_our_own_spans_are_handed_back_as_they_are():
    spans = [*our_spans(5), call("c", 1, 2, "s1"), tool("x", 2, 3, "s2")]
    found = adopt(spans)
    assert found.spans is spans
    assert (found.convention, found.missing) == (None, ())
    part = [call("c", 1, 2, "s1", {sc.CALL_ORDINAL: 1}), tool("x", 2, 3, "s2")]  # as on a line that lacks the root
    assert adopt(part).spans is part


def test_telling_that_spans_are_our_own_takes_next_to_no_time():
    spans = our_spans(40)
    best, looked_at = (
        min(_timed(work) for _ in range(50))
        for work in (lambda: adopt(spans), lambda: [one.attributes for one in spans])
    )
    assert best < 10 * looked_at


def _timed(work, times=20):
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


NAMES = st.sampled_from(
    [
        KIND, "metadata", "llm.invocation_parameters", "llm.token_count.prompt", "traceloop.span.kind",
        "traceloop.association.properties.langgraph_node", "traceloop.association.properties.langgraph_step",
        "traceloop.entity.name", "llm.request.type", "gen_ai.latency.e2e", "gen_ai.latency.time_in_queue", "tool.name",
        "gen_ai.completion.0.finish_reason", sc.OPERATION, sc.RESPONSE_TTFC, sc.INPUT_TOKENS, sc.OUTPUT_TOKENS,
        sc.REQUEST_MODEL, sc.TOOL_NAME, sc.REQUEST_STREAM, sc.CACHED_TOKENS, sc.RESPONSE_FINISH_REASONS, "other",
    ]
)  # fmt: skip
PLAIN = (
    st.sampled_from(
        ["LLM", "CHAIN", "TOOL", "AGENT", "chat", "execute_tool", "invoke_agent", "task", "workflow", "m", "",
         '{"langgraph_node": "n", "langgraph_step": 1}', '{"langgraph_node": ' + "[" * 3000, '{"langgraph_node": 1}',
         '{"stream": true}', "9" * 30]
    )
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.booleans()
    | st.none()
)  # fmt: skip
VALUES = PLAIN | st.tuples(PLAIN) | st.dictionaries(st.just("k"), PLAIN, max_size=1)


@st.composite
def anybodys_spans(draw):
    ids = st.sampled_from("abcdef")
    return [
        Span(
            "t",
            draw(ids),
            draw(st.none() | ids),
            draw(st.sampled_from(["chat", "x"])),
            start := draw(st.integers(0, 50)),
            draw(st.integers(0, 50) | st.just(start)),
            draw(st.dictionaries(NAMES, VALUES, max_size=4)),
            draw(st.booleans()),
            draw(st.sampled_from(["", "ValueError('x')", "("])),
            draw(st.sampled_from(["", "a", "b"])),
            draw(st.sampled_from([(), (Event("First Token Stream Event", 20, {"exception.type": 5}),)])),
        )
        for _ in range(draw(st.integers(0, 7)))
    ]


@settings(max_examples=60, deadline=None)
@given(anybodys_spans())
def test_whatever_stands_in_spans_they_become_rows_and_stay_as_they_were(spans):
    before = repr(spans)
    trace = trace_of(spans)
    assert repr(spans) == before
    if trace is not None:
        check(trace, critical_path(trace))
        columns_of([trace])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.none() | st.integers(0, 9)), max_size=8))
def test_every_way_up_ends_and_every_span_is_reached_once(links):
    spans = [span(str(name), 0, 1, None if parent is None else str(parent)) for name, parent in links]
    above = parents(spans)
    assert sorted(downwards(above)) == list(range(len(spans)))
    kinds = [at % 2 for at in range(len(spans))]
    for at, found in enumerate(nearest(above, kinds, (1,))):
        up = above[at]
        while up >= 0 and not kinds[up]:
            up = above[up]
        assert found == up


def test_attributes_of_the_recorded_files_hold_nothing_of_the_machine():
    for path in RECORDED.glob("*.jsonl"):
        text = path.read_text(encoding="utf-8")
        assert len(text) < 100_000
        assert not any(part in text for part in ("/home/", "/root/", "site-packages", "host.name"))
        assert all(json.loads(line)["resourceSpans"] for line in text.splitlines())
