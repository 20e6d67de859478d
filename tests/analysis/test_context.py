"""Growth of prompts: the price of a token, what the cache saved, and chains with more steps."""

from __future__ import annotations

import pytest
from made import MS, call, gap, tables

from profiler.analysis.context import context_of
from profiler.analysis.measured import Measured
from profiler.analysis.prefixes import Prompts

PRICE_MS, BASE_MS = 0.25, 8.0


def of_prompts(measured):
    return context_of(measured, Prompts.of(measured))


def chain(turns=5, *, cache=True, number=0, slow=None):
    """Prompts from 512 tokens that grow by 128; with a cache whole blocks of 64 of the previous one are found."""
    parts = []
    for turn in range(turns):
        prompt = 512 + 128 * turn + 2 * (number % 3)
        cached = (512 + 128 * (turn - 1)) // 64 * 64 if cache and turn else 0
        prefill = BASE_MS + PRICE_MS * (prompt - cached) + (500 if turn == slow else 0)
        parts += [call(prefill=prefill, decode=45, input_tokens=prompt, cached_tokens=cached, output_tokens=10), gap(5)]
    return parts


def context(**options):
    return of_prompts(Measured.of(tables(*[chain(number=at, **options) for at in range(6)])))


def test_the_price_of_a_token_is_the_slope():
    cost = context().cost
    assert cost.per_token_ns == pytest.approx(PRICE_MS * MS, rel=1e-6)
    assert cost.base_ns == pytest.approx(BASE_MS * MS, rel=0.01)
    assert cost.low_ns <= cost.per_token_ns <= cost.high_ns
    assert cost.calls == 30


def test_a_slow_step_does_not_bend_the_price():
    assert context(cache=False, slow=4).cost.per_token_ns == pytest.approx(PRICE_MS * MS, rel=0.01)


def test_without_spread_there_is_no_price():
    one = [call(prefill=50, decode=45, input_tokens=500, cached_tokens=0, output_tokens=10)] * 3
    found = of_prompts(Measured.of(tables(*[one] * 6)))
    assert found.cost is None
    assert (found.projections, found.saved_ns, found.missed_ns) == ((), None, None)


def test_without_prompt_lengths_there_is_nothing():
    assert of_prompts(Measured.of(tables([call(unaccounted=50, timed=False)]))) is None


def test_the_cache_saved_what_it_found():
    found = context()
    assert found.saved_ns == pytest.approx((512 + 640 + 768 + 896) * PRICE_MS * MS, rel=1e-6)
    assert found.missed_ns == 0
    assert context(cache=False).missed_ns == pytest.approx(found.saved_ns, rel=1e-6)
    assert context(cache=False).saved_ns == 0


def test_rows_tell_growth_and_its_price():
    first, second, *_ = context().rows
    assert (first.growth_tokens, second.growth_tokens) == (None, 128)
    assert second.growth_ns == pytest.approx(128 * PRICE_MS * MS, rel=1e-6)
    assert second.cacheable_tokens == second.cached_tokens == 512


@pytest.mark.parametrize(("cache", "name"), [(True, "cached_ns"), (False, "uncached_ns")])
def test_the_projection_at_the_present_length_is_the_present_chain(cache, name):
    found = context(cache=cache)
    now = Measured.of(tables(*[chain(number=at, cache=cache) for at in range(6)])).e2e_ns.mean()
    assert getattr(found.projections[0], name) == pytest.approx(now, rel=1e-9)


def test_the_present_length_is_the_measured_chain_though_prefill_is_no_straight_line():
    made = Measured.of(tables(*[chain(number=at, slow=4) for at in range(6)]))
    assert of_prompts(made).projections[0].cached_ns == pytest.approx(made.e2e_ns.mean(), rel=1e-9)


@pytest.mark.parametrize("factor", [2, 5])
def test_the_projection_is_what_longer_chains_take(factor):
    """Checked against chains that are really that long."""
    projected = next(each for each in context().projections if each.factor == factor)
    longer = [tables(*[chain(5 * factor, number=at, cache=cache) for at in range(6)]) for cache in (True, False)]
    with_cache, without = (Measured.of(each).e2e_ns.mean() for each in longer)
    assert projected.cached_ns == pytest.approx(with_cache, rel=0.05)
    assert projected.uncached_ns == pytest.approx(without, rel=0.01)
