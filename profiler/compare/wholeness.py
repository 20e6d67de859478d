"""What a run is held to without being asked: that it came to its end, and that no chain failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from profiler.compare.budgets import Judged, Limit, judge_limit, of_tasks
from profiler.compare.comparison import Recorded
from profiler.stats.paired import Verdict
from profiler.store.manifest import Manifest


def judge_ending(manifest: Manifest | None) -> list[Judged]:
    """An entry for a run that did not come to its end; none for one that did, or of which nothing is known.

    Figures of what was measured until then say nothing of what was not: *cannot tell*. One that failed is regressed.
    """
    if manifest is None or manifest.status == "finished":
        return []
    verdict = Verdict.REGRESSED if manifest.status == "failed" else Verdict.CANNOT_TELL
    missing = f"{manifest.chains.finished} of {manifest.chains.planned} chains ran"
    why = f"the run is {manifest.status}, {missing}{f': {manifest.error}' if manifest.error else ''}"
    return [Judged("run", verdict, "finished", "count", None, reason=why)]


def judge_failures(limits: Sequence[Limit], run: Recorded, words: Callable[[float | None, str], str]) -> list[Judged]:
    """No chain may fail, of the tasks for which no limit allows some."""
    patterns = [each.tasks for each in limits if each.metric == "failed_chains" and each.at_most is not None]
    if "*" in patterns:
        return []
    if not patterns:
        return [judge_limit(Limit("failed_chains", at_most=0.0), run, words)]
    others = [task for task in run.tasks if not any(fnmatchcase(task, each) for each in patterns)]
    if not others:
        return []
    rest = replace(run, tables=of_tasks(run.tables, others))
    judged = judge_limit(Limit("failed_chains", at_most=0.0), rest, words)
    return [replace(judged, name="failed_chains of other tasks")]
