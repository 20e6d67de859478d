"""The figures of a report on a small run, worked out on paper."""

import dataclasses

import pandas as pd
import pytest
from build import call, chains, root, step, trace
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import MS, broken_off, small_run, warm_up, with_a_retry, with_engine_timing

from profiler import semconv as sc
from profiler.analysis.phases import PHASES
from profiler.analysis.summary import Compounding, StepRow, summarise
from profiler.analysis.tables import Tables, build_tables


def summary_of(traces):
    return summarise(build_tables(traces))


def test_the_head_of_the_report_is_as_worked_out_on_paper():
    found = summary_of(small_run())
    assert (found.chains, found.failed, found.warmup) == (3, 1, 1)
    assert found.total_ns == 1800 * MS
    assert (found.calls_mean, found.calls_min, found.calls_max) == (2.5, 2, 3)
    assert (found.calls, found.failed_calls, found.failed_tools) == (4, 1, 0)
    assert (found.joined_calls, found.timing_sources) == (1, ("vllm.metrics",))
    assert (found.unstreamed_calls, found.cached_known_calls, found.unused_script_calls) == (1, 2, 0)
    assert found.failures == (("GraphRecursionError", 1),)
    assert found.unaccounted_median_share == pytest.approx((0.43 + 0.75) / 2)
    assert found.e2e_p50.value == 900.0 * MS
    assert found.e2e_p50.n == 2
    assert found.e2e_p95.value == pytest.approx(990 * MS)


