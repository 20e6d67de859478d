"""The benchmark of `profiler ab` in real time: what it takes for right, and one short run of the real command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gate_real
import pytest

from profiler.engines.sim.profile import load_profile
from profiler.script import load_script

CASES = {case.name: case for case in gate_real.CASES}


def outcome(name, **changes):
    case = CASES[name]
    facts = {"verdict": case.verdicts[0], "words": "said", "phase": case.phase, "blame": case.reason, "seconds": 60.0}
    return gate_real.Outcome(case, **{**facts, **changes})


def test_a_slower_profile_is_the_base_with_every_time_a_tenth_longer(tmp_path):
    _, path = gate_real.slower_profile(tmp_path)
    base, slower = load_profile(gate_real.STEADY), load_profile(path)
    changed = {name for name in type(base).model_fields if getattr(base, name) != getattr(slower, name)}
    assert changed == {"name", *gate_real.TIMES}
    for name in gate_real.TIMES:
        assert getattr(slower, name) == pytest.approx(1.1 * getattr(base, name))
    times = {name for name in type(base).model_fields if name.endswith("_us") and getattr(base, name)}
    assert times == set(gate_real.TIMES), "every time that the profile has is made longer"


def test_a_longer_script_says_the_same_in_a_fifth_more_tokens(tmp_path):
    _, path = gate_real.longer_script(tmp_path)
    base, longer = load_script(gate_real.AGENTS / "react.script.json"), load_script(Path(path))
    calls = [[call for task in each.tasks.values() for call in task.calls] for each in (base, longer)]
    for before, after in zip(*calls, strict=True):
        assert 0 <= after.output_tokens - 1.2 * before.output_tokens < 1
        assert after.model_copy(update={"output_tokens": before.output_tokens}) == before


def printed(verdict, *blame):
    rows = [{"phase": phase, "words": words, "certain": certain} for phase, words, certain in blame]
    return json.dumps({"ab": {"verdict": verdict, "words": "said"}, "comparisons": [{"blame": rows}]})


def test_what_is_blamed_is_the_first_that_is_beyond_chance():
    out = printed("regressed", ("tool", "x", False), ("decode", "step 1", True), ("prefill", "step 2", True))
    assert gate_real.read(1, out, "") == ("regressed", "said", "decode", "step 1")
    assert gate_real.read(0, printed("not regressed", ("tool", "x", False)), "") == ("not regressed", "said", "", "")
    assert gate_real.read(0, printed("cannot tell"), "") == ("cannot tell", "said", "", "")


@pytest.mark.parametrize(
    ("code", "out", "words"),
    [
        (0, printed("regressed"), "exit code 0, but: said"),
        (1, printed("not regressed"), "exit code 1, but: said"),
        (4, "", "exit code 4: error: no engine"),
        (3, '{"ab": {}}', "exit code 3: error: no engine"),
    ],
)
def test_a_verdict_whose_exit_code_does_not_fit_or_that_is_missing_is_none(code, out, words):
    assert gate_real.read(code, out, "starting\n  error: no engine\n\n") == ("none", words, "", "")


def test_right_is_verdict_blame_and_time_together():
    assert outcome("vllm-cache-off").right
    assert outcome("vllm-alike", verdict="cannot tell", phase="", blame="").right
    assert outcome("sim-alike", verdict="cannot tell").wrong == ["verdict"]
    assert outcome("vllm-cache-off", phase="decode").wrong == ["blame"]
    assert outcome("vllm-longer", blame="time per token 10 ms → 12 ms").wrong == ["blame"]
    assert outcome("vllm-longer", verdict="none", phase="", blame="", seconds=301).wrong == ["verdict", "blame", "time"]


def test_the_table_has_a_row_for_each_run_and_says_what_is_wrong():
    text = gate_real.section("sim", [outcome("sim-alike"), outcome("sim-slower", verdict="cannot tell", blame="a|b")])
    assert "1 of 2 runs of `profiler ab` came out right" in text
    rows = [line for line in text.splitlines() if line.startswith("| sim-")]
    assert rows[0] == "| sim-alike | nothing | not regressed | not regressed | — | 60 | right |"
    assert rows[1].endswith("| cannot tell | a\\|b | 60 | wrong: verdict, blame |")


def test_a_case_of_another_engine_is_usage(capsys):
    assert gate_real.main(["--engine", "sim", "--case", "vllm-alike"]) == 2
    assert "--engine sim has none of the cases vllm-alike" in capsys.readouterr().err


@pytest.mark.live
def test_a_run_is_the_real_command_with_the_verdict_that_it_printed(tmp_path):
    both = ["--backend", "sim", "--task=lost-laptop", "--task=mast-in-feet"]
    slower = replace(CASES["sim-slower"], both=both, candidate=lambda _: ["--sim-profile", "paced"], rounds=2)
    found = gate_real.measured(slower, 1, tmp_path, seed=0)
    assert found.verdict != "none"  # which one is a matter of what else the machine does
    assert "of at most 4 pairs of chains" in found.words
    runs = [json.loads((tmp_path / "sim-slower-1" / "ab" / side / "run.json").read_text()) for side in "ab"]
    assert [run["status"] for run in runs] == ["finished", "finished"]
    assert found.seconds > 0
