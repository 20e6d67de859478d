"""Many tests at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from profiler.stats.multiplicity import false_discovery, holm


def test_holm_steps_down():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(adjusted) == ["a", "b", "c", "d"]


def test_adjusted_values_stay_below_one():
    assert holm({"a": 0.9, "b": 0.6}) == {"a": 1, "b": 1}


def test_a_single_test_needs_no_adjustment():
    assert holm({"a": 0.04}) == false_discovery({"a": 0.04}) == {"a": pytest.approx(0.04)}


@pytest.mark.parametrize("rule", [holm, false_discovery])
def test_what_was_not_tested_counts_for_nothing(rule):
    adjusted = rule({"a": 0.02, "b": None, "c": 0.5})
    assert adjusted["b"] is None
    assert (adjusted["a"], adjusted["c"]) == pytest.approx((0.04, 0.5))
    assert rule({}) == {}
    assert rule({"a": None}) == {"a": None}


def test_false_discovery_is_scipys():
    values = [0.001, 0.02, 0.03, 0.5]
    expected = stats.false_discovery_control(values)
    assert list(false_discovery(dict(zip("abcd", values, strict=True))).values()) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=r"tokens: .* is not a p-value"):
        holm({"steps": 0.1, "tokens": wrong})


def test_holm_keeps_the_error_over_dependent_tests():
    draw = np.random.default_rng(1)
    shared = draw.normal(size=(2000, 1))
    p_values = stats.norm.sf(0.7 * shared + 0.7 * draw.normal(size=(2000, 8)))
    false = [min(holm({str(n): p for n, p in enumerate(row)}).values()) < 0.05 for row in p_values.tolist()]
    assert np.mean(false) < 0.06
