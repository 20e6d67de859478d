"""The gate's error rates in virtual time; the benchmark has all cases."""

from __future__ import annotations

import sys

import gate
import numpy as np
import pytest
import virtual


@pytest.mark.slow
def test_the_short_version_is_as_promised(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gate.py", "--check"])
    assert gate.main() == 0
    assert "all as promised" in capsys.readouterr().out


def test_rates_that_are_worse_than_promised_do_not_hold():
    nothing = gate.Case("A/A", virtual.measure, 500)
    found = gate.Case("slower", virtual.measure, 500, "chain time", 0.9)
    for alarms, holds in ((25, True), (60, False)):
        assert gate.Rates(nothing, 500, {"chain time": alarms}, 1000).holds() is holds
    for alarms, holds in ((440, True), (400, False)):
        assert gate.Rates(found, 500, {"chain time": alarms}, 500).holds() is holds


def test_equal_seeds_make_equal_checks():
    one, two, other = (virtual.measure(seed, virtual.World(), virtual.World()) for seed in (1, 1, 2))
    assert np.array_equal(one.base.chain, two.base.chain)
    assert not np.array_equal(one.base.chain, other.base.chain)


def test_a_script_fixes_the_number_of_calls_and_no_script_lets_it_vary():
    pinned = virtual.measure(1, virtual.World(free=False), virtual.World(free=False))
    assert np.array_equal(pinned.base.steps, pinned.candidate.steps)
    assert set(pinned.base.steps.ravel()) == {3, 4, 5, 6, 7, 8}
    free = virtual.measure(1, virtual.World(), virtual.World())
    assert np.ptp(free.base.steps, axis=1).max() == 2


def test_calls_vary_as_much_as_they_should():
    side = virtual.measure(1, virtual.World(), virtual.World(), repeats=100).base
    calls = side.calls[~np.isnan(side.calls)]
    assert calls.std() / calls.mean() == pytest.approx(0.3, abs=0.02)
    assert side.chain == pytest.approx(np.nansum(side.calls, axis=-1))


def test_drift_cancels_where_runs_are_interleaved_and_not_where_they_are_apart():
    still = virtual.World(cv=1e-6, free=False)
    ratios = {
        interleaved: [
            np.log(measured.candidate.chain.mean() / measured.base.chain.mean())
            for measured in (virtual.measure(seed, still, still, interleaved=interleaved) for seed in range(40))
        ]
        for interleaved in (True, False)
    }
    assert np.abs(ratios[True]).max() < 0.005
    assert 0.03 < np.std(ratios[False]) < 0.06


def test_the_engine_takes_less_for_a_prompt_that_it_has_seen():
    planned, lengths = virtual.plans(6)
    assert planned.min() > 24 * 0.0069  # 24 tokens, one step of the engine each
    assert list(lengths) == [3, 4, 5, 6, 7, 8]


def test_a_slower_engine_makes_slower_chains_of_the_same_calls():
    measured = virtual.on_the_engine(1, slower=1.5, tasks=6, repeats=2, at_once=3)
    assert np.array_equal(measured.base.steps, measured.candidate.steps)
    assert measured.candidate.chain.sum() / measured.base.chain.sum() == pytest.approx(1.5, abs=0.15)


def test_stalls_raise_the_quantile_by_what_was_asked_for():
    length = virtual.stall_that_raises(0.95, 0.2, virtual.World(stalls=0.02))
    plain, stalled = (
        np.concatenate([virtual.measure(seed, world, world).base.chain.ravel() for seed in range(30)])
        for world in (virtual.World(), virtual.World(stalls=0.02, stall=length))
    )
    assert np.quantile(stalled, 0.95) / np.quantile(plain, 0.95) == pytest.approx(1.2, abs=0.05)
