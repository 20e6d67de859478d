"""Whether one thing rises with another."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.stats.ranks import rises_with

STEPS = np.arange(30.0)


def test_any_rise_is_seen_whatever_its_shape():
    assert rises_with(np.exp(STEPS), STEPS)


def test_a_fall_is_no_rise():
    assert not rises_with(-STEPS, STEPS)


def test_chance_is_seldom_taken_for_a_rise():
    draws = np.random.default_rng(1)
    found = sum(rises_with(draws.normal(size=30), STEPS) for _ in range(300))
    assert found <= 9  # 3 are expected at 1%


@pytest.mark.parametrize(
    ("values", "by"),
    [(STEPS[:9], STEPS[:9]), (np.zeros(30), STEPS), (STEPS, np.zeros(30)), ([], [])],
    ids=["too few", "all alike", "by nothing", "none"],
)
def test_where_nothing_can_be_said_nothing_is(values, by):
    assert not rises_with(values, by)
