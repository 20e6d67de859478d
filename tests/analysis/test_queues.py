"""Queue time and the requests that waited."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from profiler.analysis.queues import Busy, busy, queue_by_waiting

MS = 1_000_000


def calls(waiting, queued_ms):
    return pd.DataFrame(
        {
            "engine_waiting": pd.array(waiting, dtype="Int64"),
            "queue_ns": pd.array([None if each is None else round(each * MS) for each in queued_ms], dtype="Int64"),
        }
    )


def test_it_is_told_with_both_ends():
    waiting = [0] * 10 + [3] * 10 + [8] * 10
    found = queue_by_waiting(calls(waiting, [1 + 20 * each for each in waiting]))
    assert found == (
        "Queue time rose with the requests that waited at the engine: 1.00 ms where none did, "
        "111 ms where 3 or more did (medians, by its own metrics)."
    )


def test_where_most_saw_none_waiting_the_others_are_held_against_them():
    waiting = [0] * 40 + [5] * 8
    found = queue_by_waiting(calls(waiting, [1 if each == 0 else 50 for each in waiting]))
    assert "1.00 ms where none did, 50.0 ms where 5 or more did" in found


def test_it_is_not_told_where_others_waited_and_these_did_not_queue_longer():
    draws = np.random.default_rng(0)
    assert queue_by_waiting(calls(draws.integers(0, 9, 60), draws.uniform(1, 2, 60))) == ""


def test_a_small_rise_is_not_worth_telling():
    waiting = list(range(30))
    assert queue_by_waiting(calls(waiting, [100 + each for each in waiting])) == ""


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"queue_ns": [1, 2]}),
        calls([], []),
        calls([None] * 30, [1] * 30),
        calls([1] * 30, [None] * 30),
        calls([4] * 30, range(30)),
        calls([0, 9], [0, 900]),
    ],
    ids=["not sampled", "no call", "none known", "no engine timing", "always as many", "two calls"],
)
def test_without_knowledge_nothing_is_said(table):
    assert queue_by_waiting(table) == ""


def test_how_busy_it_was_is_the_most_of_what_was_seen():
    table = pd.DataFrame(
        {
            "engine_running": pd.array([3, None, 8], dtype="Int64"),
            "engine_waiting": pd.array([0, None, 2], dtype="Int64"),
            "engine_kv_cache_usage": pd.array([0.5, None, None], dtype="Float64"),
            "engine_preemptions": pd.array([0, 1, None], dtype="Int64"),
        }
    )
    assert busy(table) == Busy(2, 8, 2, 0.5, 1)
    nothing = table.assign(**dict.fromkeys(table, pd.array([None] * 3, dtype="Int64")))
    assert busy(nothing) is None
    assert busy(pd.DataFrame({"queue_ns": [1]})) is None
    assert busy(nothing.assign(engine_waiting=table["engine_waiting"])) == Busy(2, None, 2, None, None)
