"""Two runs of the same tasks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from profiler.stats.paired import PairedRatio, Verdict, by_block, by_pair, paired_ratio, shift_of_counts, verdict


def run_of(draw, tasks=25, repeats=4, slower=0.0, spread=0.3):
    """Tasks of very different length; `slower` in log units."""
    return {f"t{n}": list(draw.lognormal(n % 5 + slower, spread, repeats)) for n in range(tasks)}


def interval(low, high):
    return PairedRatio(1.0, low, high, 9, (9, 9), 0.1, 0.95, 0.0)


def test_the_ratio_is_the_geometric_mean_over_tasks():
    result = paired_ratio({"a": [1, 4], "b": [10]}, {"a": [2, 8], "b": [5]})
    assert result.ratio == pytest.approx(math.sqrt(2 * 0.5))


def test_it_is_the_paired_t_test_of_mean_logarithms():
    draw = np.random.default_rng(1)
    base, candidate = run_of(draw), run_of(draw, slower=0.1)
    before, after = (np.array([np.log(values).mean() for values in run.values()]) for run in (base, candidate))
    expected = stats.ttest_rel(after, before).confidence_interval(0.9)
    result = paired_ratio(base, candidate, confidence=0.9, margin=0.05)
    assert (result.low, result.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    slower = stats.ttest_rel(after - math.log(1.05), before, alternative="greater").pvalue
    faster = stats.ttest_rel(after - math.log(0.95), before, alternative="less").pvalue
    assert (result.p_slower, result.p_faster) == pytest.approx((slower, faster))


def test_every_task_counts_alike_however_many_chains_it_has():
    few = paired_ratio({"a": [1], "b": [1]}, {"a": [2], "b": [1]})
    many = paired_ratio({"a": [1] * 50, "b": [1]}, {"a": [2] * 50, "b": [1]})
    assert few.ratio == pytest.approx(many.ratio)
    assert many.chains == (51, 51)


def test_ratios_of_factors_multiply():
    draw = np.random.default_rng(2)
    runs = [(run_of(draw), run_of(draw)) for _ in range(2)]
    product = [{task: np.multiply(one[task], two[task]) for task in one} for one, two in zip(*runs, strict=True)]
    ratios = [paired_ratio(*run).ratio for run in runs]
    assert paired_ratio(*product).ratio == pytest.approx(ratios[0] * ratios[1])


def test_swapping_the_runs_inverts_the_ratio():
    draw = np.random.default_rng(3)
    base, candidate = run_of(draw), run_of(draw, slower=0.1)
    there, back = paired_ratio(base, candidate), paired_ratio(candidate, base)
    assert (there.ratio * back.ratio, there.low * back.high) == pytest.approx((1, 1))
    assert there.p_slower == pytest.approx(back.p_faster)


def test_tasks_of_one_side_and_missing_values_are_left_out():
    result = paired_ratio({"a": [1, math.nan], "b": [1], "c": [math.nan]}, {"a": [2], "d": [9], "c": [3]})
    assert (result.tasks, result.chains, result.ratio) == (1, (1, 1), pytest.approx(2))


def test_one_task_has_a_ratio_and_nothing_else():
    result = paired_ratio({"a": [1, 2, 3]}, {"a": [2, 4, 6]})
    assert result.ratio == pytest.approx(2)
    known = (result.low, result.high, result.p_slower, result.p_faster, result.spread, result.smallest_effect)
    assert known == (None,) * 6
    assert (result.tasks_for(1.1), result.repeats_for(1.1)) == (None, None)
    assert verdict(result, margin=0.5) is Verdict.CANNOT_TELL


def test_no_common_task_has_nothing():
    result = paired_ratio({"a": [1]}, {"b": [1]})
    assert (result.ratio, result.tasks) == (None, 0)


def test_what_never_varies_is_certain():
    base = {"a": [1.0, 1.1], "b": [2.0, 2.2], "c": [3.0, 3.3]}
    same = paired_ratio(base, base)
    assert (same.ratio, same.low, same.high, same.p_slower, same.p_faster) == (1, 1, 1, 1, 1)
    slower = paired_ratio(base, {task: np.multiply(values, 1.1) for task, values in base.items()})
    assert (slower.low, slower.high) == pytest.approx((1.1, 1.1))
    assert (slower.p_slower, slower.p_faster, slower.smallest_effect) == (0, 1, 1)
    assert verdict(slower, margin=0.05) is Verdict.REGRESSED


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf])
def test_a_value_without_a_logarithm_is_refused_by_task(wrong):
    with pytest.raises(ValueError, match=r"task 'b': .* is not positive and finite"):
        paired_ratio({"a": [1], "b": [1]}, {"a": [1], "b": [2, wrong]})


@pytest.mark.parametrize("settings", [{"confidence": 1.0}, {"confidence": 0}, {"margin": -0.1}, {"margin": 1}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="must lie"):
        paired_ratio({"a": [1]}, {"a": [1]}, **settings)


@pytest.mark.parametrize(
    ("low", "high", "tolerated", "expected"),
    [
        (1.01, 1.2, 0.0, Verdict.REGRESSED),
        (1.01, 1.04, 0.0, Verdict.REGRESSED),
        (1.01, 1.04, 0.02, Verdict.NOT_REGRESSED),
        (1.01, 1.06, 0.02, Verdict.CANNOT_TELL),
        (0.9, 1.04, 0.0, Verdict.NOT_REGRESSED),
        (0.8, 0.9, 0.0, Verdict.NOT_REGRESSED),
        (0.9, 1.06, 0.0, Verdict.CANNOT_TELL),
    ],
)
def test_the_verdict_is_read_off_the_interval(low, high, tolerated, expected):
    assert verdict(interval(low, high), margin=0.05, tolerated=tolerated) is expected


def test_more_cannot_be_tolerated_than_the_margin():
    with pytest.raises(ValueError, match="tolerated"):
        verdict(interval(0.9, 1.0), margin=0.05, tolerated=0.1)


def test_the_interval_holds_the_true_ratio_as_often_as_it_says_with_few_tasks_that_react_differently():
    draw = np.random.default_rng(4)
    held = []
    for _ in range(400):
        reaction = draw.normal(math.log(1.1), 0.1, 6)
        base = {str(n): draw.lognormal(n, 0.3, 3) for n in range(6)}
        candidate = {str(n): draw.lognormal(n + reaction[n], 0.3, 3) for n in range(6)}
        result = paired_ratio(base, candidate)
        held.append(result.low <= 1.1 <= result.high)
    assert 0.93 < np.mean(held) < 0.97


def test_the_smallest_effect_is_found_about_as_often_as_promised():
    draw = np.random.default_rng(5)
    typical = [paired_ratio(run_of(draw), run_of(draw)).smallest_effect for _ in range(30)]
    shift = math.log(np.median(typical))
    found = [paired_ratio(run_of(draw), run_of(draw, slower=shift)).low > 1 for _ in range(200)]
    assert 0.74 < np.mean(found) < 0.86


def test_more_tasks_are_needed_for_less():
    draw = np.random.default_rng(6)
    result = paired_ratio(run_of(draw), run_of(draw))
    assert result.tasks_for(result.smallest_effect * 1.000001) == 25
    assert result.tasks_for(1.02) > result.tasks_for(1.05) > result.tasks_for(1.5) >= 2
    assert result.tasks_for(0.5) == result.tasks_for(2)
    assert result.tasks_for(1.0000001) is None


def test_repeats_help_where_the_noise_is_within_tasks():
    draw = np.random.default_rng(7)
    result = paired_ratio(run_of(draw), run_of(draw))
    effect = math.exp(math.log(result.smallest_effect) / 2)
    assert 12 <= result.repeats_for(effect) <= 20  # half the effect takes four times the four repeats
    assert result.repeats_for(2.0) == 1


def test_repeats_do_not_help_where_tasks_react_differently():
    draw = np.random.default_rng(8)
    base = {str(n): draw.lognormal(0, 0.001, 4) for n in range(20)}
    candidate = {str(n): draw.lognormal(draw.normal(0, 0.2), 0.001, 4) for n in range(20)}
    assert paired_ratio(base, candidate).repeats_for(1.01) is None


def test_repeats_are_unknown_without_any():
    assert paired_ratio({"a": [1], "b": [2]}, {"a": [1.1], "b": [2.1]}).repeats_for(1.1) is None


def test_an_effect_of_nothing_is_refused():
    result = paired_ratio({"a": [1], "b": [2]}, {"a": [1.1], "b": [2.1]})
    with pytest.raises(ValueError, match="other than 1"):
        result.tasks_for(1.0)
    with pytest.raises(ValueError, match="positive"):
        result.repeats_for(0.0)


def test_counts_may_be_zero():
    base, candidate = {"a": [0, 0], "b": [0, 2], "c": [5, 5]}, {"a": [1, 0], "b": [3, 2], "c": [5, 6]}
    shift = shift_of_counts(base, candidate)
    expected = stats.ttest_rel([0.5, 2.5, 5.5], [0, 1, 5])
    assert shift.difference == pytest.approx(2.5 / 3)
    assert (shift.low, shift.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert shift.p_more == pytest.approx(expected.pvalue / 2)
    assert (shift.tasks, shift.tasks_changed) == (3, 3)
    assert (shift.base, shift.candidate) == pytest.approx((2, 8.5 / 3))


def test_equal_counts_are_certain():
    same = shift_of_counts({"a": [3, 3], "b": [7]}, {"a": [3], "b": [7, 7]})
    assert (same.difference, same.low, same.high, same.p_more, same.p_fewer, same.tasks_changed) == (0, 0, 0, 1, 1, 0)


def test_counts_of_one_task_have_no_interval_and_of_none_nothing():
    one = shift_of_counts({"a": [1]}, {"a": [2]})
    assert (one.difference, one.low, one.p_more, one.base) == (1, None, None, 1)
    none = shift_of_counts({"a": [1]}, {"b": [2]})
    assert (none.difference, none.tasks, none.base) == (None, 0, None)


def test_an_infinite_count_is_refused():
    with pytest.raises(ValueError, match="task 'a': inf is not finite"):
        shift_of_counts({"a": [1]}, {"a": [math.inf]})


def test_pairs_of_one_task_can_be_compared():
    base, candidate = {"a": [1.0, 1.1, 1.2, 0.9]}, {"a": [1.2, 1.3, 1.4, 1.1]}
    result = paired_ratio(by_pair(base), by_pair(candidate))
    assert (result.tasks, result.low > 1) == (4, True)
    assert list(by_pair({"a": [5.0, 6.0]})) == ["a #1", "a #2"]


def test_chains_that_ran_at_once_are_one_observation():
    base = {"a": [1.0, 1.0], "b": [10.0, 10.0], "c": [5.0, math.nan]}
    candidate = {"a": [1.2, 1.0], "b": [13.0, 10.5], "c": [6.0, 1.0]}
    ones, ratios = by_block(base, candidate, {"a": [1, 2], "b": [1, 2], "c": [3, 4]})
    assert ones == {"1": [1.0], "2": [1.0], "3": [1.0]}
    assert ratios["1"] == pytest.approx([math.sqrt(1.2 * 1.3)])
    assert ratios["2"] == pytest.approx([math.sqrt(1.05)])
    assert paired_ratio(ones, ratios).tasks == 3


def test_blocks_keep_the_error_where_chains_share_their_noise():
    draw = np.random.default_rng(9)
    alarms = {"tasks": 0, "blocks": 0}
    for _ in range(80):
        shared = [np.repeat(draw.normal(0, 0.1, (5, 4)), 5, axis=0) for _ in range(2)]  # 25 tasks, five at once
        base, candidate = (
            {str(n): list(np.exp(row + draw.normal(0, 0.03, 4))) for n, row in enumerate(side)} for side in shared
        )
        blocks = {str(n): [f"{n // 5} {repeat}" for repeat in range(4)] for n in range(25)}
        alarms["tasks"] += paired_ratio(base, candidate).low > 1
        alarms["blocks"] += paired_ratio(*by_block(base, candidate, blocks)).low > 1
    assert alarms["blocks"] <= 6
    assert alarms["tasks"] > 8


def test_blocks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="task 'a': 2 and 1 chains in 2 blocks"):
        by_block({"a": [1, 1]}, {"a": [1]}, {"a": [1, 2]})
    with pytest.raises(ValueError, match="task 'a': 0 is not positive"):
        by_block({"a": [1]}, {"a": [0]}, {"a": [1]})
