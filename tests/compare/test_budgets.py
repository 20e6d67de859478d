"""Limits and margins: what may be said of each, and what may not."""

import pytest
from compare_inputs import MS, call, manifest, recorded, tables, tasks

from profiler.compare.budgets import (
    Judged,
    Limit,
    Margin,
    doubted,
    judge_limit,
    judge_margins,
    judge_trajectory,
    metrics,
)
from profiler.report.comparison_words import amount
from profiler.stats.paired import Verdict

REGRESSED, FINE, OPEN = Verdict.REGRESSED, Verdict.NOT_REGRESSED, Verdict.CANNOT_TELL


def asked(decode=100.0, **columns):
    return call(
        decode=decode, **{"input_tokens": 1000, "cached_tokens": 900, "output_tokens": 21, "tpot_ns": 5e6, **columns}
    )


def limit(metric, made, **bounds):
    return judge_limit(Limit(metric, **bounds), recorded(made), amount)


def in_turns(*sides, chains=2):
    """Base and candidate whose chains take turns; each side is the times of its tasks."""
    found = []
    for side, times in enumerate(sides):
        made = [
            {
                "parts": [asked(ms)],
                "task_id": f"task-{task}",
                "start_ns": ((at * len(times) + task) * 2 + side) * 10**10,
            }
            for at in range(chains)
            for task, ms in enumerate(times)
        ]
        found.append(recorded(tables(*made)))
    return found


def margin(base, candidate, slower=0.05, drift=0.05):
    judged, _ = judge_margins([Margin("chain_time", slower, primary=True)], base, candidate, drift=drift)
    return judged[0]


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


def test_a_limit_holds_for_the_tasks_that_it_names():
    made = tasks([asked(100)], [asked(900)])
    assert limit("chain_time.max", made, at_most=500 * MS).verdict is REGRESSED
    assert limit("chain_time.max", made, at_most=500 * MS, tasks="task-0").verdict is FINE


@pytest.mark.parametrize("name", metrics())
def test_every_metric_can_be_judged(name):
    found = limit(name, tasks([asked(), asked()], [asked()]), at_most=1e12)
    assert found.verdict in (FINE, OPEN)
    assert found.value is not None


def test_in_turns_a_slowdown_is_found_and_its_absence_too():
    base = [100 + at for at in range(8)]
    assert margin(*in_turns(base, [ms * 1.1 for ms in base])).verdict is REGRESSED
    assert margin(*in_turns(base, base)).verdict is FINE


def test_a_slowdown_that_is_certain_and_within_the_margin_passes_and_says_so():
    base = [100 + at for at in range(8)]
    found = margin(*in_turns(base, [ms * 1.02 for ms in base]))
    assert (found.verdict, found.reason) == (FINE, "more for sure, and within the margin")


def test_one_after_the_other_a_difference_that_drift_explains_is_no_alarm():
    base = tasks(*[[asked(100 + at)] for at in range(8)])
    slower = tasks(*[[asked((100 + at) * 1.08)] for at in range(8)], start=10**7 * MS)
    found = margin(recorded(base), recorded(slower))
    assert found.verdict is OPEN
    assert "a drift of 5% in either run cannot be excluded" in found.reason
    much = tasks(*[[asked((100 + at) * 1.3)] for at in range(8)], start=10**7 * MS)
    assert margin(recorded(base), recorded(much)).verdict is REGRESSED
    assert margin(recorded(base), recorded(slower), drift=0.0).verdict is REGRESSED


def test_counts_do_not_drift():
    base = tasks(*[[asked()]] * 4)
    more = tasks(*[[asked(), asked()]] * 4, start=10**7 * MS)
    (found,), _ = judge_margins([Margin("llm_calls", 0.0)], recorded(base), recorded(more), drift=0.05)
    assert found.verdict is REGRESSED
    (same,), _ = judge_margins([Margin("llm_calls", 0.0)], recorded(base), recorded(base), drift=0.05)
    assert same.verdict is FINE


def test_of_several_secondary_margins_each_must_be_more_certain():
    base = [100, 110, 120, 130, 140]
    slower = [ms * factor for ms, factor in zip(base, (1.00, 1.05, 1.09, 1.04, 1.10), strict=True)]
    sides = in_turns(base, slower, chains=1)
    alone, _ = judge_margins([Margin("chain_time", 0.01)], *sides, drift=0.05)
    both, _ = judge_margins([Margin("chain_time", 0.01), Margin("time_per_step", 0.01)], *sides, drift=0.05)
    primary, _ = judge_margins(
        [Margin("chain_time", 0.01, primary=True), Margin("time_per_step", 0.01)], *sides, drift=0.05
    )
    assert [each.verdict for each in alone] == [REGRESSED]
    assert [each.verdict for each in both] == [OPEN, OPEN]
    assert [each.verdict for each in primary] == [REGRESSED, REGRESSED]


def test_of_one_task_nothing_can_be_told():
    assert margin(*in_turns([100], [300])).verdict is OPEN


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
