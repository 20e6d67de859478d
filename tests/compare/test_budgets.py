"""Limits: what may be said of each, and what may not."""

import pytest
from compare_inputs import MS, asked, manifest, recorded, tables, tasks

from profiler.compare.budgets import Judged, Limit, Selection, doubted
from profiler.compare.comparison import compare
from profiler.compare.limits import judge_limit, judge_trajectory
from profiler.compare.vocabulary import metrics
from profiler.compare.wholeness import judge_ending
from profiler.report.comparison_words import amount
from profiler.stats.paired import Verdict

REGRESSED, FINE, OPEN = Verdict.REGRESSED, Verdict.NOT_REGRESSED, Verdict.CANNOT_TELL


def limit(metric, made, **bounds):
    return judge_limit(Limit(metric, **bounds), recorded(made), amount)


def test_a_quantile_is_judged_by_its_interval():
    chains = tasks(*[[asked(100 + at)] for at in range(100)])
    assert limit("chain_time.p50", chains, at_most=200 * MS).verdict is FINE
    assert limit("chain_time.p50", chains, at_most=120 * MS).verdict is REGRESSED
    assert limit("chain_time.p50", chains, at_most=150 * MS).verdict is OPEN


def test_a_tail_that_the_chains_have_no_bound_for_cannot_be_told_and_it_says_what_it_takes():
    found = limit("chain_time.p95", tasks(*[[asked()]] * 10), at_most=5000 * MS)
    assert (found.verdict, found.high) == (OPEN, None)
    assert "it takes 72" in found.reason


def test_calls_are_no_more_certain_than_the_chains_that_make_them():
    many = tasks(*[[asked(100 + at) for at in range(20)]] * 5)
    assert limit("call_time.p95", many, at_most=500 * MS).verdict is OPEN


def test_counts_and_shares_are_what_they_are():
    made = tasks([asked(), asked()], [asked()])
    assert limit("llm_calls.max", made, at_most=2).verdict is FINE
    assert limit("llm_calls.max", made, at_most=1).verdict is REGRESSED
    assert limit("llm_calls.mean", made, at_most=1.5).verdict is FINE
    assert limit("cache_hits", made, at_least=0.8).verdict is FINE
    assert limit("cache_hits", made, at_least=0.95).verdict is REGRESSED


def test_failed_chains_count_and_warm_up_does_not():
    made = tables({"parts": [asked()]}, {"parts": [asked()], "failed": True}, {"parts": [asked()], "warmup": True})
    found = limit("failed_chains", made, at_most=0)
    assert (found.verdict, found.value) == (REGRESSED, 0.5)


def test_what_no_chain_tells_cannot_be_told():
    found = limit("ttft.p50", tasks([asked(timed=False)]), at_most=100 * MS)
    assert (found.verdict, found.value) == (OPEN, None)


@pytest.mark.parametrize("phase", ["load", "queue", "prefill", "decode", "inference", "delivery"])
def test_a_phase_that_the_engine_does_not_tell_is_not_0_and_within_its_limit(phase):
    found = limit(f"{phase}.max", tasks([asked(timed=False, queue_ns=None, prefill_ns=None)]), at_most=1 * MS)
    assert (found.verdict, found.value) == (OPEN, None)


def test_a_phase_that_is_told_is_judged():
    assert limit("prefill.max", tasks([asked(prefill=3)]), at_most=2 * MS).verdict is REGRESSED
    assert limit("queue.max", tasks([asked()]), at_most=2 * MS).verdict is FINE


def test_a_run_whose_spans_are_lost_is_not_whole():
    run = recorded(tasks([asked()], [asked()]), run=manifest(chains={"planned": 3, "finished": 3}))
    (found,) = judge_ending(run)
    assert (found.verdict, found.name) == (OPEN, "run")
    assert "of 3 chains that ended, 2 are there" in found.reason
    assert judge_ending(recorded(run.tables, run=manifest(chains={"planned": 2, "finished": 2}))) == []


def test_a_limit_holds_for_the_tasks_that_it_names():
    made = tasks([asked(100)], [asked(900)])
    assert limit("chain_time.max", made, at_most=500 * MS).verdict is REGRESSED
    assert limit("chain_time.max", made, at_most=500 * MS, of=Selection(tasks="task-0")).verdict is FINE


@pytest.mark.parametrize("name", metrics())
def test_every_metric_can_be_judged(name):
    found = limit(name, tasks(*[[asked(inference_ns=0)] * 2, [asked(inference_ns=0)]]), at_most=1e12)
    assert found.verdict in (FINE, OPEN)
    assert found.value is not None


def test_a_suspect_run_raises_no_alarm_on_times():
    broken = Judged("chain_time.p95", REGRESSED, "at most 1 s", "ns", 2e9)
    assert doubted(broken, ["the run"]).verdict is OPEN
    assert doubted(broken, []).verdict is REGRESSED
    assert doubted(Judged("llm_calls.max", REGRESSED, "at most 1", "count", 2), ["the run"]).verdict is REGRESSED


def test_a_changed_trajectory_is_no_silent_pass():
    pinned = manifest(script={"sha256": "1"})
    fine = recorded(tasks([asked()]), run=pinned)
    assert judge_trajectory(fine, None, []).verdict is FINE
    lost = recorded(tables({"parts": [asked()], "failed": True, "error_type": "ScriptMismatch"}), run=pinned)
    found = judge_trajectory(lost, None, [])
    assert (found.verdict, "task" in found.reason) == (REGRESSED, True)
    assert judge_trajectory(recorded(tasks([asked()])), None, []) is None


def test_a_pinned_task_whose_chains_stray_only_now_is_no_silent_pass():
    pinned = manifest(script={"sha256": "1"})
    one, two = {"parts": [asked()]}, {"parts": [asked(), asked()]}
    steady, straying = recorded(tables(one, one), run=pinned), recorded(tables(one, two), run=pinned)
    found = judge_trajectory(straying, compare(steady, straying), [])
    assert (found.verdict, "take different steps" in found.reason) == (OPEN, True)
    assert judge_trajectory(straying, compare(straying, straying), []).verdict is FINE
    assert judge_trajectory(recorded(tables(one, two)), compare(recorded(tables(one)), straying), []) is None
