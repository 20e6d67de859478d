"""The ratio of means, where some chains have nothing of what is compared."""

import numpy as np
import pytest

from profiler.stats.proportion import ratio_of_means


def test_the_ratio_is_of_means_over_tasks_each_counting_alike():
    found = ratio_of_means({"a": [0, 2], "b": [5], "only": [9]}, {"a": [3], "b": [9, 9]})
    assert (found.base, found.candidate, found.ratio, found.tasks) == (3, 6, 2, 2)


def test_the_interval_ends_where_the_test_begins_to_reject():
    draw = np.random.default_rng(1)
    base, candidate = ({f"t{n}": draw.exponential(1, 3) * (draw.random(3) < 0.6) for n in range(15)} for _ in range(2))
    found = ratio_of_means(base, candidate)
    assert found.low < found.ratio < found.high
    assert found.p_above(found.low) == pytest.approx(0.025)
    assert found.p_above(found.high) == pytest.approx(0.975)


def test_what_neither_has_is_the_same_in_both():
    found = ratio_of_means({"a": [0, 0], "b": [0]}, {"a": [0], "b": [0]})
    assert (found.ratio, found.low, found.high, found.p_above(1)) == (1, 1, 1, 1)


def test_what_the_base_has_nothing_of_has_no_ratio_but_more_of_it_may_be_certain():
    found = ratio_of_means({"a": [0], "b": [0], "c": [0]}, {"a": [3], "b": [3.1], "c": [2.9]})
    assert (found.ratio, found.low, found.high) == (None, None, None)
    assert found.p_above(1) < 0.001


def test_a_base_that_is_next_to_nothing_leaves_the_ratio_open():
    found = ratio_of_means({"a": [0], "b": [0], "c": [1]}, {"a": [0], "b": [1], "c": [1]})
    assert (found.ratio, found.low, found.high) == (2, None, None)


def test_exactly_the_same_factor_leaves_no_doubt():
    found = ratio_of_means({"a": [3], "b": [4], "c": [3, 5]}, {"a": [6], "b": [8], "c": [10, 6]})
    assert (found.low, found.high) == (pytest.approx(2), pytest.approx(2))
    assert (found.p_above(1.9) < 0.01, found.p_above(2.1) > 0.99, found.p_above(2)) == (True, True, 1)


def test_one_task_has_a_ratio_and_no_interval_and_none_has_nothing():
    one = ratio_of_means({"a": [1]}, {"a": [3]})
    assert (one.ratio, one.low, one.p_above(1)) == (3, None, None)
    assert ratio_of_means({"a": [1]}, {"b": [1]}).tasks == 0


def test_a_confidence_or_a_value_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="confidence"):
        ratio_of_means({}, {}, confidence=1)
    with pytest.raises(ValueError, match="task 'a': inf"):
        ratio_of_means({"a": [np.inf]}, {"a": [1]})


def test_false_alarms_stay_at_the_level_where_most_chains_have_nothing():
    draw = np.random.default_rng(5)
    alarms = []
    for _ in range(400):
        base, candidate = ({f"t{n}": draw.exponential(1, 4) * (draw.random(4) < 0.4) for n in range(20)} for _ in "ab")
        alarms.append((ratio_of_means(base, candidate).low or 0) > 1)
    assert np.mean(alarms) < 0.05
