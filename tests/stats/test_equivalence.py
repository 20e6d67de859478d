"""Whether two runs are alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from profiler.stats.equivalence import p_equivalent, p_not_slower
from profiler.stats.paired import Verdict, paired_ratio, verdict


def runs(seed, tasks=12, shift=0.0):
    draw = np.random.default_rng(seed)
    logs = [draw.normal(shift * side, 0.05, tasks) for side in (0, 1)]
    return logs, [{str(n): [math.exp(value)] for n, value in enumerate(side)} for side in logs]


def test_they_are_the_one_sided_t_tests_against_the_margins():
    logs, samples = runs(1)
    differences = logs[1] - logs[0]
    result = paired_ratio(*samples)
    below = stats.ttest_1samp(differences, math.log(1.05), alternative="less").pvalue
    above = stats.ttest_1samp(differences, -math.log(1.05), alternative="greater").pvalue
    assert p_not_slower(result, 0.05) == pytest.approx(below)
    assert p_equivalent(result, 0.05) == pytest.approx(max(below, above))


@pytest.mark.parametrize("seed", range(8))
def test_not_slower_is_significant_exactly_where_the_verdict_is_not_regressed(seed):
    result = paired_ratio(*runs(seed, shift=0.02)[1])
    significant = p_not_slower(result, 0.05) < 0.025
    assert significant == (result.high < 1.05)
    if significant and result.low < 1:
        assert verdict(result, margin=0.05) is Verdict.NOT_REGRESSED


def test_a_large_gain_is_not_slower_and_not_alike():
    result = paired_ratio(*runs(2, shift=-0.5)[1])
    assert p_not_slower(result, 0.05) < 1e-6
    assert p_equivalent(result, 0.05) > 0.999


def test_runs_a_margin_apart_pass_for_alike_no_more_often_than_allowed():
    passed = [p_equivalent(paired_ratio(*runs(seed, shift=math.log(1.05))[1]), 0.05) < 0.05 for seed in range(200)]
    assert np.mean(passed) < 0.09


def test_what_never_varies_is_certain():
    same = paired_ratio({"a": [1], "b": [2]}, {"a": [1], "b": [2]})
    assert (p_not_slower(same, 0.05), p_equivalent(same, 0.05), p_not_slower(same, 0.0)) == (0, 0, 1)


def test_one_task_has_no_test():
    result = paired_ratio({"a": [1]}, {"a": [1]})
    assert (p_not_slower(result, 0.05), p_equivalent(result, 0.05)) == (None, None)


def test_margins_that_make_no_sense_are_refused():
    result = paired_ratio(*runs(1)[1])
    with pytest.raises(ValueError, match="above 0"):
        p_equivalent(result, 0.0)
    with pytest.raises(ValueError, match="positive"):
        p_not_slower(result, -1.0)
