"""Delays that are programmed into real runs are found, named and sized; the benchmark has all cases, with reruns."""

from __future__ import annotations

from dataclasses import replace

import explained
import pytest

from profiler.analysis.explain import explain

CASES = {case.name: case for case in explained.CASES}
QUICK = ("slow prefill of one step", "one slow tool of three in parallel", "framework sleep in a node")


def findings_of(case, side, folder, fit):
    """Of a run, or of another one where the machine's other work took as long as what was programmed."""
    for attempt in range(4):
        findings = explain(explained.run_side(case, side, folder / f"run{attempt}")).findings
        if any(map(fit, findings)):
            break
    return findings


@pytest.mark.parametrize("name", QUICK)
def test_a_programmed_delay_is_the_first_finding_with_its_step_phase_and_size(name, tmp_path):
    case = replace(CASES[name], chains=6, concurrency=6)
    wanted = (case.kind, case.where, case.phase, pytest.approx(case.programmed_ms * 1e6, rel=0.15))
    first = findings_of(case, case.slow, tmp_path, lambda each: facts_of(each) == wanted)[0]
    assert facts_of(first) == wanted


def facts_of(finding):
    return finding.kind, finding.where, finding.phase, finding.gain_ns


def test_a_slow_tool_that_is_not_the_last_to_finish_is_not_named(tmp_path):
    case = replace(CASES["one slow tool of three in parallel"], chains=6, concurrency=6)
    hidden = explained.Side({"search_s": 0.5, "sql_s": 0.8}, explained.APART)
    gain_ns = pytest.approx(3 * 300e6, rel=0.15)
    findings = findings_of(case, hidden, tmp_path, lambda each: each.gain_ns == gain_ns)
    (tool,) = [finding for finding in findings if finding.kind == "slow-tool"]
    assert tool.where == "tool sql"
    assert tool.gain_ns == gain_ns


def test_a_profile_takes_changed_and_new_values():
    text = explained.profile_text({"max_running": 2, "mode": "independent", "prefix_caching": False})
    assert "max_running = 2\n" in text
    assert 'mode = "independent"\n' in text
    assert "prefix_caching = false\n" in text
    assert "max_running = 64" not in text
