"""Margins to a baseline: what may be said of each, and what may not."""

import numpy as np
import pytest
from compare_inputs import MS, asked, call, in_turns, manifest, recorded, tables, tasks

from profiler.compare.budgets import Margin, Selection
from profiler.compare.margins import judge_margins, judge_pairs
from profiler.compare.vocabulary import margin_metrics
from profiler.stats.paired import Verdict

REGRESSED, FINE, OPEN = Verdict.REGRESSED, Verdict.NOT_REGRESSED, Verdict.CANNOT_TELL


def margin(base, candidate, slower=0.05, drift=0.05):
    judged, _ = judge_margins([Margin("chain_time", slower, primary=True)], base, candidate, drift=drift)
    return judged[0]


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


# --- other metrics ----------------------------------------------------------------------------------------


def one(metric, base, candidate, allowed=0.05, **of):
    """The verdict on runs that took turns."""
    (found,) = judge_pairs([Margin(metric, allowed, primary=True, of=Selection(**of))], base, candidate, drift=0.0)
    return found


def sides(*made):
    """Runs of eight tasks with two chains each; `made` gives a call for a task and a side."""
    return [recorded(tasks(*[[make(task)] for task in range(8)], repeat=2)) for make in made]


@pytest.mark.parametrize("metric", margin_metrics())
def test_every_metric_can_be_judged(metric):
    make = lambda task: asked(100 + task, queue=1, prefill=20, delivery=1, inference_ns=0)  # noqa: E731
    found = one(metric, *sides(make, make))
    assert found.verdict is FINE
    assert found.value == (0 if found.unit == "points" else 1)


@pytest.mark.parametrize(
    ("metric", "slower"),
    [
        ("ttft", lambda task: asked(100 + task, prefill=30)),
        ("prefill", lambda task: asked(100 + task, prefill=30)),
        ("call_time", lambda task: asked(150 + task, prefill=20)),
        ("tpot", lambda task: asked(100 + task, prefill=20, tpot_ns=7e6)),
        ("decode", lambda task: asked(150 + task, prefill=20)),
        ("output_tokens", lambda task: asked(100 + task, prefill=20, output_tokens=31)),
        ("chain_time.p95", lambda task: asked(150 + task, prefill=20)),
        ("time_per_step.p50", lambda task: asked(150 + task, prefill=20)),
    ],
)
def test_what_is_longer_is_found_in_the_metric_that_it_is_of(metric, slower):
    usual = lambda task: asked(100 + task, prefill=20)  # noqa: E731
    found = one(metric, *sides(usual, slower))
    assert found.verdict is REGRESSED
    assert found.low > 1.2
    other = "tpot" if metric in ("ttft", "prefill") else "ttft"
    assert one(other, *sides(usual, slower)).verdict is FINE


def test_of_what_some_chains_have_nothing_the_means_are_compared():
    usual = lambda task: asked(100, queue=10 if task % 2 else 0)  # noqa: E731
    more = lambda task: asked(100, queue=20 if task % 2 else 0)  # noqa: E731
    found = one("queue", *sides(usual, more))
    assert (found.verdict, found.value, found.low) == (REGRESSED, pytest.approx(2), pytest.approx(2))
    assert one("queue", *sides(usual, usual)).verdict is FINE


def test_what_neither_run_has_is_not_regressed_whatever_the_drift():
    (found,) = judge_pairs([Margin("queue", 0.05)], *sides(lambda _: asked(), lambda _: asked()), drift=0.05)
    assert (found.verdict, found.reason) == (FINE, "there is none of it in either run")


def test_what_the_baseline_has_nothing_of_has_no_ratio_and_is_told_all_the_same():
    found = one("queue", *sides(lambda _: asked(100), lambda task: asked(100, queue=10 + task)))
    assert (found.verdict, found.value) == (REGRESSED, None)
    assert found.reason == "the baseline has none of it, so there is no ratio"


def test_a_quantile_takes_six_pairs_and_times_that_are_there():
    few = in_turns([100, 101], [120, 121], chains=2)
    found = one("chain_time.p95", *few)
    assert (found.verdict, found.reason) == (OPEN, "4 pairs of chains tell nothing of a quantile: it takes 6")


def test_a_quantile_that_cannot_be_told_says_what_it_would_take():
    draw = np.random.default_rng(1)
    found = one("chain_time.p95", *in_turns(*(100 * draw.lognormal(0, 0.3, (2, 12))), chains=1))
    assert found.verdict is OPEN
    assert "would have been found with these 12 pairs of chains; 5% takes some " in found.reason


def test_a_quantile_of_runs_that_did_not_take_turns_allows_for_drift():
    base = tasks(*[[asked(100 + at)] for at in range(8)])
    slower = tasks(*[[asked((100 + at) * 1.08)] for at in range(8)], start=10**7 * MS)
    (found,), _ = judge_margins([Margin("chain_time.p95", 0.05)], recorded(base), recorded(slower), drift=0.05)
    assert found.verdict is OPEN
    assert "a drift of 5% in either run cannot be excluded" in found.reason


