"""Delays that a request asks for: what is understood, and what the time model makes of it."""

from __future__ import annotations

import pytest

from profiler.engines.sim.delays import HEADER, Delays, delays_of
from profiler.engines.sim.profile import load_profile
from profiler.engines.sim.request import BadRequest
from profiler.engines.sim.scheduler import Scheduler
from profiler.engines.sim.work import Work

MS = 1_000_000
MODES = pytest.mark.parametrize("mode", ["batched", "independent"])


def times_of(mode, **late):
    """When each token of a lone request is made."""
    scheduler = Scheduler(load_profile("fast").model_copy(update={"mode": mode}), seed=0)
    progress = scheduler.add(Work("a", (1, 2, 3), output_tokens=4, key=7, **late), at_ns=0)
    return progress, [token.at_ns for token in scheduler.advance(10_000 * MS)]


def test_a_request_without_the_header_is_in_time():
    assert delays_of({}) == Delays()


def test_each_place_has_its_own_milliseconds():
    assert delays_of({HEADER: "prefill=300 delivery=0.5"}) == Delays(prefill_ns=300 * MS, delivery_ns=MS // 2)


@pytest.mark.parametrize("text", ["queue=1", "prefill", "prefill=-1", "prefill=nan", "decode=1e9", "=3"])
def test_what_there_is_not_is_refused(text):
    with pytest.raises(BadRequest, match=HEADER):
        delays_of({HEADER: text})


@MODES
def test_a_late_first_token_moves_all_tokens_and_counts_as_prefill(mode):
    _, usual = times_of(mode)
    progress, late = times_of(mode, late_first_ns=5 * MS)
    assert [there - here for here, there in zip(usual, late, strict=True)] == [5 * MS] * 4
    assert progress.scheduled_ns == 0


@MODES
def test_a_late_second_token_leaves_the_first_alone(mode):
    _, usual = times_of(mode)
    _, late = times_of(mode, late_second_ns=5 * MS)
    assert [there - here for here, there in zip(usual, late, strict=True)] == [0, 5 * MS, 5 * MS, 5 * MS]
