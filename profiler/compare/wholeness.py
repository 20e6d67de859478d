"""What a run is held to without being asked: that it came to its end, and that no chain failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from profiler.compare.budgets import Judged, Limit, Margin, Words
from profiler.compare.comparison import Recorded
from profiler.compare.limits import judge_limit
from profiler.compare.selection import chosen, of_tasks
from profiler.stats.paired import Verdict


def judge_ending(run: Recorded) -> list[Judged]:
    """An entry for a run that did not come to its end, or is not all there; none if it is, or nothing tells.

    Figures of what was measured until then say nothing of what was not: *cannot tell*. One that failed is regressed.
    """
    manifest = run.manifest
    if manifest is None:
        return []
    told = Judged("run", Verdict.CANNOT_TELL, "finished", "count", None)
    if manifest.status != "finished":
        verdict = Verdict.REGRESSED if manifest.status == "failed" else Verdict.CANNOT_TELL
        missing = f"{manifest.chains.finished} of {manifest.chains.planned} chains ran"
        why = f"the run is {manifest.status}, {missing}{f': {manifest.error}' if manifest.error else ''}"
        return [replace(told, verdict=verdict, reason=why)]
    there = int((~run.tables.chains["warmup"]).sum())
    if there < manifest.chains.finished:
        return [
            replace(told, reason=f"of {manifest.chains.finished} chains that ended, {there} are there: spans are lost")
        ]
    return []


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
