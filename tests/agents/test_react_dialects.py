"""One agent, unchanged, with its script, on the embedded engine in every dialect that OpenAI's clients speak."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from profiler.engines.model import SIM_DIALECTS
from profiler.engines.sim.ollama_request import WINDOW
from profiler.store.reader import load_run
from profiler.truth import OK, TRUTH_FILE, read_truth

pytestmark = pytest.mark.timeout(600)  # two runs in the first test, on a machine that may be busy

ROOT = Path(__file__).parents[2]
TASKS = ("leave-days", "lost-laptop", "june-migration-review")
TOLD = {
    "vllm": ("queue_ns", "prefill_ns", "decode_ns"),
    "llama.cpp": ("prefill_ns", "decode_ns"),
}
FORCED = ("vllm", "llama.cpp")  # exactly as long as the script has it
_PATH = "/v1/chat/completions"


class Runs(dict):
    """Each dialect's run, made when it is asked for: its tables and its ground truth."""

    def __init__(self, folder):
        self.folder = folder

    def __missing__(self, dialect):
        folder = self.folder / dialect.replace(".", "-")
        tasks = [word for task in TASKS for word in ("--task", task)]
        options = ["--sim-dialect", dialect, "--sim-profile", "fast", "--warmup", "0", "--out", str(folder)]
        command = [sys.executable, "-m", "profiler", "run", str(ROOT / "agents" / "react.py"), *tasks, *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        self[dialect] = load_run(folder), read_truth(folder / TRUTH_FILE)
        return self[dialect]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("runs"))


def trajectory(run):
    """What the agent did: the steps with their nodes, and the tools with what they were called."""
    steps = run.tables.steps.sort_values(["trace_id", "position"])
    by_task = dict(zip(run.tables.chains["trace_id"], run.tables.chains["task_id"], strict=True))
    nodes = {by_task[trace]: tuple(rows["node"]) for trace, rows in steps.groupby("trace_id")}
    tools = run.tables.tools
    called = {task: tuple(rows.sort_values("position")["tool"]) for task, rows in tools.groupby("task_id")}
    calls = run.tables.calls.sort_values(["task_id", "position"])
    asked = {task: tuple(rows["messages"]) for task, rows in calls.groupby("task_id")}
    return nodes, called, asked


@pytest.mark.parametrize("dialect", SIM_DIALECTS)
def test_the_trajectory_is_the_same(runs, dialect):
    run, _ = runs[dialect]
    assert not run.tables.chains["failed"].any()
    assert trajectory(run) == trajectory(runs["vllm"][0])


@pytest.mark.parametrize("dialect", SIM_DIALECTS)
def test_the_ground_truth_has_every_call_and_no_other(runs, dialect):
    run, truths = runs[dialect]
    calls = run.tables.calls
    assert {truth.span_id for truth in truths} == set(calls["span_id"])
    assert len(truths) == len(calls) == len(runs["vllm"][1])
    assert {(truth.path, truth.outcome, truth.status) for truth in truths} == {(_PATH, OK, 200)}
    by_span = {truth.span_id: truth for truth in truths}
    for row in calls.to_dict("records"):
        truth = by_span[row["span_id"]]
        assert row["output_tokens"] == truth.output_tokens
        assert row["input_tokens"] == truth.prompt_tokens
        for phase in TOLD.get(dialect, ()):
            assert abs(row[phase] - getattr(truth, phase)) <= 1000, phase
        if dialect in FORCED:
            assert truth.output_tokens == row["scripted_tokens"]
        else:
            assert truth.output_tokens <= row["scripted_tokens"]


@pytest.mark.parametrize("dialect", SIM_DIALECTS)
def test_the_prompts_are_the_same_but_for_tools_that_are_not_offered(runs, dialect):
    """TGI leaves tools that may not be called out of the prompt, and Ollama what is beyond its window."""
    prompts = {name: prompt_tokens(*runs[name]) for name in ("vllm", dialect)}
    assert prompts[dialect].keys() == prompts["vllm"].keys()
    for task, tokens in prompts[dialect].items():
        pairs = list(zip(prompts["vllm"][task], tokens, strict=True))
        if dialect == "ollama":
            assert all(own == whole if whole <= WINDOW else own <= WINDOW for whole, own in pairs)
        else:
            less = {whole - own for whole, own in pairs}
            assert len(less) == 1
            assert (less == {0}) is (dialect != "tgi")
    beyond = max(tokens for told in prompts["vllm"].values() for tokens in told)
    assert beyond > WINDOW, "a conversation that Ollama cuts is among them"


def prompt_tokens(run, truths):
    by_span = {truth.span_id: truth.prompt_tokens for truth in truths}
    calls = run.tables.calls.sort_values(["task_id", "position"])
    return {task: [by_span[span] for span in rows["span_id"]] for task, rows in calls.groupby("task_id")}


@pytest.mark.parametrize("dialect", SIM_DIALECTS)
def test_what_was_changed_in_requests_is_what_the_server_takes(runs, dialect):
    adapted = set().union(*(set(text.split(",")) for text in runs[dialect][0].tables.calls["adapted"].dropna() if text))
    adapted = {name.strip() for name in adapted}
    assert ("ignore_eos" in adapted) is (dialect in FORCED)
    assert ("min_tokens" in adapted) is (dialect == "vllm")
    assert ("cache_salt" in adapted) is (dialect == "vllm")
