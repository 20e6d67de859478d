"""Times of tokens from times of arrivals: no habit of a server on the wire may bias them."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from profiler.analysis.streaming import FROM_CHUNKS, FROM_ENGINE, tpot, ttft_ns

MS = 1000  # of microseconds
NS = 10_000_000  # that a token takes


def paced(*tokens):
    """When these tokens are made, at 10 ms each."""
    return [10 * MS * token for token in tokens]


def test_time_to_first_token_is_that_of_the_first_chunk():
    assert ttft_ns((1500, 2500)) == 1_500_000
    assert ttft_ns((0,)) == 0
    assert ttft_ns(()) is None


def test_one_token_a_chunk_is_the_usual_definition_and_the_clients_own_clock():
    assert tpot((100, 500, 900), 3) == (400_000.0, FROM_CHUNKS)
    assert tpot((100, 500, 900), 3, decode_ns=10) == (400_000.0, FROM_CHUNKS)


@pytest.mark.parametrize("decode_ns", [None, 127 * NS])
def test_four_tokens_a_chunk_do_not_make_the_engine_look_faster(decode_ns):
    times = paced(*range(4, 129, 4))
    found = tpot(times, 128, decode_ns=decode_ns)
    assert found == (pytest.approx(NS), FROM_CHUNKS)
    assert (times[-1] - times[0]) * 1000 / 127 == pytest.approx(9.76e6, rel=1e-3), "the usual division"


def test_four_chunks_in_one_write_do_not_make_the_engine_look_faster():
    times = paced(*(4 * write for write in range(1, 33) for _ in range(4)))
    assert tpot(times, 128) == (pytest.approx(NS), FROM_CHUNKS)


def test_two_first_chunks_read_together_count_as_two_tokens():
    assert tpot(paced(2, 2, *range(3, 129)), 128) == (pytest.approx(NS), FROM_CHUNKS)


HELD_BACK = {
    "words, then a call": (paced(*range(1, 11), 40), 40),
    "two calls": (paced(40, 80), 80),
    "three calls of equal length": (paced(40, 80, 120), 120),
    "four calls of equal length": (paced(40, 80, 120, 160), 160),
    "one call": (paced(40), 40),
    "a name once it is known, then its arguments token by token": (paced(*range(12, 39)), 40),
    "reasoning that is not sent nor counted apart": (paced(*range(61, 121)), 120),
}


@pytest.mark.parametrize(("times_us", "tokens"), HELD_BACK.values(), ids=HELD_BACK)
def test_where_chunks_do_not_tell_the_engine_does(times_us, tokens):
    assert tpot(times_us, tokens, decode_ns=(tokens - 1) * NS) == (NS, FROM_ENGINE)


@pytest.mark.parametrize(("times_us", "tokens"), [each for name, each in HELD_BACK.items() if "reasoning" not in name])
def test_where_nobody_tells_the_time_per_token_is_missing_rather_than_wrong(times_us, tokens):
    assert tpot(times_us, tokens) is None


def test_reasoning_that_is_counted_and_not_sent_came_in_no_chunk():
    times = paced(*range(61, 121))
    assert tpot(times, 120, unseen_tokens=60) == (pytest.approx(NS), FROM_CHUNKS)
    assert tpot(paced(*range(1, 121)), 120, unseen_tokens=60) == (pytest.approx(NS), FROM_CHUNKS), "it was sent"


def test_a_token_without_a_chunk_of_its_own_is_no_matter_among_many():
    assert tpot(paced(*range(1, 100)), 100) == (pytest.approx(NS, rel=0.02), FROM_CHUNKS)
    assert tpot(paced(1, 2, 3, 4), 5) is None
    assert tpot(paced(1, 2, 3, 4), 5, decode_ns=4 * NS) == (NS, FROM_ENGINE)


def test_large_chunks_at_an_even_pace_are_believed_unless_the_engine_contradicts():
    half = paced(*range(61, 121))  # 60 tokens were never sent: what came looks like two tokens a chunk
    assert tpot(half, 120, decode_ns=119 * NS) == (NS, FROM_ENGINE)


@pytest.mark.parametrize(
    ("times_us", "tokens"),
    [((), 5), ((100,), 5), ((100, 200), None), ((100, 200), 1), ((100, 200), 0), ((100, 100), 2), ((0, 0, 0), 9)],
)
def test_time_per_token_takes_two_tokens_and_two_arrivals(times_us, tokens):
    assert tpot(times_us, tokens) is None


def test_without_any_chunk_the_engine_is_not_asked():
    assert tpot((), 5, decode_ns=100) is None


@given(
    st.lists(st.integers(0, 10**12), min_size=2, max_size=50).map(sorted),
    st.integers(2, 10**6),
    st.integers(0, 10**6),
    st.none() | st.integers(0, 10**12),
)
@settings(max_examples=100, deadline=None)
def test_the_divisor_is_at_least_one_token_and_at_most_all_but_one(times_us, tokens, unseen, decode_ns):
    assume(times_us[0] < times_us[-1])
    found = tpot(times_us, tokens, unseen_tokens=unseen, decode_ns=decode_ns)
    if found is not None and found.source == FROM_CHUNKS:
        length_ns = (times_us[-1] - times_us[0]) * 1000
        assert length_ns / (tokens - 1) <= found.ns <= length_ns
    elif found is not None:
        assert found.ns == decode_ns / (tokens - 1)
    else:
        assert decode_ns is None


@given(st.lists(st.integers(1, 10**6), min_size=3, max_size=60))
@settings(max_examples=50, deadline=None)
def test_as_many_arrivals_as_tokens_need_no_estimate(gaps):
    times = [sum(gaps[:index]) for index in range(len(gaps) + 1)]
    assert tpot(times, len(times)) == (sum(gaps) * 1000 / len(gaps), FROM_CHUNKS)
