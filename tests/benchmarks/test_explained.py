"""Delays that are programmed into real runs are found, named and sized; the benchmark has all cases, with reruns."""

from __future__ import annotations

from dataclasses import replace

import explained
import pytest

from profiler.analysis.explain import explain

CASES = {case.name: case for case in explained.CASES}
QUICK = ("slow prefill of one step", "one slow tool of three in parallel", "framework sleep in a node")


@pytest.mark.parametrize("name", QUICK)
def test_a_programmed_delay_is_the_first_finding_with_its_step_phase_and_size(name, tmp_path):
    case = replace(CASES[name], chains=6, concurrency=6)
    findings = explain(explained.run_side(case, case.slow, tmp_path / "run")).findings
    first = findings[0]
    assert (first.kind, first.where, first.phase) == (case.kind, case.where, case.phase)
    assert first.gain_ns == pytest.approx(case.programmed_ms * 1e6, rel=0.15)


def test_a_slow_tool_that_is_not_the_last_to_finish_is_not_named(tmp_path):
    case = replace(CASES["one slow tool of three in parallel"], chains=6, concurrency=6)
    hidden = explained.Side({"search_s": 0.5, "sql_s": 0.8}, explained.APART)
    findings = explain(explained.run_side(case, hidden, tmp_path / "run")).findings
    (tool,) = [finding for finding in findings if finding.kind == "slow-tool"]
    assert tool.where == "tool sql"
    assert tool.gain_ns == pytest.approx(3 * 300e6, rel=0.15)


def test_a_profile_takes_changed_and_new_values():
    text = explained.profile_text({"max_running": 2, "mode": "independent", "prefix_caching": False})
    assert "max_running = 2\n" in text
    assert 'mode = "independent"\n' in text
    assert "prefix_caching = false\n" in text
    assert "max_running = 64" not in text
