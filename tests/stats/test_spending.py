"""Levels of looks at growing data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from profiler.stats.spending import levels, share_of_levels, spent


def bounds(fractions, alpha, gamma):
    return -special.ndtri(levels(fractions, alpha, gamma))


def test_bounds_are_those_of_the_literature():
    # Hwang, Shih and De Cani's at gamma -4, four looks, one-sided 2.5%: the defaults of the R package gsDesign
    assert bounds([0.25, 0.5, 0.75, 1], 0.025, -4) == pytest.approx([3.155, 2.818, 2.439, 2.014], abs=2e-3)
    # near gamma 1 they are all but Pocock's constant of 2.361 (Jennison and Turnbull, table 2.1)
    assert bounds([0.25, 0.5, 0.75, 1], 0.025, 1) == pytest.approx([2.361] * 4, abs=0.02)


def test_one_look_is_the_plain_test():
    assert levels([1.0], 0.025, -1) == pytest.approx([0.025])


def test_all_is_spent_at_the_end_and_nothing_before():
    for gamma in (-4, 0, 1):
        assert spent(0, 0.025, gamma) == 0
        assert spent(1, 0.025, gamma) == pytest.approx(0.025)
    assert spent(0.5, 0.025, -4) < spent(0.5, 0.025, 0) < spent(0.5, 0.025, 1)


def test_a_random_walk_crosses_as_often_as_it_may():
    fractions = np.array([0.1, 0.2, 0.5, 1])
    draw = np.random.default_rng(1)
    walk = np.cumsum(draw.normal(size=(40_000, 4)) * np.sqrt(np.diff([0, *fractions])), axis=1)
    crossed = (walk / np.sqrt(fractions) > bounds(fractions, 0.05, -1)).any(axis=1)
    assert crossed.mean() == pytest.approx(0.05, abs=0.004)


@pytest.mark.parametrize("fractions", [[], [0.5, 0.5], [0.0, 1.0], [0.6, 0.4], [0.5, 1.2]])
def test_looks_that_do_not_rise_are_refused(fractions):
    with pytest.raises(ValueError, match="must rise"):
        levels(fractions, 0.025, -1)


def test_levels_of_few_tasks_are_lowered_and_those_of_many_are_not():
    pairs = list(range(5, 51, 5))
    nominal = levels([count / 50 for count in pairs], 0.025, -1)
    assert 0.6 < share_of_levels(pairs, 5, nominal, 0.025, pairs_are_units=False) < 0.9
    assert share_of_levels([25, 50], 25, (0.01, 0.02), 0.025, pairs_are_units=False) == 1
