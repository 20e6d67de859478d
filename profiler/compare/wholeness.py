"""What a run is held to without being asked: that it came to its end, and that no chain failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from profiler.compare.budgets import Judged, Limit, Margin, Words
from profiler.compare.comparison import Recorded
from profiler.compare.limits import judge_limit
from profiler.compare.selection import chosen, of_tasks
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


def judge_failures(budgets: Sequence[Limit | Margin], run: Recorded, words: Words) -> list[Judged]:
    """No chain may fail, of the tasks for which no limit or margin allows some."""
    allowing = [each for each in budgets if each.metric == "failed_chains" and _allows(each)]
    selected = [chosen(run.tables, each.of) for each in allowing]
    if None in selected:
        return []
    if not selected:
        return [judge_limit(Limit("failed_chains", at_most=0.0), run, words)]
    others = [task for task in run.tasks if not any(task in (ids or ()) for ids in selected)]
    if not others:
        return []
    rest = replace(run, tables=of_tasks(run.tables, others))
    judged = judge_limit(Limit("failed_chains", at_most=0.0), rest, words)
    return [replace(judged, name="failed_chains of other tasks")]


def _allows(budget: Limit | Margin) -> bool:
    return isinstance(budget, Margin) or budget.at_most is not None
