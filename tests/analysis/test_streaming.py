"""Times of tokens from times of arrivals: no habit of a server on the wire may bias them."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from profiler.analysis.streaming import tokens_in_first_arrival, tpot_ns, ttft_ns

MS = 1000  # of microseconds


def test_time_to_first_token_is_that_of_the_first_chunk():
    assert ttft_ns((1500, 2500)) == 1_500_000
    assert ttft_ns((0,)) == 0
    assert ttft_ns(()) is None


def test_one_token_a_chunk_is_the_usual_definition():
    assert tpot_ns((100, 500, 900), 3) == 400_000.0


def test_four_tokens_a_chunk_do_not_make_the_engine_look_faster():
    # Tokens 1 … 128 at 10 ms each, four to a chunk: arrivals with tokens 4, 8, … 128.
    times = [10 * MS * token for token in range(4, 129, 4)]
    assert tpot_ns(times, 128) == pytest.approx(10e6)
    assert (times[-1] - times[0]) * 1000 / 127 == pytest.approx(9.76e6, rel=1e-3), "the usual division"


def test_four_chunks_in_one_write_do_not_make_the_engine_look_faster():
    times = [10 * MS * (4 * write) for write in range(1, 33) for _ in range(4)]
    assert tpot_ns(times, 128) == pytest.approx(10e6)


def test_a_tool_call_that_was_held_back_until_complete_does_not_make_the_engine_look_slower():
    # Ten tokens of words, then thirty of a tool call that arrive together as one chunk.
    times = [10 * MS * token for token in range(1, 11)] + [10 * MS * 40]
    assert tpot_ns(times, 40) == pytest.approx(10e6)


def test_two_first_chunks_read_together_count_as_two_tokens():
    times = [20 * MS, 20 * MS, *(10 * MS * token for token in range(3, 129))]
    assert tpot_ns(times, 128) == pytest.approx(10e6)


def test_a_rhythm_takes_four_arrivals():
    assert tokens_in_first_arrival((100, 500, 900), 9) == 1.0
    assert tokens_in_first_arrival((100, 100, 900), 9) == 2.0
    assert tokens_in_first_arrival((100, 500, 900, 1300), 12) == 3.0


@pytest.mark.parametrize(
    ("times_us", "tokens"),
    [((), 5), ((100,), 5), ((100, 200), None), ((100, 200), 1), ((100, 200), 0), ((100, 100), 2), ((0, 0, 0), 9)],
)
def test_time_per_token_takes_two_tokens_and_two_arrivals(times_us, tokens):
    assert tpot_ns(times_us, tokens) is None


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=50).map(sorted), st.integers(2, 10**6))
@settings(max_examples=100, deadline=None)
def test_the_first_arrival_holds_at_least_one_token_and_never_all(times_us, tokens):
    assume(times_us[0] < times_us[-1])
    assert 1 <= tokens_in_first_arrival(times_us, tokens) <= tokens - 1
    assert tpot_ns(times_us, tokens) > 0


@given(st.lists(st.integers(1, 10**6), min_size=3, max_size=60), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_as_many_arrivals_as_tokens_need_no_estimate(gaps, more):
    times = [sum(gaps[:index]) for index in range(len(gaps) + 1)]
    assert tokens_in_first_arrival(times, len(times)) == 1.0
    assert tokens_in_first_arrival(times, len(times) + more) >= 1.0
