"""`profiler check AGENT`: the agent is run now, and the revision that it is held against in turns with it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.ending import note, shown_path
from profiler.errors import UsageError

if TYPE_CHECKING:
    from profiler.ab.spec import Spec
    from profiler.cli.budget_file import Budgets
    from profiler.cli.sides import Ready
    from profiler.compare.comparison import Recorded
    from profiler.tasks import Task

_ROUNDS = 4


@dataclass(frozen=True)
class Measuring:
    """How an agent is measured.

    Attributes:
        agent: its file, with the name of what is in it after a colon if need be.
        against: a git revision, or what is stored; None for nothing.
        beside: folders where stored runs and baselines are looked for.
        budgets: what it will be held to; without margins nothing is asked of a baseline.
        options: of `profiler run`, for all sides, as one text.
        rounds: chains per task and side.
        out: the folder of all runs.
        allow: kinds of differences that are let through.
    """

    agent: str
    against: str | None
    beside: Sequence[Path]
    budgets: Budgets
    options: str
    rounds: int | None
    out: Path | None
    allow: frozenset[str]


def is_agent(path: str) -> bool:
    """A Python file is an agent, with a name after a colon or not; runs are folders and files of spans."""
    return path.endswith(".py") or path.rpartition(":")[0].endswith(".py")


def measured_now(asked: Measuring) -> tuple[Recorded, Recorded | None, list[str]]:
    """The candidate's run, what it is held against, and what one should know of it.

    What is named is taken for a git revision first, which is then measured in turns with the working tree. Otherwise
    it is a stored run or baseline, and the candidate alone is measured.

    Raises:
        ProfilerError: whatever is wrong with the agent, its options, the revision or an engine.
    """
    from profiler.ab.revision import SHALLOW, commit_of, is_shallow
    from profiler.ab.spec import parse_spec
    from profiler.comparable import found_side, load_side
    from profiler.record.agent import split_spec

    spec = parse_spec("--run", asked.options)
    if spec.agent or spec.revision:
        raise UsageError("--run is for all sides", remedy="name the agent itself, and the revision with --against")
    path, _ = split_spec(asked.agent)
    if asked.against is None:
        return _alone(asked, spec), None, []
    commit = commit_of(path.absolute().parent, asked.against)
    if commit is not None:
        if not asked.budgets.margins:
            said = f"no margin is set, so {asked.against} was not measured, only the candidate"
            return _alone(asked, spec), None, [said]
        return _in_turns(asked, spec, asked.against)
    if not found_side(Path(asked.against), asked.beside).exists():
        raise UsageError(
            f"{asked.against} is no revision of a repository that has {path}, no run, and no baseline",
            remedy=SHALLOW
            if is_shallow(path.absolute().parent)
            else "git log shows revisions, profiler baseline list shows baselines",
        )
    base = load_side(Path(asked.against), folders=asked.beside).recorded
    return _alone(asked, spec), base, []


def _alone(asked: Measuring, spec: Spec) -> Recorded:
    from profiler.ab.measure import measure_alone
    from profiler.cli.sides import Progress

    with _started(asked, spec, None) as ready:
        measure_alone(
            ready.sides[0],
            ready.tasks,
            rounds=asked.rounds or _ROUNDS,
            warmup=ready.warmup,
            timeout_s=ready.timeout_s,
            on_chain=Progress(len(ready.tasks) * (asked.rounds or _ROUNDS), ("",)),
        )
        ready.sides[0].finish()
    note(f"run kept in {shown_path(ready.sides[0].run)}; again: profiler check {shown_path(ready.sides[0].run)}")
    return _load(ready.sides[0].run, asked.agent)


def _in_turns(asked: Measuring, spec: Spec, revision: str) -> tuple[Recorded, Recorded, list[str]]:
    from profiler.ab.measure import measure
    from profiler.ab.warming import warming_words
    from profiler.cli.sides import Progress

    rounds = asked.rounds or _ROUNDS
    with _started(asked, spec, revision) as ready:
        measured = measure(
            (ready.sides[0], ready.sides[1]),
            ready.tasks,
            None,  # all rounds: what is judged are intervals of a size that was fixed beforehand
            rounds=rounds,
            warmup=ready.warmup,
            timeout_s=ready.timeout_s,
            seed=0,
            on_pair=Progress(len(ready.tasks) * rounds, (revision, "now")),
        )
        for side in ready.sides:
            side.finish()
    base, run = (side.run for side in ready.sides)
    allow = f" --allow {','.join(sorted(asked.allow))}" if asked.allow else ""
    kept = shown_path(run)
    note(f"both runs kept in {shown_path(base.parent)}; again: profiler check {kept} --against {base}{allow}")
    note(f"every step and phase: profiler compare {base} {kept}{allow}")
    said = warming_words(measured, (revision, "the candidate"), ready.warmup, "--run")
    return _load(run, asked.agent), _load(base, _named(revision, ready)), [*_of_sides(revision, ready), *said]


def _started(asked: Measuring, spec: Spec, revision: str | None) -> AbstractContextManager[Ready]:
    """The candidate, after the revision if there is one."""
    from profiler.ab.spec import Spec
    from profiler.cli.sides import Asked, Wanted, folder_of, started

    folder = folder_of(asked.out, asked.agent, "check")
    wanted = [Wanted("the candidate", "candidate", "--run", Spec(()))]
    if revision is not None:
        wanted.insert(0, Wanted(f"the baseline {revision}", "baseline", "--run", Spec((), revision=revision)))
    how = Asked(
        asked.agent,
        spec.arguments,
        "--run",
        asked.rounds or _ROUNDS,
        folder,
        shared_tasks="tasks" in asked.allow,
        same_script="script" not in asked.allow,
        may_allow=True,
        accept=lambda tasks, picked: _check_applies(asked, tasks, picked),
    )
    return started(how, wanted)


def _check_applies(asked: Measuring, tasks: Sequence[Task], picked: bool) -> None:  # noqa: FBT001
    """That limits and margins are for this agent, and for tasks and tags that it has.

    Raises:
        UsageError: as `profiler.compare.selection.applying` does of the run.
    """
    from profiler.compare.selection import Whose, applying_to
    from profiler.record.agent import split_spec

    path, wanted = split_spec(asked.agent)
    name = f"{path.stem}:{wanted}" if wanted else path.stem
    whose = Whose(asked.agent, name, {task.id: frozenset(task.tags) for task in tasks}, picked)
    applying_to(asked.budgets.limits, asked.budgets.margins, whose, str(asked.budgets.path))


def _named(revision: str, ready: Ready) -> str:
    found = ready.revisions[0]
    commit = "" if found is None else found.commit[:12]
    return revision if commit.startswith(revision) else f"{revision} ({commit})"


def _of_sides(revision: str, ready: Ready) -> list[str]:
    found = ready.revisions[0]
    said = []
    if found is not None and found.as_now:
        said.append(
            f"no file of the repository differs between {revision} and the working tree: both sides are the same code, "
            "and what differs between them is noise"
        )
    if ready.left_out:
        said.append(f"not measured, since they are not the same on both sides: {', '.join(ready.left_out)}")
    return said


def _load(run: Path, name: str) -> Recorded:
    from profiler.comparable import load_side

    return replace(load_side(run).recorded, name=name)