def test_the_phases_are_as_worked_out_on_paper():
    found = summary_of(small_run())
    totals = {row.phase: row.total_ns // MS for row in found.phases}
    assert totals == {
        "framework": 210,
        "client": 10,
        "queue": 20,
        "prefill": 60,
        "decode": 200,
        "load": 0,
        "inference": 0,
        "delivery": 80,
        "tool": 90,
        "retry": 100,
        "unaccounted": 1030,
    }
    assert [row.phase for row in found.phases] == list(PHASES)
    assert {row.phase: row.median_ns for row in found.phases}["decode"] == 100.0 * MS
    assert sum(row.total_ns for row in found.phases) == found.total_ns
    assert [row.share for row in found.phases] == [row.total_ns / found.total_ns for row in found.phases]


def test_the_steps_are_as_worked_out_on_paper():
    assert list(summary_of(small_run()).steps) == [
        StepRow(
            position=1,
            node="model",
            kind="call",
            chains=2,
            calls=2,  # the failed attempt is none of them
            time_ns=345.0 * MS,
            share=690 / 1800,
            cumulative_ns=350.0 * MS,
            input_tokens=100.0,
            growth_tokens=None,
            cached_share=0.0,  # 0 of 100; the other chain's engine did not say
            output_tokens=16.0,
            ttft_ns=75.0 * MS,
            tpot_ns=20.0 * MS,
        ),
        StepRow(
            position=2,
            node="model",
            kind="call",
            chains=1,
            calls=1,
            time_ns=400.0 * MS,
            share=400 / 1800,
            cumulative_ns=700.0 * MS,
            input_tokens=130.0,
            growth_tokens=30.0,
        ),
        StepRow(
            position=2,
            node="tools",
            kind="tool",
            chains=1,
            calls=0,
            time_ns=100.0 * MS,
            share=100 / 1800,
            cumulative_ns=500.0 * MS,
        ),
        StepRow(
            position=3,
            node="model",
            kind="call",
            chains=1,
            calls=1,
            time_ns=450.0 * MS,
            share=450 / 1800,
            cumulative_ns=950.0 * MS,
            input_tokens=160.0,
            growth_tokens=60.0,  # over the call before the tool
            cached_share=0.6,
            output_tokens=1.0,
            ttft_ns=200.0 * MS,
            tpot_ns=None,
        ),
    ]


def test_the_slowest_call_is_found_with_where_it_was():
    slowest = summary_of(small_run()).slowest
    assert dataclasses.asdict(slowest) == {
        "trace_id": "aa",
        "span_id": "c2",
        "task_id": "t1",
        "position": 3,
        "node": "model",
        "call_e2e_ns": 430 * MS,
        "ttft_ns": 200 * MS,
        "queue_ns": None,
        "prefill_ns": None,
        "decode_ns": None,
        "load_ns": None,
        "inference_ns": None,
        "output_tokens": 1,
    }


def test_what_a_slowest_call_does_not_know_is_missing():
    slowest = summary_of([with_a_retry()]).slowest
    assert (slowest.span_id, slowest.ttft_ns, slowest.output_tokens) == ("c3", None, None)


def test_delays_compound_over_the_calls_and_tokens_of_the_path():
    compounding = summary_of([with_engine_timing()]).compounding
    assert compounding == Compounding(path_calls=2.0, path_decode_tokens=10.0)
    assert compounding.chain_ns(per_call_ns=100 * MS) == 200 * MS
    assert compounding.chain_ns(per_token_ns=MS) == 10 * MS
    assert compounding.chain_ns(per_call_ns=MS, per_token_ns=MS) == 12 * MS


def test_a_delay_per_token_is_unknown_where_tokens_are():
    compounding = summary_of(small_run()).compounding
    assert compounding == Compounding(path_calls=2.0, path_decode_tokens=None)
    assert compounding.chain_ns(per_call_ns=100 * MS) == 200 * MS
    assert compounding.chain_ns(per_token_ns=MS) is None


@pytest.mark.parametrize("others", [[broken_off()], [warm_up()], [broken_off(), warm_up()]])
def test_failed_and_warm_up_chains_are_in_no_figure(others):
    alone = dataclasses.asdict(summary_of([with_engine_timing(), with_a_retry()]))
    with_others = dataclasses.asdict(summary_of([with_engine_timing(), *others, with_a_retry()]))
    for counted in ("chains", "failed", "warmup", "failures"):
        del alone[counted], with_others[counted]
    assert with_others == alone


def test_a_warm_up_chain_that_failed_is_no_failure_of_the_run():
    built = trace(root(0, 10, {sc.WARMUP: True, sc.ERROR_TYPE: "X"}, failed=True))
    found = summary_of([built])
    assert (found.chains, found.failed, found.warmup, found.failures) == (0, 0, 1, ())


@pytest.mark.parametrize("traces", [[], [broken_off()], [warm_up()]], ids=["none", "failed", "warm-up"])
def test_without_a_good_chain_there_are_no_figures(traces):
    found = summary_of(traces)
    assert found.total_ns == 0
    missing = ("e2e_p50", "e2e_p95", "calls_mean", "calls_min", "slowest", "compounding", "unaccounted_median_share")
    assert [getattr(found, name) for name in missing] == [None] * len(missing)
    assert found.calls == 0
    assert found.steps == []
    assert [row.total_ns for row in found.phases] == [0] * len(PHASES)


def test_a_chain_without_calls_has_no_compounding_and_no_slowest_call():
    found = summary_of([trace(root(0, 10))])
    assert (found.compounding, found.slowest, found.calls_mean) == (None, None, 0.0)


def test_a_failure_without_a_type_is_called_error():
    found = summary_of(
        [trace(root(0, 10, failed=True)), trace(root(0, 10, {sc.ERROR_TYPE: "E"}, failed=True, trace_id="t2"))]
    )
    assert sorted(found.failures) == [("E", 1), ("error", 1)]


def prompt_chain(trace_id, *positions):
    """A chain with a step per position, in which parallel calls have these numbers of prompt tokens."""
    spans = [root(0, 1000, trace_id=trace_id)]
    for number, prompts in enumerate(positions, start=1):
        name = f"s{number}"
        spans.append(step(name, number * 10, number * 10 + 9, number=number, trace_id=trace_id))
        spans += [
            call(f"{name}c{n}", number * 10, number * 10 + 5, name, {sc.INPUT_TOKENS: tokens}, trace_id=trace_id)
            for n, tokens in enumerate(prompts)
        ]
    return trace(*spans)


def test_growth_is_the_median_over_chains_however_many_calls_each_made():
    found = summary_of(
        [
            prompt_chain("t1", [100], [200, 150, 120]),  # grew by 100: the longest prompt counts
            prompt_chain("t2", [100], [110]),
            prompt_chain("t3", [100], [120]),
        ]
    )
    assert [row.growth_tokens for row in found.steps] == [None, 20.0]


def test_growth_over_a_call_without_a_count_is_missing():
    found = summary_of([prompt_chain("t1", [100], [None], [300])])
    assert [row.growth_tokens for row in found.steps] == [None, None, None]


def test_prompts_may_shrink():
    assert [row.growth_tokens for row in summary_of([prompt_chain("t1", [100], [70])]).steps] == [None, -30.0]


@settings(max_examples=10, deadline=None)
@given(st.lists(chains(), max_size=3))
def test_phases_sum_to_the_time_of_all_chains(traces):
    tables = build_tables(traces)
    ids = pd.Series([f"t{number}" for number in range(len(traces))], dtype="string")
    found = summarise(Tables(tables.chains.assign(trace_id=ids), tables.calls[:0], tables.steps[:0]))
    assert sum(row.total_ns for row in found.phases) == found.total_ns
    assert sum(one.root.duration_ns for one in traces if not one.root.failed) == found.total_ns
    if found.total_ns:
        assert sum(row.share for row in found.phases) == pytest.approx(1)


@settings(max_examples=10, deadline=None)
@given(chains())
def test_steps_take_no_more_than_the_chain(trace):
    assert sum(row.share for row in summary_of([trace]).steps) <= 1 + 1e-9
