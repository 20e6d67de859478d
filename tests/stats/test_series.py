"""Chains in the order of measurement."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal

from profiler.stats.series import effective_size, relative_logs, warm_up


def test_tasks_of_any_length_make_one_series():
    logs = relative_logs([1, 10, 1, 10, 2, 20], ["a", "b"] * 3)
    assert logs == pytest.approx([0, 0, 0, 0, math.log(2), math.log(2)])


@pytest.mark.parametrize(("values", "tasks"), [([1, 0], "ab"), ([1, math.nan], "ab"), ([1], "ab")])
def test_what_is_no_series_is_refused(values, tasks):
    with pytest.raises(ValueError, match="positive, finite"):
        relative_logs(values, tasks)


def test_a_slow_beginning_is_found_where_it_ends():
    draw = np.random.default_rng(1)
    series = draw.normal(0, 0.05, 40)
    series[:5] += math.log(1.5)
    found = warm_up(series)
    assert found.chains == 5
    assert found.slower == pytest.approx(1.5, rel=0.1)
    assert found.p_value < 0.01


def test_a_fast_beginning_is_no_warm_up():
    series = np.random.default_rng(2).normal(0, 0.05, 40)
    series[:5] -= 0.5
    assert warm_up(series).chains == 0


def test_chance_passes_for_a_warm_up_as_rarely_as_it_says():
    draw = np.random.default_rng(3)
    found = [warm_up(draw.standard_t(3, 24) / 10) for _ in range(120)]  # heavy tails
    assert np.mean([each.chains > 0 for each in found]) < 0.1


def test_short_and_constant_series_tell_nothing():
    assert warm_up([0.0] * 7) is None
    assert effective_size([0.0] * 7) is None
    assert warm_up([0.1] * 10).chains == 0
    assert effective_size([0.1] * 10).size == 10


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_the_effective_size_is_that_of_an_autoregressive_series(memory):
    draw = np.random.default_rng(4)
    sizes = [effective_size(signal.lfilter([1], [1, -memory], draw.normal(size=500))[100:]).size for _ in range(15)]
    assert np.mean(sizes) / 400 == pytest.approx((1 - memory) / (1 + memory), rel=0.2)


def test_dependence_is_told_from_none():
    draw = np.random.default_rng(5)
    assert effective_size(np.cumsum(draw.normal(size=60))).p_dependent < 0.01
    none = [effective_size(draw.normal(size=30)).p_dependent < 0.05 for _ in range(80)]
    assert np.mean(none) < 0.13
