"""Whole decisions of `profiler check` in virtual time: from tables such as a run has to the verdict of the command."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import gate
import gate_check
import pytest
import virtual

from profiler.compare.comparison import compare
from profiler.stats.paired import Verdict


@pytest.mark.parametrize("in_turns", [True, False])
def test_virtual_runs_compare_as_recorded_ones_do(in_turns):
    measured = virtual.measure(1, gate.FREE, gate.FREE, tasks=6, repeats=2, interleaved=in_turns)
    base, candidate = gate_check.recorded(measured, 1)
    found = compare(base, candidate)
    found.check()
    assert (found.order.interleaved, found.order.at_once) == (in_turns, 0)
    assert (found.tasks, found.chains, found.varying > 0) == (6, (12, 12), True)
    assert base.tables.chains["e2e_ns"].to_numpy() / 1e9 == pytest.approx(measured.base.chain.ravel())
    assert base.tables.chains["calls"].sum() == len(base.tables.calls) == len(base.tables.steps)
    assert (base.tables.calls["ttft_ns"] <= base.tables.calls["call_e2e_ns"]).all()


def test_the_command_finds_a_slowdown_by_the_primary_margin():
    measured = virtual.measure(1, gate.PINNED, replace(gate.PINNED, slower=1.1))
    checked = gate_check.decided(measured, 1)
    assert [each.verdict for each in checked.judged if each.primary] == [Verdict.REGRESSED]
    assert gate_check.decided(measured, 1, turned=True).verdict is not Verdict.REGRESSED


def test_decisions_worse_than_promised_do_not_hold():
    alike = gate_check.Whole("A/A", gate.FREE, gate.FREE, 100)
    slower = gate_check.Whole("slower", gate.FREE, replace(gate.FREE, slower=1.1), 100, promised=0.9)
    for whole, primary, secondary, holds in (
        (alike, 5, 5, True),
        (alike, 20, 5, False),
        (alike, 5, 20, False),
        (slower, 185, 200, True),
        (slower, 150, 200, False),
    ):
        assert gate.as_promised(gate_check.Decisions(whole, 200, primary, secondary, Counter())) is holds
