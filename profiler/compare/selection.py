"""Whose chains a limit or a margin is for: by task, by tag and by agent.

    tasks = "car-*"     all tasks were run, and it fits none of them: UsageError; some were: it cannot be told
    tags = "slow"       likewise
    agents = "react*"   the run is of another agent: does not apply, which is said; if none applies: UsageError

A limit on nothing is a slip of the pen or a task that was renamed, and would never fail again.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from profiler.analysis.columns import Tables
from profiler.compare.budgets import Limit, Margin, Selection
from profiler.compare.comparison import Recorded
from profiler.errors import UsageError

_NAMED = 12


@dataclass(frozen=True, slots=True)
class Applied:
    """What of a project's budgets is for a run."""

    limits: tuple[Limit, ...]
    margins: tuple[Margin, ...]
    others: tuple[str, ...]  # names of what is for other agents

    def remarks(self, run: Recorded) -> list[str]:
        """That some are for other agents, in words."""
        if not self.others:
            return []
        return [f"not for agent {agent_of(run)}, so not looked at: {'; '.join(self.others)}"]


def agent_of(run: Recorded) -> str | None:
    """The name of the run's agent; None if nothing tells it."""
    return None if run.manifest is None else run.manifest.agent.get("name")


@dataclass(frozen=True, slots=True)
class Whose:
    """What limits and margins are fitted to: a run, or one that is about to be made."""

    name: str  # for messages
    agent: str | None
    tags: Mapping[str, frozenset[str]]  # of each task
    in_part: bool  # it ended early, or some tasks were picked for it (`--task`)


def applying(limits: Sequence[Limit], margins: Sequence[Margin], run: Recorded, source: str) -> Applied:
    """Which limits and margins are for this run.

    Args:
        limits: of the project.
        margins: likewise.
        run: that is held to them.
        source: the file that has them, for messages.

    Raises:
        UsageError: one fits no task of the run, or none is for its agent, or the run does not tell its agent, or
            several margins of it are primary.
    """
    manifest = run.manifest
    in_part = manifest is not None and (manifest.status != "finished" or bool(manifest.flags.get("task_ids")))
    return applying_to(limits, margins, Whose(run.name, agent_of(run), tags_of(run.tables), in_part), source)


def applying_to(limits: Sequence[Limit], margins: Sequence[Margin], whose: Whose, source: str) -> Applied:
    """The same of what is not measured yet: nobody should wait minutes for a slip of the pen to be told."""
    agent = whose.agent
    everything: list[Limit | Margin] = [*margins, *limits]
    for each in everything:
        if each.of.agents != "*" and agent is None:
            raise UsageError(
                f"{source}: {each.name} is for some agents, and {whose.name} does not tell its agent",
                remedy="hold a run to it that has a run.json, or leave agents out",
            )
    own = [each for each in everything if fnmatchcase(agent or "", each.of.agents)]
    if not own:
        told = dict.fromkeys(each.of.agents for each in everything)
        raise UsageError(
            f"{source}: no limit and no margin is for agent {agent}: there is nothing to check",
            remedy=f"they are for {', '.join(told)}: add some, or mend the pattern",
        )
    for each in own:
        _check_fits(each, whose, source)
    own_margins = tuple(each for each in margins if each in own)
    if len(own_margins) == 1:
        own_margins = (replace(own_margins[0], primary=True),)
    primary = [each.name for each in own_margins if each.primary]
    if len(primary) > 1:
        raise UsageError(
            f"{source}: several margins are primary for agent {agent}: {', '.join(primary)}",
            remedy="one decides; leave primary off the others",
        )
    return Applied(
        tuple(each for each in limits if each in own),
        own_margins,
        tuple(each.name for each in everything if each not in own),
    )


def _check_fits(budget: Limit | Margin, whose: Whose, source: str) -> None:
    """A pattern that nothing fits is a mistake, unless not all tasks were to run, or had their turn.

    Raises:
        UsageError: so it is.
    """
    of, tags = budget.of, whose.tags
    if whose.in_part or _is_all(of) or any(fits(task, its, of) for task, its in tags.items()):
        return
    every = sorted({tag for its in tags.values() for tag in its})
    if not any(fnmatchcase(task, of.tasks) for task in tags):
        what, remedy = f"task {of.tasks!r}", _near(of.tasks, list(tags), "its tasks are")
    elif of.tags is not None and not any(fnmatchcase(tag, of.tags) for tag in every):
        none = "none of its tasks has a tag: tasks files give them, as tags"
        what, remedy = f"tag {of.tags!r}", _near(of.tags, every, "its tags are") if every else none
    else:
        what = f"task {of.tasks!r} with the tag {of.tags!r}"
        remedy = "each fits some tasks, but none fits both"
    raise UsageError(f"{source}: {budget.metric} is for {what}, and {whose.name} has none", remedy=remedy)


def _is_all(of: Selection) -> bool:
    return of.tasks == "*" and of.tags is None


def _near(pattern: str, known: Sequence[str], introduction: str) -> str:
    near = difflib.get_close_matches(pattern.strip("*?"), known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return f"{introduction} {', '.join(known[:_NAMED])}{more}"


def tags_of(tables: Tables) -> dict[str, frozenset[str]]:
    """Task id -> the task's tags, as its chains have them."""
    chains = tables.chains[["task_id", "task_tags"]].drop_duplicates()
    found: dict[str, frozenset[str]] = {}
    for task, tags in zip(chains["task_id"].astype(str), chains["task_tags"].fillna(""), strict=True):
        found[task] = found.get(task, frozenset()) | frozenset(filter(None, str(tags).split(",")))
    return found


def chosen(tables: Tables, of: Selection) -> frozenset[str] | None:
    """Ids of the tasks that a selection is of, as the tables have them; None for all."""
    if _is_all(of):
        return None
    return frozenset(task for task, tags in tags_of(tables).items() if fits(task, tags, of))


def fits(task: str, tags: Iterable[str], of: Selection) -> bool:
    """Whether a task is selected."""
    return fnmatchcase(task, of.tasks) and (of.tags is None or any(fnmatchcase(tag, of.tags) for tag in tags))


def of_tasks(tables: Tables, ids: Collection[str] | None) -> Tables:
    """The chains of these tasks, and what happened in them; all for None."""
    if ids is None:
        return tables
    chains = tables.chains[tables.chains["task_id"].astype(str).isin(list(ids))]
    kept = set(chains["trace_id"])
    others: Mapping[str, object] = {
        name: table[table["trace_id"].isin(kept)]
        for name in ("calls", "steps", "tools", "gaps", "repairs")
        for table in (getattr(tables, name),)
    }
    return Tables(chains=chains, **others)  # type: ignore[arg-type]
