"""Engines' own spans in chains that the profiler recorded: a second witness, or the only one."""

import pytest
from build import call, root, span, step

from profiler import semconv as sc
from profiler.analysis.critical_path import check, critical_path
from profiler.analysis.dialects import nanoseconds
from profiler.analysis.engine_spans import DISAGREES, joined
from profiler.analysis.foreign import trace_of
from profiler.analysis.phases import classify
from profiler.analysis.provenance import provenance
from profiler.analysis.reconcile import cross_check
from profiler.analysis.summary import summarise
from profiler.analysis.tables import build_tables
from profiler.report.terminal import head_lines

MS = 1_000_000
BASE = 1_795_650_000_000 * MS
IN_BAND = {
    sc.ENGINE_SOURCE: "vllm.metrics",
    sc.ENGINE_QUEUE_NS: 10 * MS,
    sc.ENGINE_PREFILL_NS: 20 * MS,
    sc.ENGINE_DECODE_NS: 40 * MS,
}


def at(one, *, service):
    """Milliseconds become times of a real clock."""
    return one._replace(start_ns=BASE + one.start_ns * MS, end_ns=BASE + one.end_ns * MS, service=service)


def phase(name, start, end):
    return at(span(f"c/{name}", start, end, "c", {sc.PHASE: name}), service="agent")


def chain(in_band=None, *, failed=False):
    """
    root       0 |-----------------------------------------------------------| 120
    model        |----------------------------------------------------------| 115
    chat           5 |--------------------------------------------------| 100
    phases             12 |queue|22|  prefill  |42|   decode   | 82
    """
    attributes = {sc.CALL_ORDINAL: 1, sc.CALL_PLACE: "model", sc.SENT_NS: 2 * MS, **(in_band or {})}
    phases = [phase("queue", 12, 22), phase("prefill", 22, 42), phase("decode", 42, 82)] if in_band else []
    return [
        at(root(0, 120, {sc.TASK_ID: "t"}), service="agent"),
        at(step("s", 0, 115), service="agent"),
        at(call("c", 5, 100, "s", attributes, failed=failed), service="agent"),
        *phases,
    ]


def engine(start=10, end=90, *, parent="c", queue=0.010, prefill=0.020, decode=0.040, name="e", **more):
    latencies = {"time_in_queue": queue, "time_in_model_prefill": prefill, "time_in_model_decode": decode, "e2e": 0.072}
    attributes = {f"gen_ai.latency.{name}": value for name, value in latencies.items()} | more
    return at(span(name, start, end, parent, attributes), service="vllm")


def calls_of(*spans):
    return build_tables([trace_of(spans)]).calls


def by_phase(trace):
    sections = critical_path(trace)
    check(trace, sections)
    found = {}
    for section in classify(trace, sections):
        found[section.phase] = found.get(section.phase, 0) + section.duration_ns
    return found


def test_a_span_that_says_the_same_as_the_answer_changes_no_figure_but_is_named_as_a_source():
    alone, both = build_tables([trace_of(chain(IN_BAND))]), build_tables([trace_of([*chain(IN_BAND), engine()])])
    assert both.calls["timing_source"].tolist() == ["vllm.metrics+vllm.spans"]
    for table in ("chains", "calls", "steps", "tools", "gaps", "repairs"):
        ours, theirs = getattr(both, table), getattr(alone, table)
        same = [column for column in ours.columns if column != "timing_source"]
        assert ours[same].equals(theirs[same]), table


def test_what_differs_by_over_a_millisecond_is_told_and_what_differs_by_less_is_not():
    near = trace_of([*chain(IN_BAND), engine(queue=0.0109, decode=0.0391)])
    assert near.repairs == ()
    far = trace_of([*chain(IN_BAND), engine(queue=0.0121, decode=0.0389)])
    [told] = far.repairs
    assert (told.kind, told.span_id) == (DISAGREES, "c")
    assert str(told) == "span c: the engine's span differs from its answer: queue by +2.100 ms and decode by -1.100 ms"
    [sentence] = provenance(build_tables([far]).repairs)
    assert sentence.startswith(
        "the engine's timing in its answer and in its span differ by over 1 ms for 1 call: span c"
    )


