"""The project's own gate, on its own sample agents: the last stage of `python -m tests`.

python -m tests.own_gate                  counts against traces/baselines/, times against the revision before
python -m tests.own_gate --against REV    times against another revision, whatever has changed since
python -m tests.own_gate --set            the sample agents changed on purpose: keep their counts as the baselines

Counts (calls, steps, tokens, failures, trajectories) are the same on every machine: nothing may be more than in the
committed baseline. Times are not: the working tree takes turns with the revision that it came from, on an engine that
answers at once, so that what is left is the own time of the profiler and its libraries.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
AGENTS = ("react", "plain_openai")
TIMED = "react"
EVERY, ROUNDS = 2, 2  # every second task, twice: the interval is ±4% on a machine that is kept busy by others
FAST = ("--backend", "sim", "--sim-profile", "fast")  # 200 µs per token and nothing else
PACE = "profiler/record/pace.py"  # what lets a run take turns
MEASURED = ("profiler", "agents", "pyproject.toml", "constraints.txt")
ELSEWHERE = "host,profiler,engine"  # what another machine or release differs in, and counts do not depend on
BETWEEN = "tasks,script,profiler,engine"  # what two revisions may differ in
_STOP_S = 120.0  # an interrupted command removes its worktree and stops its engines


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or that of the first check that did not pass."""
    parser = argparse.ArgumentParser(prog="python -m tests.own_gate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--set", action="store_true", help="keep the counts of the sample agents as the baselines")
    parser.add_argument("--against", metavar="REV", help="measure times against this revision")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="profiler-gate-") as name:
        folder = Path(name)
        if given.set:
            codes = [keep(agent, folder / agent) for agent in AGENTS]
        else:
            codes = [counts(agent, folder / agent) for agent in AGENTS]
            codes.append(times(folder / "pair", given.against))
    return next((code for code in codes if code), 0)


def counts(agent: str, run: Path) -> int:
    """Hold the counts of an agent to its baseline: an exit code."""
    code = _run(agent, run)
    if not (run / "spans.jsonl").exists():
        return code
    return profiler("check", str(run), "--against", agent, "--allow", ELSEWHERE) or code


def keep(agent: str, run: Path) -> int:
    """Make its counts the baseline: an exit code."""
    return _run(agent, run) or profiler("baseline", "set", agent, str(run), "--force")


def times(pair: Path, asked: str | None) -> int:
    """Measure the working tree in turns with a revision: an exit code. What cannot be measured is said, and 0."""
    base = asked or base_revision(ROOT)
    if base is None:
        return _without_times("there is no earlier revision here (no git history, or a shallow clone)")
    if asked is None and not changed(ROOT, base):
        return _without_times(f"of {', '.join(MEASURED)} nothing differs from {base[:12]}")
    if _git(ROOT, "cat-file", "-e", f"{base}:{PACE}") is None:
        return _without_times(f"the profiler of {base[:12]} cannot take turns yet")
    path = f"agents/{TIMED}.tasks.json"
    tasks = alike(_git(ROOT, "show", f"{base}:{path}"), (ROOT / path).read_text(encoding="utf-8"))
    if not tasks:
        return _without_times(f"no task of {TIMED} is as it was at {base[:12]}")
    options = shlex.join([*FAST, *(word for task in tasks[::EVERY] for word in ("--task", task))])
    return profiler(
        *("check", f"agents/{TIMED}.py", "--against", base, "--config", ".ci/framework.toml", "--allow", BETWEEN),
        *("--rounds", str(ROUNDS), "--run", options, "--out", str(pair)),
        quiet=True,
    )


def base_revision(root: Path) -> str | None:
    """The commit that the working tree came from: where it left the default branch, or else the one before it."""
    head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    for branch in ("origin/HEAD", "origin/main", "origin/master"):
        left = _git(root, "merge-base", "HEAD", branch)
        if left and left != head:
            return left
    return _git(root, "rev-parse", "--verify", "--quiet", "HEAD^")


def changed(root: Path, base: str) -> bool:
    """Whether anything that is measured differs from a revision."""
    found = _git(root, "diff", "--name-only", base, "--", *MEASURED)
    new = _git(root, "ls-files", "--others", "--exclude-standard", "--", *MEASURED)
    return found is None or bool(found) or bool(new)


def alike(then: str | None, now: str) -> list[str]:
    """Tasks of two tasks files that ask the same."""
    before, after = ({each["id"]: each["input"] for each in json.loads(text)["tasks"]} for text in (then or now, now))
    return [task for task, text in after.items() if then is not None and before.get(task) == text]


def profiler(*arguments: str, quiet: bool = False) -> int:
    """Run a command of the profiler from the project's folder.

    Args:
        arguments: its own.
        quiet: without its progress, unless it went wrong; of a run nothing else either.
    """
    _say(f"+ profiler {shlex.join(arguments)}")
    command = [sys.executable, "-m", "profiler", *arguments]
    aside = subprocess.PIPE if quiet else None
    with subprocess.Popen(command, cwd=ROOT, stdout=aside, stderr=aside, text=True) as process:
        try:
            out, progress = process.communicate()
        except KeyboardInterrupt:  # it has been interrupted, too
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_STOP_S)
            raise
    if quiet and process.returncode:
        _say(progress)
    if quiet and arguments[0] == "check":
        _say(out)
    return process.returncode


def _run(agent: str, run: Path) -> int:
    return profiler("run", f"agents/{agent}.py", *FAST, "--out", str(run), quiet=True)


def _git(root: Path, *arguments: str) -> str | None:
    """What git says; None if it fails, or is not there."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if done.returncode else done.stdout.strip()


def _without_times(why: str) -> int:
    _say(f"times are not measured: {why}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
