"""Draws are looked up: the same for the same question, and distributed as they should be."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.engines.sim.draws import NOISE, TAIL, exponential, lognormal, sigma_of, stream, uniform, unit

MANY = 20_000
integers = st.integers(-(2**70), 2**70)


@given(integers, integers, integers, st.sampled_from([NOISE, TAIL]))
def test_a_draw_lies_strictly_between_0_and_1(seed, key, index, purpose):
    assert 0 < uniform(seed, key, index, purpose) < 1


@given(integers, integers, st.lists(st.integers(0, 1000), unique=True, min_size=2), st.randoms())
def test_draws_do_not_depend_on_the_order_of_asking(seed, key, indices, random):
    start = stream(seed, key)
    first = {index: unit(start, index, NOISE) for index in indices}
    random.shuffle(indices)
    assert first == {index: uniform(seed, key, index, NOISE) for index in indices}


def test_draws_are_the_same_on_every_machine():
    assert uniform(0, 0, 0, NOISE) == 0.24561791816570044
    assert uniform(1, -5, 3, TAIL) == 0.04803621512174405


@pytest.mark.parametrize("along", ["seed", "key", "index", "purpose"])
def test_draws_are_uniform_and_uncorrelated_along_every_argument(along):
    drawn = [uniform(**({"seed": 0, "key": 0, "index": 0, "purpose": 1} | {along: n})) for n in range(MANY)]
    assert statistics.mean(drawn) == pytest.approx(1 / 2, abs=0.01)
    assert statistics.pstdev(drawn) == pytest.approx(math.sqrt(1 / 12), abs=0.01)
    assert abs(statistics.correlation(drawn[1:], drawn[:-1])) < 0.03
    assert len(set(drawn)) == MANY


def test_draws_for_two_purposes_are_uncorrelated():
    pairs = [(uniform(0, key, 0, NOISE), uniform(0, key, 0, TAIL)) for key in range(MANY)]
    assert abs(statistics.correlation(*zip(*pairs, strict=True))) < 0.03


@pytest.mark.parametrize("cv", [0.05, 0.2, 1.0])
def test_the_lognormal_has_mean_1_and_the_variation_asked_for(cv):
    start = stream(4, 2)
    drawn = [lognormal(start, index, NOISE, sigma_of(cv)) for index in range(MANY)]
    assert statistics.mean(drawn) == pytest.approx(1, abs=0.03)
    assert statistics.pstdev(drawn) == pytest.approx(cv, rel=0.1)


def test_the_exponential_has_mean_1_and_variation_1():
    start = stream(4, 2)
    drawn = [exponential(start, index, TAIL) for index in range(MANY)]
    assert statistics.mean(drawn) == pytest.approx(1, abs=0.03)
    assert statistics.pstdev(drawn) == pytest.approx(1, abs=0.05)
