"""The engine's durations are put onto the client's clock as late as what the client saw allows."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.record.placement import place_phases
from profiler.record.timing import EngineTiming

DURATIONS = st.integers(0, 60)


def placed(queue, prefill, decode, *, sent, first, last):
    return place_phases(EngineTiming("test", queue, prefill, decode), sent, first, last)


def test_the_last_token_is_made_when_it_arrives():
    # sent 0      queue    prefill  decode   last
    #   |----------|--------|--------|---------|
    assert placed(10, 20, 30, sent=0, first=80, last=100) == [
        ("queue", 40, 50),
        ("prefill", 50, 70),
        ("decode", 70, 100),
    ]


def test_prefill_ends_at_the_first_chunk_if_decode_then_ends_before_the_last():
    assert placed(10, 20, 30, sent=0, first=50, last=100) == [
        ("queue", 20, 30),
        ("prefill", 30, 50),
        ("decode", 50, 80),
    ]


def test_a_first_chunk_that_was_held_back_came_after_its_prefill():
    assert placed(10, 20, 60, sent=0, first=90, last=100) == [
        ("queue", 10, 20),
        ("prefill", 20, 40),
        ("decode", 40, 100),
    ]


def test_without_a_first_chunk_all_ends_with_the_last_byte():
    assert placed(10, 20, 30, sent=0, first=None, last=100) == [
        ("queue", 40, 50),
        ("prefill", 50, 70),
        ("decode", 70, 100),
    ]


def test_nothing_begins_before_the_sending_and_what_exceeds_the_window_is_cut_at_its_end():
    assert placed(30, 30, 60, sent=10, first=50, last=100) == [
        ("queue", 10, 40),
        ("prefill", 40, 70),
        ("decode", 70, 100),
    ]
    assert placed(200, 30, 60, sent=10, first=50, last=100) == [("queue", 10, 100)]


def test_a_phase_that_did_not_last_is_left_out():
    assert placed(0, 20, 0, sent=0, first=50, last=50) == [("prefill", 30, 50)]
    assert placed(0, 0, 0, sent=0, first=50, last=50) == []


def test_a_window_that_is_empty_or_negative_has_no_phases():
    assert placed(1, 2, 3, sent=10, first=10, last=10) == []
    assert placed(1, 2, 3, sent=10, first=None, last=5) == []


@st.composite
def cases(draw):
    sent = draw(st.integers(0, 100))
    last = sent + draw(st.integers(0, 200))
    first = draw(st.none() | st.integers(sent, last))
    return {
        **dict(zip(("queue", "prefill", "decode"), draw(st.tuples(DURATIONS, DURATIONS, DURATIONS)), strict=True)),
        "sent": sent,
        "first": first,
        "last": last,
    }


@settings(max_examples=120, deadline=None)
@given(cases())
def test_phases_are_in_order_contiguous_and_inside_the_window(case):
    found = placed(**case)
    names = [name for name, _, _ in found]
    assert names == [name for name in ("queue", "prefill", "decode") if name in names]
    assert all(start < end for _, start, end in found)
    assert all(one[2] == other[1] for one, other in pairwise(found))
    if found:
        assert case["sent"] <= found[0][1]
        assert found[-1][2] <= case["last"]


@settings(max_examples=120, deadline=None)
@given(cases())
def test_phases_that_fit_keep_their_durations_and_are_as_late_as_they_can_be(case):
    durations = {name: case[name] for name in ("queue", "prefill", "decode") if case[name]}
    until_first = case["queue"] + case["prefill"]

    def possible(start):
        made_in_time = case["first"] is None or start + until_first <= case["first"]
        return start >= case["sent"] and made_in_time and start + until_first + case["decode"] <= case["last"]

    starts = [start for start in range(case["sent"], case["last"] + 1) if possible(start)]
    found = placed(**case)
    if starts:
        assert {name: end - start for name, start, end in found} == durations
        if found:
            assert found[0][1] == max(starts)
    else:
        assert all(end - start <= durations[name] for name, start, end in found)
        if found:
            assert found[0][1] == case["sent"]
