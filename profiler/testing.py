"""Profiled runs in tests: what `profile` of the pytest plugin gives.

Assertions compare what was measured with a limit; how uncertain the figure is stands in the message. A test that must
not fail by chance needs a limit with room, or `assert_not_slower`, which fails only beyond doubt. What pytest shows
of a failure ends at the user's own line (`__tracebackhide__`).
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

    from profiler.api import Run
    from profiler.compare.comparison import Recorded

_LAST_LINES: Final = 20
_NAMED: Final = 3
_SPANS: Final = "spans.jsonl"
_OF_A_RUN: Final = (_SPANS, "run.json", "engine.log")
_INCOMPLETE: Final = 3  # no chain ended well, or one left its script: there is a run all the same
_FINE: Final = 0


class ProfileFailed(AssertionError):
    """The run could not be made."""


class Profile:
    """Makes runs; the pytest fixture `profile`."""

    def __init__(
        self, folder: Path, name: str, arguments: Sequence[str], baseline: Path | None, root: Path | None = None
    ) -> None:
        """Keep what all runs of a test have in common.

        Args:
            folder: where they are kept, each in a folder of its own.
            name: of the test; a baseline folder may have a run of that name.
            arguments: of `profiler run`.
            baseline: a run, or a folder of runs by test name.
            root: where relative paths of agents begin; the working folder if None.
        """
        self._folder, self._name, self._arguments, self._baseline = folder, name, list(arguments), baseline
        self._root = root
        self._runs = 0

    def __call__(
        self,
        agent: str | Path,
        *,
        tasks: Sequence[str] = (),
        inputs: Sequence[str] = (),
        repeat: int = 1,
        warmup: int = 1,
        concurrency: int = 1,
        script: str | Path | bool = True,
        timeout_s: float = 300.0,
        options: Sequence[str] = (),
    ) -> ProfiledRun:
        """Run an agent's chains and record them, in a process of their own.

        Args:
            agent: as `profiler run` takes it: a file, with a name after a colon if need be.
            tasks: ids of tasks; all if there are none and no inputs.
            inputs: asked instead of tasks.
            repeat: chains per task.
            warmup: chains before, in no figure.
            concurrency: chains at once.
            script: a script's file; True for the one beside the agent if there is one, False for a free run.
            timeout_s: of one chain.
            options: further options of `profiler run`.

        Raises:
            ProfileFailed: there is no run: the agent, an option or the engine is wrong. It says what.
        """
        self._runs += 1
        folder = self._folder / f"run-{self._runs}" if self._runs > 1 else self._folder / "run"
        if any((folder / each).is_file() for each in _OF_A_RUN):  # this test's, of an earlier session
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "profiler", "run", str(agent), "--out", str(folder.absolute())]
        command += ["--repeat", str(repeat), "--warmup", str(warmup), "--concurrency", str(concurrency)]
        command += ["--timeout", str(timeout_s), *self._arguments]
        for flag, values in (("--task", tasks), ("--input", inputs)):
            command += [part for value in values for part in (flag, value)]
        if script is False:
            command.append("--no-script")
        elif script is not True:
            command += ["--script", str(script)]
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, errors="replace", check=False, cwd=self._root
        )
        if done.returncode not in (_FINE, _INCOMPLETE) or not (folder / _SPANS).is_file():
            from profiler.report.text import safe

            last = "\n".join(f"  | {safe(line, 500)}" for line in done.stderr.strip().splitlines()[-_LAST_LINES:])
            raise ProfileFailed(f"`profiler run {agent}` ended with exit code {done.returncode}:\n{last}")
        return ProfiledRun(folder, self._of_baseline())

    def _of_baseline(self) -> Path | None:
        """The run to compare with: the one that was named, or the one of this test in a folder of runs."""
        if self._baseline is None or _is_kept(self._baseline):
            return self._baseline
        return next(
            (path for path in (self._baseline / self._name, self._baseline / self._name / "run") if _is_kept(path)),
            self._baseline / self._name,
        )


def _is_kept(path: Path) -> bool:
    """Whether a folder is a run, or a baseline of `profiler baseline set`."""
    from profiler.store.baseline import is_baseline

    return (path / _SPANS).is_file() or is_baseline(path)


class ProfiledRun:
    """A recorded run with assertions; `run` has all its tables. Warm-up chains are in no figure."""

    def __init__(self, path: Path, baseline: Path | None = None) -> None:
        """`path` is the run's folder, `baseline` that of a run to compare with."""
        self.path = path
        self._baseline = baseline

    def __repr__(self) -> str:
        """What pytest shows of it where an assertion of the user's own fails."""
        return f"<ProfiledRun {str(self.path)!r}: {len(self.chains)} chains>"

    @cached_property
    def run(self) -> Run:
        """As `profiler.load` gives it."""
        from profiler.api import Run

        return Run(self.path)

    @cached_property
    def chains(self) -> pd.DataFrame:
        """Measured chains, failed ones too."""
        chains = self.run.chains
        return chains[~chains["warmup"]]

    @property
    def good_chains(self) -> pd.DataFrame:
        """Measured chains that ended well."""
        return self.chains[~self.chains["failed"]]

    @cached_property
    def calls(self) -> pd.DataFrame:
        """Calls of measured chains that ended well, failed attempts left out."""
        calls = self.run.calls
        return calls[~calls["warmup"] & ~calls["chain_failed"] & ~calls["failed"]]

    # --- limits -------------------------------------------------------------------------------------------

    def assert_no_failed_chains(self) -> None:
        """Every chain ended well."""
        __tracebackhide__ = True
        failed = self.chains[self.chains["failed"]]
        if len(failed):
            from profiler.report.text import safe

            kinds = safe(", ".join(sorted({str(kind) for kind in failed["error_type"]})))
            self._fail(f"{len(failed)} of {len(self.chains)} chains failed ({kinds})", failed, why=True)

    def assert_p50_chain(self, max_s: float) -> None:
        """The median chain takes at most so many seconds."""
        __tracebackhide__ = True
        self.assert_chain_quantile(0.5, max_s)

    def assert_p95_chain(self, max_s: float) -> None:
        """95% of the chains take at most so many seconds."""
        __tracebackhide__ = True
        self.assert_chain_quantile(0.95, max_s)

    def assert_chain_quantile(self, p: float, max_s: float) -> None:
        """A share `p` of the chains that ended well takes at most so many seconds, end to end."""
        __tracebackhide__ = True
        _check_bounds(max_s=max_s, p=p)
        self._quantile(f"p{p * 100:g} of chains", self._some(self.good_chains), "e2e_ns", p, max_s)

    def assert_ttft(self, max_s: float, p: float = 0.99) -> None:
        """A share `p` of the calls has its first token after at most so many seconds, if they were streamed."""
        __tracebackhide__ = True
        _check_bounds(max_s=max_s, p=p)
        calls = self.calls.dropna(subset=["ttft_ns"])
        if calls.empty:
            self._fail("no call has a first token to look at: none was streamed (options=['--stream'] makes them)")
        self._quantile(f"p{p * 100:g} of times to first token", calls, "ttft_ns", p, max_s)

    def assert_max_calls(self, most: int) -> None:
        """No chain makes more LLM calls than that."""
        __tracebackhide__ = True
        _check_bounds(most=most)
        over = self.chains[self.chains["calls"] > most]
        if len(over):
            self._fail(f"{len(over)} of {len(self.chains)} chains make more than {most} LLM calls", over, "calls")

    def assert_cache_hits(self, least: float) -> None:
        """At least this share of prompt tokens came from the engine's prefix cache.

        Each repetition begins with a cold cache, so that repetitions are alike; `options=["--shared-cache"]` lets them
        find each other's prompts.
        """
        __tracebackhide__ = True
        _check_bounds(least=least)
        calls = self.calls.dropna(subset=["cached_tokens", "input_tokens"])
        if calls.empty:
            self._fail("the engine does not tell how many prompt tokens were cached")
        share = float(calls["cached_tokens"].sum() / calls["input_tokens"].sum())
        if share < least:
            told = f"{share:.1%} of prompt tokens came from the prefix cache, {least:.1%} were asked for"
            self._fail(told, calls.assign(computed=calls["input_tokens"] - calls["cached_tokens"]), "computed")

    def assert_not_slower(
        self,
        baseline: str | Path | None = None,
        *,
        margin: float = 0.05,
        drift: float = 0.05,
        allow: Collection[str] = (),
    ) -> None:
        """Chains are not slower than a baseline's beyond doubt, task by task.

        Fails if they are, if none of them ended well, if the runs differ in more than what was changed, if a pinned run
        leaves its script or goes another way than the baseline, and if no chain ends well of a task that does in the
        baseline: then what is left may be faster, and is not the same work. If it cannot be told, whether they are
        slower by the margin or more, or there is no baseline, the test is skipped with what it would take: neither a
        pass nor an alarm.

        Args:
            baseline: a run or a kept baseline; what --profiler-baseline names if None. One that is named here must be.
            margin: the slowdown that has to be excluded, 0.05 for 5%.
            drift: how far the machine may have been off its usual speed in either run, which were not measured in
                turns: a slowdown that this may explain is no alarm.
            allow: kinds of differences that are let through, as of `profiler compare`.
        """
        __tracebackhide__ = True
        _check_bounds(margin=margin, drift=drift)
        import pytest

        from profiler.comparable import load_side
        from profiler.stats.drift import verdict_apart
        from profiler.stats.paired import Verdict, paired_ratio

        path = Path(baseline) if baseline is not None else self._baseline
        if path is None or not _is_kept(path):
            named = "none is named (--profiler-baseline)" if path is None else f"{path} is none"
            if baseline is not None:
                self._fail(f"no baseline to compare with: {named}")
            pytest.skip(f"no baseline to compare with: {named}; keep one with --profiler-out")
        base, run = (load_side(each).recorded for each in (path, self.path))
        self._check_comparable(base, run, allow)
        self._some(self.good_chains)
        self._check_same_work(base, run)
        result = paired_ratio(_seconds_by_task(base.tables.chains), self.seconds_by_task(), margin=margin)
        apart = verdict_apart(result, margin=margin, drift=drift)
        found = apart.without_drift
        if found is Verdict.NOT_REGRESSED:
            return
        seen = "no task in common" if result.ratio is None else f"{result.ratio - 1:+.1%}"
        if result.low is not None and result.high is not None:
            seen += f" [{result.low - 1:+.1%} to {result.high - 1:+.1%}] over {result.tasks} tasks"
        if found is Verdict.REGRESSED and apart.drift_decides:
            pytest.skip(
                f"cannot tell whether chains are slower than in {path}: {seen}, but both were measured apart, "
                f"and a drift of {drift:.0%} in either run cannot be excluded (profiler ab measures both in turns)"
            )
        if found is Verdict.REGRESSED:
            self._fail(f"chains are slower than in {path}: {seen}", self.good_chains)
        needed = result.tasks_for(1 + margin)
        takes = "" if needed is None else f"; about {needed} tasks would show {margin:.0%}"
        pytest.skip(f"cannot tell whether chains are slower than in {path}: {seen}{takes}")

    def _check_comparable(self, base: Recorded, run: Recorded, allow: Collection[str]) -> None:
        __tracebackhide__ = True
        from profiler.compare.comparison import same_chains
        from profiler.compare.sameness import differences, refused
        from profiler.report.comparison_words import difference_words
        from profiler.report.text import safe

        if same_chains(base.tables, run.tables):
            self._fail(f"{base.name} has chains of this very run: it cannot be its baseline")
        found = differences(base.manifest, run.manifest, (base.tasks, run.tasks))
        if against := refused(found, allow):
            named = "; ".join(safe(difference_words(each)) for each in against)
            kinds = sorted({each.kind for each in against})
            self._fail(f"the run cannot be compared with {base.name}: {named} (if that is meant: allow={kinds})")

    def _check_same_work(self, base: Recorded, run: Recorded) -> None:
        """Chains that stop early, or fail, are faster: no pass."""
        __tracebackhide__ = True
        from profiler.compare.comparison import compare
        from profiler.compare.limits import judge_trajectory
        from profiler.report.comparison_words import change_lines, some_names
        from profiler.stats.paired import Verdict

        found = compare(base, run)
        judged = judge_trajectory(run, found, list(change_lines(found)))
        if judged is not None and judged.verdict is Verdict.REGRESSED:
            self._fail(f"chains go another way than in {base.name}: {judged.reason}", self.chains)
        lost = [task for task in found.failures[1].tasks if task not in found.failures[0].tasks and task in base.tasks]
        if lost:
            failed = self.chains[self.chains["failed"]]
            self._fail(f"no chain ended well, as they do in {base.name}, of {some_names(lost, 'task')}", failed)

    def seconds_by_task(self) -> dict[str, list[float]]:
        """Task -> end-to-end seconds of its chains that ended well, in order."""
        return _seconds_by_task(self.chains)

    # --- words --------------------------------------------------------------------------------------------

    def _some(self, chains: pd.DataFrame) -> pd.DataFrame:
        __tracebackhide__ = True
        if chains.empty:
            self._fail(f"none of {len(self.chains)} chains ended well", self.chains, why=True)
        return chains

    def _quantile(self, what: str, rows: pd.DataFrame, column: str, p: float, max_s: float) -> None:
        __tracebackhide__ = True
        from profiler.stats.quantiles import quantile

        found = quantile([value / 1e9 for value in rows[column].tolist()], p)
        assert found is not None
        if found.value <= max_s:
            return
        sure = ""
        if column == "e2e_ns":  # an interval takes independent values: calls share their chain
            low, high = ("?" if bound is None else f"{bound:.3g}" for bound in (found.low, found.high))
            sure = f" [95%: {low} to {high}]"
        self._fail(f"{what} is {found.value:.3g} s{sure}, {max_s:g} s are allowed ({found.n} seen)", rows, column)

    def _fail(
        self, message: str, rows: pd.DataFrame | None = None, column: str = "e2e_ns", *, why: bool = False
    ) -> None:
        __tracebackhide__ = True
        from profiler.report.failure_words import failure_words
        from profiler.report.text import safe

        lines = [message]
        if rows is not None and len(rows):
            worst = rows.sort_values(column, ascending=False).head(_NAMED)
            lines += [f"  {self._named(row, column)}" for row in worst.to_dict("records")]
        lines += [f"  {each}" for each in (failure_words(self.run.manifest) if why else ())]
        findings = self.run.findings
        if findings:
            lines.append(f"  most to gain: {safe(findings[0].title, 400)}")
        lines.append(f"  all of it: profiler report {self.path}")
        raise AssertionError("\n".join(lines))

    def _named(self, row: Mapping[Any, Any], column: str) -> str:
        """One chain or call in words."""
        from profiler.report.text import safe

        if column == "computed":
            value = f"{row['computed']} of {row['input_tokens']} prompt tokens were not in the cache"
        else:
            value = f"{row[column]} calls" if column == "calls" else f"{row[column] / 1e9:.3g} s"
        task = safe(str(row["task_id"]), 100)
        what = f"{task}, step {row['position']}" if "position" in row else task
        failed = f", failed: {safe(str(row['error_type']), 100)}" if row.get("failed") else ""
        return f"{what}: {value}{failed} (trace {row['trace_id']})"


def _seconds_by_task(chains: pd.DataFrame) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    good = chains[~chains["warmup"] & ~chains["failed"]]
    for task, time in zip(good["task_id"], good["e2e_ns"], strict=True):
        found.setdefault(str(task), []).append(int(time) / 1e9)
    return found


def _check_bounds(*, p: float = 0.5, **bounds: float) -> None:
    """Refuse limits that no value could break, or keep, by mistake.

    Raises:
        ValueError: one is a boolean, not finite or negative, or `p` is not between 0 and 1.
    """
    __tracebackhide__ = True
    for name, value in {"p": p, **bounds}.items():
        if isinstance(value, bool) or not math.isfinite(value) or value < 0 or (name == "p" and not 0 < value < 1):
            msg = f"{name}={value!r} is no limit: {'a share of 1' if name == 'p' else 'a finite number from 0 on'}"
            raise ValueError(msg)
