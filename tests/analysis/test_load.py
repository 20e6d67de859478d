"""How busy the engine was at the time of each call."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.analysis.load import LOAD, with_load
from profiler.analysis.samples import FIELDS, Samples

S = 1_000_000_000


def calls(*spans, place="model", sent=0):
    """Calls from, to, in nanoseconds."""
    return pd.DataFrame(
        {
            "start_ns": pd.Series([start for start, _ in spans], dtype="int64"),
            "call_e2e_ns": pd.Series([end - start for start, end in spans], dtype="int64"),
            "sent_ns": pd.Series([sent] * len(spans), dtype="Int64"),
            "place": pd.Series([place] * len(spans), dtype="string"),
        }
    )


def samples(*rows, **constant):
    """Rows of time and waiting requests."""
    times = [time for time, _ in rows]
    values = {name: [constant.get(name, math.nan)] * len(rows) for name in FIELDS}
    return Samples.of(times, {**values, "waiting": [waiting for _, waiting in rows]})


def waiting(table, given):
    return [None if value is pd.NA else int(value) for value in with_load(table, given)["engine_waiting"]]


def test_it_is_the_most_of_the_samples_between_sending_and_end():
    #  samples   9   1   4   2   9
    #  call        |---------|
    given = samples((1 * S, 9), (2 * S, 1), (3 * S, 4), (4 * S, 2), (5 * S, 9))
    assert waiting(calls((int(1.5 * S), int(4.5 * S))), given) == [4]


def test_what_was_before_the_sending_does_not_count():
    given = samples((2 * S, 9), (3 * S, 1))
    assert waiting(calls((1 * S, 4 * S), sent=int(1.5 * S)), given) == [1]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ((1_200, 1_300), 7),
        ((1_700, 1_800), 3),
        ((2_400, 2_500), 3),
        ((3_100, 3_200), None),
        ((0, 100), 7),
        ((-5, 1), 7),
    ],
    ids=["after one", "before one", "after the last", "too late", "before the first", "just so early"],
)
def test_between_two_samples_it_is_the_nearer_one_up_to_a_second_away(call, expected):
    given = samples((1 * S, 7), (2 * S, 3))
    assert waiting(calls(tuple(ms * S // 1000 for ms in call)), given) == [expected]


def test_preemptions_are_what_the_counter_rose_by_around_the_call():
    given = Samples.of([1, 2, 3, 4], {**dict.fromkeys(FIELDS, [math.nan] * 4), "preemptions": [5.0, 6.0, 6.0, 9.0]})
    found = with_load(calls((1, 2), (2, 3), (2, 4), (1, 4), (3, 3), (0, 2), (3, 5)), given)["engine_preemptions"]
    assert [None if value is pd.NA else value for value in found] == [1, 0, 3, 4, 0, None, None]


def test_a_counter_that_falls_tells_nothing():
    given = Samples.of([1, 4], {**dict.fromkeys(FIELDS, [math.nan] * 2), "preemptions": [5.0, 0.0]})
    assert with_load(calls((2, 3)), given)["engine_preemptions"].isna().all()


def test_what_the_engine_does_not_tell_is_missing_and_never_nought():
    found = with_load(calls((1, 2)), samples((1, 3), running=2.0))
    assert found["engine_running"].tolist() == [2]
    assert found[["engine_kv_cache_usage", "engine_preemptions"]].isna().all(axis=None)


def test_a_call_to_another_server_has_nothing_to_do_with_the_engine():
    assert waiting(calls((1, 2), place="model@api.example:443"), samples((1, 3))) == [None]


@pytest.mark.parametrize("given", [None, samples()], ids=["no file", "no sample"])
def test_without_samples_the_columns_are_there_and_empty(given):
    found = with_load(calls((1, 2), (3, 4)), given)
    assert found[list(LOAD)].isna().all(axis=None)
    assert {name: str(found[name].dtype) for name in LOAD} == dict(LOAD)


def test_an_empty_table_has_the_columns():
    found = with_load(calls(), samples((1, 3), running=1.0))
    assert {name: str(found[name].dtype) for name in LOAD} == dict(LOAD)


def slowly(start, end, rows):
    """The same by the rule's words."""
    inside = [value for time, value in rows if start <= time <= end]
    if inside:
        return max(inside)
    near = [(start - time, 0, -at, value) for at, (time, value) in enumerate(rows) if time <= start]
    near += [(time - end, 1, at, value) for at, (time, value) in enumerate(rows) if time >= end]
    gap, _, _, value = min(near)
    return value if gap <= S else None


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9)), min_size=1, max_size=8, unique_by=lambda row: row[0]),
    st.lists(st.tuples(st.integers(0, 32), st.integers(0, 12)), min_size=1, max_size=5),
)
def test_it_agrees_with_a_slow_reading_of_the_rule(rows, spans):
    rows = [(time * S, value) for time, value in sorted(rows)]
    asked = [(start * S // 4, (start + length) * S // 4) for start, length in spans]
    assert waiting(calls(*asked), samples(*rows)) == [slowly(*each, rows) for each in asked]


def test_the_other_columns_stay_as_they_were():
    table = calls((1, 2))
    before = table.copy()
    found = with_load(table, samples((1, 3)))
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(found[list(table)], before)
    assert np.array_equal(list(found)[-4:], list(LOAD))
