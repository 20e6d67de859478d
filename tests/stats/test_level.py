"""Where the level of a series of runs changed."""

import math

import numpy as np
import pytest

from profiler.stats import level
from profiler.stats.level import FEWEST, levels

STEP = math.log(1.1)


def series(seed, *parts, noise=0.03, rho=0.0):
    """Levels, each with a number of runs, and noise about them."""
    draw = np.random.default_rng(seed)
    true = np.repeat([size for size, _ in parts], [number for _, number in parts])
    own = draw.standard_normal(len(true))
    for index in range(1, len(own)):
        own[index] = rho * own[index - 1] + math.sqrt(1 - rho**2) * own[index]
    return true + noise * own


def share(holds, repetitions=50):
    return np.mean([holds(seed) for seed in range(repetitions)])


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_a_series_without_a_change_seldom_has_one_also_where_neighbours_resemble_each_other(rho):
    assert share(lambda seed: bool(levels(series(seed, (0, 20), rho=rho)).changes)) <= 0.1  # 0.004 and 0.04 of 1,000


def test_a_tenth_more_with_three_percent_of_noise_is_found_within_a_run_of_the_right_one():
    def found(seed):
        changes = levels(series(seed, (0, 10), (STEP, 10))).changes  # 20 runs
        return len(changes) == 1 and abs(changes[0].at - 10) <= 1

    assert share(found) >= 0.85


def test_interval_and_place_hold_the_true_ones():
    def covered(seed):
        changes = levels(series(seed, (0, 10), (0.15, 10))).changes
        return (
            bool(changes) and changes[0].earliest <= 10 <= changes[0].latest and changes[0].low < 0.15 < changes[0].high
        )

    assert share(covered) >= 0.88


def test_an_obvious_change_is_told_with_its_place_and_size():
    (change,) = levels(series(1, (0, 8), (0.5, 8), noise=0.01)).changes
    assert (change.at, change.earliest, change.latest) == (8, 8, 8)
    assert change.low < change.size < change.high
    assert change.size == pytest.approx(0.5, abs=0.02)
    assert change.before == pytest.approx(0, abs=0.02)
    assert change.p_value < 0.01


def test_a_change_and_its_undoing_are_two_changes():
    found = levels(series(2, (0, 10), (0.4, 8), (0, 12), noise=0.02)).changes
    assert [change.at for change in found] == [10, 18]
    assert [change.size > 0 for change in found] == [True, False]
    assert found[0].after == found[1].before


def test_counts_without_noise_change_where_they_change_and_by_how_much_they_do():
    first, second = levels([4.0] * 9 + [5.0] * 4 + [4.5] * 5).changes
    assert (first.at, first.earliest, first.latest, first.low, first.high) == (9, 9, 9, 1, 1)
    assert (second.at, second.low, second.high) == (13, -0.5, -0.5)


def test_one_slow_run_is_no_level():
    found = series(3, (0, 20), noise=0.01)
    found[12] += 0.3
    assert levels(found).changes == ()


def test_the_newest_run_alone_is_no_level():
    assert levels(series(4, (0, 19), (0.5, 1), noise=0.01)).changes == ()


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 1.0, 2.0, 1.5]])
def test_too_few_values_tell_nothing(values):
    assert len(values) < FEWEST
    found = levels(values)
    assert (found.changes, found.noise, found.p_value, found.detectable) == ((), None, None, None)


def test_values_that_are_all_the_same_have_no_noise_to_test_with():
    assert levels([3.0] * 30).p_value is None


def test_more_tests_at_once_make_every_one_stricter():
    values = series(5, (0, 10), (0.08, 10))
    alone, among_ten = levels(values).p_value, levels(values, tests=10).p_value
    assert among_ten == pytest.approx(min(1, 10 * alone))


def test_twice_the_same_series_gives_the_same():
    values = series(6, (0, 10), (0.1, 10))
    assert levels(values) == levels(values)


def test_a_series_and_its_mirror_image_have_opposite_changes():
    values = series(7, (0, 10), (0.3, 10))
    (up,), (down,) = levels(values).changes, levels(-values).changes
    assert (up.at, up.size, up.p_value) == (down.at, -down.size, down.p_value)


def test_more_noise_hides_larger_changes():
    quiet, loud = (levels(series(8, (0, 20), noise=noise)).detectable for noise in (0.01, 0.1))
    assert loud == pytest.approx(10 * quiet)
    assert 0.01 < quiet < 0.06


def test_of_a_long_series_the_newest_values_count_and_indices_are_of_all(monkeypatch):
    monkeypatch.setattr(level, "MOST", 20)
    values = np.concatenate([np.full(50, 9.0), series(10, (0, 10), (1, 10), noise=0.01)])
    (change,) = levels(values).changes
    assert change.at == 60


@pytest.mark.parametrize("arguments", [{"alpha": 0}, {"alpha": 1}, {"confidence": 1}, {"tests": 0}], ids=str)
def test_what_is_out_of_range_is_refused(arguments):
    with pytest.raises(ValueError, match="between 0 and 1"):
        levels([1.0] * 10, **arguments)


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        levels([1.0] * 9 + [math.nan])