def test_a_call_that_failed_is_not_compared():
    assert trace_of([*chain(IN_BAND, failed=True), engine(decode=0.9)]).repairs == ()


def test_where_only_the_span_has_timing_the_phases_come_from_it_under_its_own_name():
    trace = trace_of([*chain(), engine()])
    row = build_tables([trace]).calls.iloc[0]
    assert (row["timing_source"], row["queue_ns"], row["prefill_ns"], row["decode_ns"]) == (
        "vllm.spans", 10 * MS, 20 * MS, 40 * MS
    )  # fmt: skip
    found = by_phase(trace)
    assert (found["queue"], found["prefill"], found["decode"]) == (10 * MS, 20 * MS, 40 * MS)
    assert found["client"] == 2 * MS
    assert found["delivery"] == 95 * MS - 70 * MS - 2 * MS
    assert "unaccounted" not in found


def test_a_span_is_joined_through_what_lies_between_it_and_the_call():
    gateway = at(span("g", 8, 95, "c", {sc.OPERATION: sc.OP_CHAT}), service="gateway")
    table = calls_of(*chain(IN_BAND), gateway, engine(parent="g"))
    assert table["span_id"].tolist() == ["c"], "the gateway's span is no call of its own"
    assert table["timing_source"].tolist() == ["vllm.metrics+vllm.spans"]


def test_an_engine_cannot_pass_its_spans_off_as_steps_or_calls():
    claims = {sc.OPERATION: sc.OP_CHAT, sc.STEP_NODE: "evil", sc.TASK_ID: "other"}
    plain, claiming = [*chain(IN_BAND), engine()], [*chain(IN_BAND), engine(**claims)]
    assert by_phase(trace_of(claiming)) == by_phase(trace_of(plain))
    tables = build_tables([trace_of(claiming)])
    assert (len(tables.calls), tables.chains["steps"].tolist(), tables.chains["task_id"].tolist()) == (1, [1], ["t"])


def test_of_several_requests_below_one_call_none_is_taken():
    table = calls_of(*chain(), engine(), engine(name="again"))
    assert table["timing_source"].isna().all()
    assert calls_of(*chain(IN_BAND), engine(), engine(name="again"))["timing_source"].tolist() == ["vllm.metrics"]


def test_joining_what_is_joined_changes_nothing():
    for spans in ([*chain(IN_BAND), engine()], [*chain(), engine()]):
        once, _ = joined(spans)
        twice, repairs = joined(once)
        assert list(twice) == list(once)
        assert repairs == ()


@pytest.mark.parametrize("minutes", [-7, 7, 60 * 24 * 365])
def test_an_engine_whose_clock_is_off_by_minutes_is_joined_and_the_clock_is_told(minutes):
    off = minutes * 60_000
    exact = build_tables([trace_of([*chain(), engine()])])
    shifted = build_tables([trace_of([*chain(), engine(10 + off, 90 + off)])])
    names = [
        "queue_ns",
        "prefill_ns",
        "decode_ns",
        "timing_source",
        "path_queue_ns",
        "path_prefill_ns",
        "path_decode_ns",
    ]
    assert shifted.calls[names].equals(exact.calls[names])
    [sentence] = provenance(shifted.repairs)
    moved = f"{-minutes * 60 + (-0.005 if minutes < 0 else 0.010):+.3f} s"  # to the near end of the call
    assert sentence.startswith(f"another host's clock differs: its spans are moved by {moved} in 1 chain, the least")


def test_one_clock_is_told_once_however_many_chains_there_are():
    off = 90_000
    traces = []
    for number in range(20):
        spans = [one._replace(trace_id=f"t{number}") for one in [*chain(IN_BAND), engine(10 + off, 90 + off)]]
        traces.append(trace_of(spans))
    [sentence] = provenance(build_tables(traces).repairs)
    assert "moved by -89.990 s in 20 chains" in sentence


