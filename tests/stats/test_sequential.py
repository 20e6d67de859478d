"""Measuring until it is clear."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from profiler.stats.paired import FEW_TASKS, Verdict
from profiler.stats.sequential import cut_short, look, plan_looks, turns


def measured(draw, tasks, pairs, shift=0.0, spread=0.1):
    """The first so many pairs, round by round."""
    base, candidate = {}, {}
    for number in range(pairs):
        task = str(number % tasks)
        base.setdefault(task, []).append(math.exp(draw.normal(0, spread)))
        candidate.setdefault(task, []).append(math.exp(draw.normal(shift, spread)))
    return base, candidate


def run_of(draw, plan, tasks, shift=0.0):
    """Verdict and number of pairs of one whole sequence."""
    base, candidate = measured(draw, tasks, plan.pairs[-1], shift)
    for index, pairs in enumerate(plan.pairs):
        rounds, rest = divmod(pairs, tasks)
        so_far = [
            {
                task: values[: rounds + (int(task) < rest)]
                for task, values in side.items()
                if rounds + (int(task) < rest)
            }
            for side in (base, candidate)
        ]
        result = look(plan, index, *so_far)
        if result.final:
            return result.verdict, pairs
    raise AssertionError


def test_every_task_is_measured_in_every_round_and_begins_alternately():
    order = turns(["a", "b", "c", "d"], 4, seed=1)
    for number in range(4):
        assert sorted(turn.task for turn in order[4 * number : 4 * number + 4]) == ["a", "b", "c", "d"]
    for task in "abcd":
        firsts = "".join(turn.first for turn in order if turn.task == task)
        assert firsts in ("ABAB", "BABA")
    assert Counter(turn.first for turn in order[:4]) == {"A": 2, "B": 2}
    assert all({turn.first, turn.second} == {"A", "B"} for turn in order)


def test_the_order_depends_on_the_seed_alone():
    tasks = [str(n) for n in range(10)]
    assert turns(tasks, 3, seed=1) == turns(tasks, 3, seed=1) != turns(tasks, 3, seed=2)


def test_looks_are_after_rounds_and_in_the_first():
    assert plan_looks(25, 4).pairs == (12, 25, 50, 75, 100)
    assert plan_looks(6, 3).pairs == (6, 12, 18)
    assert plan_looks(1, 10).pairs == (2, 6, 10)
    assert plan_looks(3, 4).pairs == (6, 12)
    assert not plan_looks(FEW_TASKS, 2).pairs_are_units
    assert plan_looks(FEW_TASKS - 1, 2).pairs_are_units


def test_nothing_to_measure_is_refused():
    with pytest.raises(ValueError, match="nothing to measure"):
        plan_looks(0, 3)


def test_a_large_slowdown_ends_at_once_and_none_early():
    draw = np.random.default_rng(1)
    plan = plan_looks(25, 4)
    assert run_of(draw, plan, 25, shift=0.5) == (Verdict.REGRESSED, 12)
    assert run_of(draw, plan, 25, shift=-0.5) == (Verdict.NOT_REGRESSED, 12)


def test_what_cannot_be_decided_within_the_budget_is_given_up():
    base = {str(n): [1.0] for n in range(10)}
    candidate = {str(n): [math.exp((-1) ** n)] for n in range(10)}
    result = look(plan_looks(10, 2), 1, base, candidate)
    assert (result.verdict, result.final) == (Verdict.CANNOT_TELL, True)
    assert result.chance < 0.05


def test_one_task_is_decided_by_its_pairs():
    draw = np.random.default_rng(3)
    plan = plan_looks(1, 30)
    assert run_of(draw, plan, 1, shift=0.5)[0] is Verdict.REGRESSED


def test_one_pair_decides_nothing():
    result = look(plan_looks(1, 10), 0, {"a": [1.0]}, {"a": [9.0]})
    assert (result.verdict, result.final, result.chance) == (Verdict.CANNOT_TELL, False, None)


@pytest.mark.parametrize(("tasks", "rounds"), [(25, 2), (5, 4), (2, 8)])
def test_either_verdict_is_wrong_no_more_often_than_it_may(tasks, rounds):
    draw = np.random.default_rng(4)
    plan = plan_looks(tasks, rounds, confidence=0.9)
    alike = [run_of(draw, plan, tasks)[0] for _ in range(60)]
    slower = [run_of(draw, plan, tasks, shift=math.log1p(plan.margin))[0] for _ in range(60)]
    assert np.mean([each is Verdict.REGRESSED for each in alike]) <= 0.12  # 5% is allowed
    assert np.mean([each is Verdict.NOT_REGRESSED for each in slower]) <= 0.12


@pytest.mark.parametrize(("tasks", "rounds"), [(5, 6), (12, 3), (25, 4)])
def test_all_looks_together_reject_as_often_as_they_may(tasks, rounds):
    plan = plan_looks(tasks, rounds)
    paths = np.random.default_rng(6).normal(size=(20_000, rounds, tasks))
    rejected = np.zeros(len(paths), dtype=bool)
    for pairs, level in zip(plan.pairs, plan.levels, strict=True):
        units = paths[:, 0, :pairs] if pairs < tasks else paths[:, : pairs // tasks].mean(axis=1)
        rejected |= stats.ttest_1samp(units, 0, axis=1, alternative="greater").pvalue <= level
    assert rejected.mean() == pytest.approx(0.025, abs=0.003)


@pytest.mark.parametrize(("tasks", "rounds", "now"), [(5, 6, 17), (12, 3, 20), (25, 4, 60), (25, 4, 20), (2, 20, 11)])
def test_a_look_that_comes_too_soon_uses_what_the_others_left_and_no_more(tasks, rounds, now):
    plan = cut_short(plan_looks(tasks, rounds), now)
    assert plan.pairs[-1] == now
    paths = np.random.default_rng(7).normal(size=(20_000, rounds * tasks))
    rejected = np.zeros(len(paths), dtype=bool)
    for pairs, level in zip(plan.pairs, plan.levels, strict=True):
        units = paths[:, :pairs]
        if not plan.pairs_are_units:
            units = np.stack([units[:, task::tasks].mean(axis=1) for task in range(min(tasks, pairs))], axis=1)
        rejected |= stats.ttest_1samp(units, 0, axis=1, alternative="greater").pvalue <= level
    assert rejected.mean() == pytest.approx(0.025, abs=0.004)


def test_a_plan_that_comes_to_its_end_is_not_cut():
    plan = plan_looks(25, 4)
    assert cut_short(plan, 100) is plan
    assert cut_short(plan, 3).levels == pytest.approx([0.025])


def test_a_tenth_is_found_with_less_than_half_of_the_budget():
    draw = np.random.default_rng(5)
    plan = plan_looks(25, 4)
    ends = [run_of(draw, plan, 25, shift=math.log(1.1)) for _ in range(25)]
    assert np.mean([found is Verdict.REGRESSED for found, _ in ends]) > 0.95
    assert np.mean([pairs for _, pairs in ends]) < 50
