"""Quantiles: right intervals where the sample allows them, none where it does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from profiler.stats.quantiles import chains_needed, quantile

SAMPLES = st.lists(st.integers(0, 10**12).map(float), min_size=1, max_size=120)
SHARES = st.floats(0.01, 0.99)


def test_an_empty_sample_has_no_quantile():
    assert quantile([], 0.5) is None


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
def test_one_observation_is_every_quantile_and_bounds_none(p):
    found = quantile([7.0], p)
    assert (found.p, found.n, found.value, found.low, found.high) == (p, 1, 7.0, None, None)


def test_six_observations_bound_a_median_by_the_outermost():
    found = quantile([60.0, 10.0, 30.0, 20.0, 50.0, 40.0], 0.5)
    assert (found.value, found.low, found.high) == (35.0, 10.0, 60.0)


def test_a_small_sample_bounds_p95_from_below_only():
    found = quantile([float(value) for value in range(1, 31)], 0.95)
    assert found.low == 26.0
    assert found.high is None


@settings(max_examples=18, deadline=None)
@given(SAMPLES, SHARES)
def test_estimate_and_interval_are_those_of_numpy_and_scipy(sample, p):
    found = quantile(sample, p)
    assert found.value == np.quantile(sample, p)
    theirs = stats.quantile_test(sample, q=0, p=p).confidence_interval(0.95)
    ours = [float("nan") if bound is None else bound for bound in (found.low, found.high)]
    np.testing.assert_array_equal(ours, [theirs.low, theirs.high])


@settings(max_examples=18, deadline=None)
@given(SAMPLES, st.floats(0.05, 0.95))
def test_bounds_are_observations_around_the_estimate(sample, p):
    found = quantile(sample, p)
    assert min(sample) <= found.value <= max(sample)
    if found.low is not None:
        assert found.low in sample
        assert found.low <= found.value
    if found.high is not None:
        assert found.high in sample
        assert found.high >= found.value


@settings(max_examples=10, deadline=None)
@given(SAMPLES, SHARES, st.randoms(use_true_random=False))
def test_the_order_of_the_sample_does_not_matter(sample, p, random):
    shuffled = list(sample)
    random.shuffle(shuffled)
    assert quantile(shuffled, p) == quantile(sample, p)


@pytest.mark.parametrize(("p", "needed"), [(0.5, 6), (0.95, 72), (0.05, 72), (0.99, 368), (0.9, 36)])
def test_chains_needed_is_the_smallest_sample_with_both_bounds(p, needed):
    assert chains_needed(p) == needed
    enough = quantile([float(value) for value in range(needed)], p)
    one_less = quantile([float(value) for value in range(needed - 1)], p)
    assert None not in (enough.low, enough.high)
    assert None in (one_less.low, one_less.high)


@pytest.mark.parametrize("p", [0.01, 0.2, 0.3, 0.49, 0.51, 0.7, 0.8, 0.975])
def test_fewer_chains_than_needed_never_have_both_bounds(p):
    needed = chains_needed(p)
    for n in {1, 2, needed // 2, needed - 1, needed, needed + 1}:
        found = quantile([float(value) for value in range(n)], p)
        assert (None not in (found.low, found.high)) == (n >= needed), n


def test_more_confidence_takes_more_chains():
    assert chains_needed(0.5, 0.99) == 8
    assert chains_needed(0.95, 0.99) == 104


@pytest.mark.parametrize(("p", "n"), [(0.5, 25), (0.95, 100)])
def test_the_interval_covers_the_true_quantile_in_95_of_100_runs(p, n):
    # Latencies are skewed: lognormal. Seeded; the bound leaves 4 standard errors of 200 runs below 95%.
    draw = np.random.default_rng(20260101)
    true = float(stats.lognorm(0.8).ppf(p))
    runs = 200
    covered = 0
    for sample in draw.lognormal(0.0, 0.8, (runs, n)):
        found = quantile(list(sample), p)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= true <= found.high
    assert covered / runs >= 0.95 - 4 * (0.95 * 0.05 / runs) ** 0.5
