"""What the shell offers after a Tab."""

from __future__ import annotations

import pytest
from cli_helpers import ROOT
from click.shell_completion import ShellComplete
from pinned_agent import commit, git, write_agent

from profiler.cli import cli


def offered(*words: str) -> list[str]:
    """For the last word, which is not complete yet."""
    *args, incomplete = words
    found = ShellComplete(cli, {}, "profiler", "_PROFILER_COMPLETE").get_completions(args, incomplete)
    return [item.value for item in found]


@pytest.mark.parametrize("agent", ["agents/react.py", "agents/react.py:agent"])
def test_tasks_are_those_of_the_agent_that_was_named_before(agent, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "leave-days" in offered("run", agent, "--task", "")
    assert offered("run", agent, "--repeat", "2", "--task", "leave-d") == ["leave-days"]


def test_tasks_of_a_tasks_file_come_first(monkeypatch):
    monkeypatch.chdir(ROOT)
    words = ("run", "agents/react.py", "--tasks", "agents/plain_openai.tasks.json", "--task", "")
    assert "leave-days" not in offered(*words)
    assert offered(*words)


def test_a_check_is_against_branches_and_baselines_and_of_runs_or_files(tmp_path, monkeypatch):
    write_agent(tmp_path)
    commit(tmp_path)
    git(tmp_path, "branch", "maintained")
    for baseline in ("main", "mainly"):  # one that is called after its branch is offered once
        (tmp_path / "traces" / "baselines" / baseline).mkdir(parents=True)
        for name in ("run.json", "chains.parquet"):
            (tmp_path / "traces" / "baselines" / baseline / name).touch()
    monkeypatch.chdir(tmp_path)
    assert offered("check", "two_steps.py", "--against", "mai") == ["main", "mainly", "maintained"]
    found = ShellComplete(cli, {}, "profiler", "_PROFILER_COMPLETE").get_completions(["check"], "two")
    assert [(item.value, item.type) for item in found] == [("two", "file")]


def test_without_an_agent_there_are_no_tasks():
    assert offered("run", "--task", "") == []


def test_traits_are_offered_up_to_their_value():
    assert offered("run", "x.py", "--sim-trait", "t") == ["tokens-per-chunk=", "tool-deltas"]
    assert "reasoning=reasoning_content" in offered("engine", "serve", "sim", "--sim-trait", "rea")


def test_faults_and_profiles_are_offered():
    assert offered("run", "x.py", "--sim-fault", "err") == ["error-500=", "error-in-200="]
    assert offered("run", "x.py", "--sim-profile", "gpu") == ["gpu-8b-tgi", "gpu-8b-vllm"]
    assert offered("run", "x.py", "--sim-profile", "my/own") == ["my/own"], "a file, which the shell completes"


def test_cells_of_the_selftest_are_offered():
    assert "64 streams" in offered("selftest", "--only", "6")


@pytest.mark.parametrize("begun", ["", "tr", "traces/", "./traces/2", "ABSOLUTE/traces/2026"])
def test_runs_are_offered_however_their_folder_is_spelled(begun, tmp_path, monkeypatch):
    run = tmp_path / "traces" / "20261125-react-sim"
    run.mkdir(parents=True)
    (run / "spans.jsonl").touch()
    (tmp_path / "traces" / "2026-not-a-run").mkdir()
    monkeypatch.chdir(tmp_path)
    begun = begun.replace("ABSOLUTE", str(tmp_path))
    before = begun[: begun.index("traces")] if "traces" in begun else ""
    assert offered("report", begun) == [f"{before}traces/20261125-react-sim"]


def test_a_baseline_to_be_shown_is_one_that_is_kept(monkeypatch, tmp_path):
    for name in ("main", "release"):
        (tmp_path / "traces/baselines" / name).mkdir(parents=True)
        (tmp_path / "traces/baselines" / name / "chains.parquet").touch()
    monkeypatch.chdir(tmp_path)
    assert offered("baseline", "show", "m") == ["main"]
    assert offered("baseline", "show", "--folder", "elsewhere", "") == []
