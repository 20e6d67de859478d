"""`profiler ab` from the command line, on the embedded engine."""

import json
import os
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
from cli_helpers import PLAIN_AGENT
from pinned_agent import commit, git, write_agent

from profiler.cli.sides import _anchored, _termination_interrupts
from profiler.store.reader import load_run

ONE_CALL = PLAIN_AGENT.replace("range(2)", "range(1)")
BOTH = "--backend sim --input one --input two --warmup 1 --no-script"


def chains(folder):
    return load_run(Path(folder)).tables.chains


@pytest.fixture
def repository(bench):
    """A working tree whose agent makes two calls; the last commit's made one."""
    git(bench.folder, "init", "--quiet")
    bench.agent(ONE_CALL)
    git(bench.folder, "add", "my_agent.py")
    git(bench.folder, "commit", "--quiet", "--message", "one call")
    bench.agent()
    return bench


def test_sides_take_turns_and_each_is_a_whole_run(bench):
    done = bench.run("ab", bench.agent(), "--a", "", "--b", "", "--both", BOTH, "--rounds", "2", "--out", "both")
    assert done.code in (0, 1), done.err  # two sides that are alike on a noisy machine: wrong in one of forty
    sides = [chains("both/a"), chains("both/b")]
    pieces = []
    for name, table in zip("ab", sides, strict=True):
        manifest = json.loads(Path(f"both/{name}/run.json").read_text(encoding="utf-8"))
        assert manifest["status"] == "finished"
        assert manifest["chains"] == {"planned": 4, "finished": 4, "failed": 0, "warmup": 1}
        assert sorted(table[~table["warmup"]]["task_id"]) == ["input-1", "input-1", "input-2", "input-2"]
        ends = table["start_ns"] + table["e2e_ns"]
        pieces += [
            (start, end, name, None if warm else (task, repeat))
            for start, end, warm, task, repeat in zip(
                table["start_ns"], ends, table["warmup"], table["task_id"], table["repeat"], strict=True
            )
        ]
    pieces.sort()
    assert all(end <= start for (_, end, *_), (start, *_) in pairwise(pieces))
    order = {}
    for _, _, name, chain in pieces:
        order[chain] = order.get(chain, "") + name
    assert {order["input-1", 1], order["input-1", 2]} == {order["input-2", 1], order["input-2", 2]} == {"ab", "ba"}
    assert "after 4 of at most 4 pairs of chains" in done.out
    assert "chain time" in done.out


def test_a_revision_runs_as_it_was_and_leaves_nothing_behind(repository):
    done = repository.run(
        "ab",
        "my_agent.py",
        "--a",
        "--rev HEAD",
        "--b",
        "",
        "--both",
        BOTH,
        "--rounds",
        "1",
        "--out",
        "both",
    )
    assert done.code in (0, 1), done.err  # how long one call more takes is nothing to go by on a busy machine
    assert set(chains("both/a")["calls"]) == {1}
    assert set(chains("both/b")["calls"]) == {2}
    worktrees = subprocess.run(["git", "worktree", "list"], cwd=repository.folder, check=True, capture_output=True)
    assert worktrees.stdout.count(b"\n") == 1


def test_when_its_time_is_up_it_says_what_is_known(bench):
    more = ("--within", "0.001s", "--out", "both", "--format", "json")
    done = bench.run("ab", bench.agent(), "--a", "", "--b", "", "--both", BOTH, *more)
    assert done.code == 0, done.err
    told = json.loads(done.out)["ab"]
    assert (told["verdict"], told["stopped"], told["pairs"]) == ("cannot tell", "the time was used up", 1)
    assert "all 40 pairs would take some" in told["words"]
    assert "both sides are the same: what differs between them is noise" in done.err


def test_free_chains_are_paired_by_task_and_their_steps_told_apart(bench):
    write_agent(bench.folder, answers=0)
    commit(bench.folder, "without an answer")
    write_agent(bench.folder)
    sides = ["--a", "--rev HEAD", "--b", "", "--both", "--no-script"]
    done = bench.run("ab", "two_steps.py", *sides, "--rounds", "2", "--out", "both", "--format", "json")
    assert done.code in (0, 1), done.err  # whichever is slower on a busy machine
    told = json.loads(done.out)
    assert told["ab"]["left_script"] == []
    assert "steps ×2.000, time per step ×" in told["ab"]["remarks"][0]
    assert told["comparisons"][0]["tasks"] == 2


def test_a_side_that_cannot_start_is_told_with_its_last_words(bench):
    broken = bench.agent("import nothing_of_that_name\n", "broken.py")
    done = bench.run("ab", bench.agent(), "--a", "", "--b", f"--agent {broken}", "--both", BOTH, "--out", "both")
    assert done.code == 2
    assert "side B ended with exit code 2" in done.err
    assert "nothing_of_that_name" in done.err
    assert "b.log" in done.err


def refused(bench, *arguments):
    done = bench.run("ab", *arguments)
    assert done.code == 2
    return done.err


def test_what_is_wrong_is_told_before_anything_starts(repository):
    agent = "my_agent.py"
    assert "--a: " in refused(repository, agent, "--a", "--no-such-option", "--b", "")
    assert "no revision 'nowhere'" in refused(repository, agent, "--a", "--rev nowhere", "--b", "", "--both", BOTH)
    assert "different tasks" in refused(repository, agent, "--a", "--input x", "--b", "--input x --input y")
    repository.agent(name="later.py")
    assert "there is no later.py at HEAD" in refused(
        repository, "later.py", "--a", "--rev HEAD", "--b", "", "--both", BOTH
    )
    (repository.folder / "both").mkdir()
    taken = refused(repository, agent, "--a", "", "--b", "", "--both", BOTH, "--out", "both")
    assert "exists already" in taken
    assert not list(repository.folder.glob("traces/*"))
    assert "asked different things in: input-1" in refused(repository, agent, "--a", "--input x", "--b", "--input y")


def test_a_side_that_always_fails_is_regressed_and_its_words_are_harmless(bench):
    broken = bench.agent('def answer(task):\n    raise RuntimeError("bad \\x1b[31m words")\n', "broken.py")
    both = "--backend sim --input one --warmup 0 --no-script"
    sides = ["--a", "", "--b", f"--agent {broken}", "--both", both]
    done = bench.run("ab", bench.agent(), *sides, "--rounds", "6", "--out", "both")
    assert done.code == 1, done.err
    assert "0 chains of A and 6 of B failed, B fails clearly more often" in done.out
    assert "the first of input-1: RuntimeError: bad" in done.err
    assert "\x1b[31m" not in done.err + done.out


def test_files_are_the_callers_wherever_a_side_runs(bench):
    here = bench.folder
    assert _anchored(["--tasks", "t.json", "--script=s.json", "--input", "one", "--seed", "3"]) == [
        *("--tasks", str(here / "t.json"), f"--script={here / 's.json'}", "--input", "one"),
        *("--seed", "3"),
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_termination_ends_it_as_an_interrupt_does(number):
    kept = {each: signal.signal(each, signal.SIG_DFL) for each in (signal.SIGTERM, signal.SIGHUP)}

    def terminated():
        os.kill(os.getpid(), number)
        time.sleep(30)

    try:
        with _termination_interrupts(), pytest.raises(KeyboardInterrupt):
            terminated()
        assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with _termination_interrupts():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for each, handler in kept.items():
            signal.signal(each, handler)