def test_a_margin_that_drift_hides_says_that_more_chains_do_not_help():
    draw = np.random.default_rng(2)
    base, other = (
        tasks(*[[asked(ms)] for ms in 100 * draw.lognormal(0, 0.3, 8)], start=start) for start in (0, 10**7 * MS)
    )
    (found,), _ = judge_margins([Margin("chain_time", 0.05)], recorded(base), recorded(other), drift=0.05)
    assert found.reason.endswith("; measured at another time, a drift of 5% in either run hides as much")


def test_cache_hits_are_held_in_points_and_fewer_are_worse():
    usual = lambda task: asked(100, cached_tokens=900 + task)  # noqa: E731
    fewer = lambda task: asked(100, cached_tokens=800 + task)  # noqa: E731
    found = one("cache_hits", *sides(usual, fewer))
    assert (found.verdict, found.unit, found.value) == (REGRESSED, "points", pytest.approx(-0.1))
    assert found.bound == "less than 5 points lower than the baseline"
    assert one("cache_hits", *sides(usual, usual), allowed=0.01).bound == "less than 1 point lower than the baseline"
    assert found.low == pytest.approx(found.value) == found.high
    within = one("cache_hits", *sides(usual, fewer), allowed=0.2)
    assert (within.verdict, within.reason) == (FINE, "less for sure, and within the margin")
    assert one("cache_hits", *sides(fewer, usual)).verdict is FINE


def test_failed_chains_are_held_in_points_over_all_chains():
    def run(failing):
        return recorded(
            tables(
                *[
                    {"parts": [asked()], "task_id": f"task-{task}", "failed": at < failing(task)}
                    for at in range(4)
                    for task in range(8)
                ]
            )
        )

    none, some, many = run(lambda _: 0), run(lambda task: task == 0), run(lambda task: 2 + task % 2)
    assert one("failed_chains", none, none).verdict is FINE
    assert one("failed_chains", none, some, allowed=0.2).verdict is FINE
    worse = one("failed_chains", none, many)
    assert (worse.verdict, worse.value) == (REGRESSED, pytest.approx(0.625))
    open_ = one("failed_chains", none, some)
    assert open_.verdict is OPEN
    assert "points would have been found with these 8 tasks; 5 points takes some " in open_.reason


def test_a_margin_of_some_tasks_is_of_them_alone_and_tags_are_the_candidates():
    base, slower = (
        recorded(
            tables(
                *[
                    {"parts": [asked((100 + task) * (factor if task < 3 else 1))], "task_id": f"task-{task}", **told}
                    for _ in range(2)
                    for task in range(6)
                    for told in ({"task_tags": "slow,long" if task < 3 else "quick"} if factor > 1 else {},)
                ]
            )
        )
        for factor in (1, 1.5)
    )
    assert one("chain_time", base, slower, tags="slow").value == pytest.approx(1.5)
    assert one("chain_time", base, slower, tags="qu*").value == pytest.approx(1)
    assert one("chain_time", base, slower, tasks="task-[45]", tags="quick").value == pytest.approx(1)
    assert one("chain_time", base, slower, tags="slow").name == "chain_time of tag slow"


def test_what_no_shared_task_tells_cannot_be_told():
    timed = recorded(tasks(*[[asked()]] * 3))
    untimed = recorded(tasks(*[[call(decode=100, timed=False, output_tokens=21)]] * 3))
    found = one("ttft", timed, untimed)
    assert (found.verdict, found.value, found.reason) == (OPEN, None, "no chain of a task that both have tells it")


def test_secondary_margins_under_drift_are_corrected_beyond_the_drift():
    """Each is beyond what drift explains by itself, but not for one of many."""
    base = [100, 110, 120, 130, 140]
    factors = (1.20, 1.15, 1.24, 1.13, 1.21)
    made = tasks(*[[asked(ms)] for ms in base])
    slower = tasks(*[[asked(ms * by)] for ms, by in zip(base, factors, strict=True)], start=10**7 * MS)
    runs = recorded(made), recorded(slower)
    names = ("chain_time", "time_per_step", "decode", "call_time")
    (alone,), _ = judge_margins([Margin("chain_time", 0.05)], *runs, drift=0.05)
    together, _ = judge_margins([Margin(name, 0.05) for name in names], *runs, drift=0.05)
    assert alone.verdict is REGRESSED
    assert [each.verdict for each in together] == [OPEN] * 4
    assert "(Holm)" in together[0].reason


def test_equal_margins_of_other_tasks_are_corrected_each_for_itself():
    base = [100 + at for at in range(8)]
    runs = in_turns(base, [ms * 1.1 for ms in base])
    made = [Margin("chain_time", 0.05, of=Selection(tasks=pattern)) for pattern in ("task-[0-3]", "task-[4-7]")]
    assert [each.verdict for each in judge_pairs(made, *runs, drift=0.0)] == [REGRESSED] * 2


def test_manifests_do_not_matter_to_a_margin():
    base = [100 + at for at in range(8)]
    one_, other = in_turns(base, base)
    assert one("chain_time", one_, recorded(other.tables, run=manifest(agent={"name": "x"}))).verdict is FINE