def test_coverage_is_told_by_source_with_whether_they_agree():
    good = trace_of([*chain(IN_BAND), engine()])
    other = trace_of([one._replace(trace_id="t2") for one in chain(IN_BAND)])
    summary = summarise(build_tables([good, other]))
    assert summary.timing_coverage == (("vllm.metrics", 2), ("vllm.spans", 1))
    joined_line = dict(head_lines(summary))["Joined"]
    told = "engine timing for 2 of 2 calls (100%) from vllm.metrics (2) and vllm.spans (1), which agree within 1 ms"
    assert joined_line == told
    bad = trace_of([one._replace(trace_id="t3") for one in [*chain(IN_BAND), engine(decode=0.05)]])
    joined_line = dict(head_lines(summarise(build_tables([good, other, bad]))))["Joined"]
    assert joined_line.endswith("and vllm.spans (2), which differ by over 1 ms for 1")


def test_the_cross_check_counts_what_was_compared_and_keeps_the_largest_difference():
    traces = [
        trace_of([*chain(IN_BAND), engine(queue=0.0104)]),
        trace_of([*chain(IN_BAND), engine(queue=0.0097, decode=0.042)]),
        trace_of(chain(IN_BAND)),
        trace_of([*chain(), engine()]),
    ]
    found = cross_check(traces)
    assert (found.calls, found.compared) == (4, 2)
    assert found.by_source == {"vllm.metrics": 3, "vllm.spans": 3}
    assert found.most_ns == {"queue": 400_000, "decode": 2_000_000}


# --- TGI -------------------------------------------------------------------------------------------------


def tgi(start=10, end=90, *, queue="10.5ms", inference="60.000001ms", total="0.075s", name="e"):
    attributes = {"total_time": total, "validation_time": "812.4µs", "queue_time": queue}
    attributes |= {"inference_time": inference, "time_per_token": "5.6ms", "seed": "None"}
    return at(span(name, start, end, "c", attributes), service="text-generation-inference.router")


def test_tgis_durations_in_words_become_phases_under_their_own_name():
    trace = trace_of([*chain(), tgi()])
    row = build_tables([trace]).calls.iloc[0]
    assert (row["timing_source"], row["queue_ns"], row["inference_ns"]) == ("tgi.spans", 10_500_000, 60_000_001)
    assert row[["prefill_ns", "decode_ns"]].isna().all(), "TGI does not tell them apart"
    found = by_phase(trace)
    assert (found["queue"], found["inference"]) == (10_500_000, 60_000_001)
    assert "unaccounted" not in found


def test_tgis_span_is_held_against_its_headers_which_are_cut_off():
    headers = {
        sc.ENGINE_SOURCE: "tgi.headers",
        sc.ENGINE_QUEUE_NS: 10 * MS,
        sc.ENGINE_INFERENCE_NS: 59 * MS,
        sc.ENGINE_PRECISION_NS: MS,
    }
    spans = chain()
    spans[2] = spans[2]._replace(attributes=spans[2].attributes | headers)
    near = trace_of([*spans, tgi()])
    assert near.repairs == ()
    assert build_tables([near]).calls["timing_source"].tolist() == ["tgi.headers+tgi.spans"]
    [told] = trace_of([*spans, tgi(inference="61.5ms")]).repairs
    assert "inference by +2.500 ms" in str(told)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("161.45s", 161_450_000_000),
        ("5.6ms", 5_600_000),
        ("812.4µs", 812_400),
        ("812.4μs", 812_400),
        ("45ns", 45),
        ("1.000000001s", 1_000_000_001),
        ("0ns", 0),
        ("5.6", None),
        ("-5.6ms", None),
        ("5.6 ms", None),
        ("ms", None),
        ("1e3ms", None),
        ("9" * 400 + "s", None),
        ("9999999999s", None),
    ],
)
def test_durations_in_words(text, expected):
    assert nanoseconds(text) == expected
