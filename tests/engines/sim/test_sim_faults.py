"""Faults: names, probabilities, draws, and what they make of bytes."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.engines.sim import faults
from profiler.engines.sim.faults import FAULTS, FaultPlan, parse_faults
from profiler.engines.sim.spoil import spoilt_body, spoilt_event
from profiler.errors import UsageError

BODY = b'{"id":"1","choices":[{"text":"a"}]}'


def test_a_name_alone_is_certain():
    assert parse_faults(["reset"]) == {"reset": 1.0}


def test_any_is_spread_evenly():
    found = parse_faults(["any=0.13"])
    assert set(found) == set(FAULTS)
    assert all(each == pytest.approx(0.01) for each in found.values())


def test_probabilities_of_one_fault_add_up():
    assert parse_faults(["reset=0.1", "reset=0.2", "any=0.13"])["reset"] == pytest.approx(0.31)


@pytest.mark.parametrize("text", ["", "explode", "reset=", "reset=2", "reset=-1", "reset=nan", "reset=x", "=0.5"])
def test_anything_else_is_refused_with_a_remedy(text):
    with pytest.raises(UsageError) as caught:
        parse_faults([text])
    assert caught.value.remedy


def test_more_than_certain_is_refused():
    with pytest.raises(UsageError, match="exceed 1"):
        parse_faults(["reset=0.6", "hang=0.6"])


def test_every_request_fails_if_failing_is_certain():
    plan = FaultPlan(parse_faults(["any"]))
    assert all(plan.draw(0, key, 1) in FAULTS for key in range(2000))


def test_faults_come_as_often_as_told():
    plan = FaultPlan({"reset": 0.1, "hang": 0.3})
    found = Counter(plan.draw(0, key, 1) for key in range(20_000))
    assert found["reset"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert found["hang"] / 20_000 == pytest.approx(0.3, abs=0.015)


def test_a_retry_draws_anew():
    plan = FaultPlan({"reset": 0.5})
    draws = [plan.draw(0, 7, occurrence) for occurrence in range(1, 200)]
    assert 60 < draws.count("reset") < 140


@given(st.integers(), st.integers(0, 2**64 - 1), st.integers(1, 100))
def test_a_draw_is_the_same_every_time(seed, key, occurrence):
    plan = FaultPlan({"reset": 0.5})
    assert plan.draw(seed, key, occurrence) == plan.draw(seed, key, occurrence)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("fault", [faults.MALFORMED_JSON, faults.INVALID_UTF8, faults.OVERSIZED])
def test_a_spoilt_event_is_still_one_event(fault, end):
    spoilt = spoilt_event(fault, b"data: " + BODY + end, 100)
    assert spoilt.startswith(b"data: ")
    assert spoilt.endswith(end)
    assert spoilt.count(b"\n") == 2
    assert spoilt == b"data: " + spoilt_body(fault, BODY, 100) + end


def test_what_is_too_large_or_no_text_is_json_otherwise():
    large = json.loads(spoilt_body(faults.OVERSIZED, BODY, 100))
    odd = json.loads(spoilt_body(faults.INVALID_UTF8, BODY, 100).decode(errors="replace"))
    assert len(large.pop("x")) == 100
    assert odd.pop("x")
    assert large == odd == json.loads(BODY)
