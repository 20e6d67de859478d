"""Sides of a measurement, from what the command line says of them: checked, put in their place, started."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from profiler.cli.ending import note
from profiler.errors import UsageError

if TYPE_CHECKING:
    from profiler.ab.revision import Revision
    from profiler.ab.side import Place, Side
    from profiler.ab.spec import Spec
    from profiler.cli.session import Options
    from profiler.record.pace import Ended
    from profiler.tasks import Task

_START_S = 900.0  # provisioning and loading an engine take minutes
_FEW = 5


@dataclass(frozen=True)
class Wanted:
    """One side, as it was asked for.

    Attributes:
        name: as the user is told: `side A`.
        folder: of its run, in that of all.
        option: where its options come from, for messages.
        spec: agent, revision and options of `profiler run`.
    """

    name: str
    folder: str
    option: str
    spec: Spec


@dataclass(frozen=True)
class Asked:
    """What all sides have in common.

    Attributes:
        agent: of the sides that name no other.
        both: options of `profiler run` for every side.
        both_option: where they come from, for messages and remedies.
        rounds: chains per task and side, at most.
        folder: of all runs; must not be there yet.
        shared_tasks: run the tasks that all sides have, if they are not the same.
        same_script: refuse sides that are pinned by different scripts.
        may_allow: the command has --allow, for remedies.
        accept: looks at the tasks that the last side is to be asked, and whether some were picked, before anything
            starts; raises what speaks against them.
    """

    agent: str
    both: tuple[str, ...]
    both_option: str
    rounds: int
    folder: Path
    shared_tasks: bool = False
    same_script: bool = False
    may_allow: bool = False
    accept: Callable[[Sequence[Task], bool], None] | None = None


@dataclass(frozen=True)
class Ready:
    """Sides that wait for their first chain.

    Attributes:
        sides: in the order of the command.
        revisions: of each side; None for the working tree.
        tasks: ids of what they can be asked.
        left_out: ids of tasks that only one side has.
        warmup: chains before, of each side.
        timeout_s: of a chain.
    """

    sides: tuple[Side, ...]
    revisions: tuple[Revision | None, ...]
    tasks: list[str]
    left_out: list[str]
    warmup: int
    timeout_s: float


@contextmanager
def started(asked: Asked, wanted: Sequence[Wanted]) -> Iterator[Ready]:
    """Check the sides, check out their revisions, and start them one after the other; all ends with the context.

    Raises:
        ProfilerError: what is wrong with them, before anything starts; or a side that cannot start.
    """
    from profiler.ab.side import Side

    with _termination_interrupts(), ExitStack() as stack:
        placed = [stack.enter_context(_placed(each, asked.agent)) for each in wanted]
        commands = [
            [agent, *_anchored([*asked.both, *each.spec.arguments]), "--repeat", str(asked.rounds)]
            for each, (_, agent, _) in zip(wanted, placed, strict=True)
        ]
        options = [_checked(each.option, command) for each, command in zip(wanted, commands, strict=True)]
        tasks, left_out = _tasks(options, asked)
        if left_out:
            chosen = [word for task in tasks for word in ("--task", task)]
            commands = [[*command, *chosen] for command in commands]
        if len({each.warmup for each in options}) > 1:
            raise UsageError("the sides have different --warmup", remedy=f"give it in {asked.both_option}")
        if asked.accept is not None:
            asked.accept(_tasks_of(options[-1]), bool(options[-1].task_ids or left_out))
        if asked.same_script:
            _check_scripts(options, wanted, asked.both_option)
        _make(asked.folder)
        sides = []
        for each, command, (place, _, _) in zip(wanted, commands, placed, strict=True):
            note(f"{each.name}: profiler run {shlex.join(command)}")
            side = stack.enter_context(Side(each.name, command, asked.folder / each.folder, place))
            side.wait_until_ready(_START_S)
            sides.append(side)
        yield Ready(
            tuple(sides),
            tuple(revision for _, _, revision in placed),
            tasks,
            left_out,
            options[0].warmup,
            max(each.timeout for each in options),
        )


def folder_of(out: Path | None, agent: str, what: str) -> Path:
    """Where the runs go: what was named, or a folder with the time in its name below `traces`."""
    stem = Path(agent.partition(":")[0]).stem
    return out or Path("traces") / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{stem}-{what}"


class Progress:
    """A line per pair, or per chain of a single side."""

    def __init__(self, total: int, names: Sequence[str]) -> None:
        self._total = total
        self._names = names
        self._done = 0

    def __call__(self, task: str, number: int, *ended: Ended) -> None:
        """One more."""
        from profiler.report.text import duration, safe

        self._done += 1
        times = [duration(each.e2e_ns) if each.failure is None else "failed" for each in ended]
        told = ", ".join(f"{name} {time}".strip() for name, time in zip(self._names, times, strict=True))
        with suppress(OSError, ValueError):
            click.echo(f"[{self._done}/{self._total}] {safe(task, 60)} #{number}: {told}", err=True)


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """SIGTERM and a terminal that is closed end it like Ctrl-C: sides stopped, worktrees removed. nohup is kept to."""
    taken = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    previous = {each: signal.signal(each, _interrupt) for each in taken}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for each in (signal.SIGTERM, signal.SIGHUP):  # a second one is not to break off the tidying
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _anchored(arguments: Sequence[str]) -> list[str]:
    """Paths of files made absolute: a side of a revision runs in another folder, and is to read the same files."""
    from profiler.cli.run import run

    of_files = {
        name
        for each in run.params
        if isinstance(each, click.Option) and isinstance(each.type, click.Path)
        for name in each.opts
    }
    found, is_path = [], False
    for word in arguments:
        name, equals, value = word.partition("=")
        if is_path:
            found.append(str(Path(word).absolute()))
            is_path = False
        elif equals and name in of_files:
            found.append(f"{name}={Path(value).absolute()}")
        else:
            found.append(word)
            is_path = word in of_files
    return found


@contextmanager
def _placed(wanted: Wanted, agent: str) -> Iterator[tuple[Place, str, Revision | None]]:
    """Where a side runs, its agent there, with its name, and the revision that it is, if it is one."""
    from profiler.ab.revision import checked_out
    from profiler.ab.side import Place
    from profiler.record.agent import split_spec

    spec = wanted.spec
    path, of_file = split_spec(spec.agent or agent)
    if spec.revision is None:
        yield Place(), spec.agent or agent, None
        return
    with checked_out(path.absolute(), spec.revision, lambda line: note(f"{wanted.name}: {line}")) as found:
        note(f"{wanted.name}: revision {spec.revision} is {found.commit[:12]}")
        yield found.place, f"{found.agent}:{of_file}" if of_file else str(found.agent), found


def _checked(option: str, command: list[str]) -> Options:
    """The options that a side's command stands for: what is wrong with it is told before anything starts."""
    from profiler.cli.run import run
    from profiler.cli.session import Options

    try:
        context = run.make_context("profiler run", list(command))
    except click.ClickException as error:
        raise UsageError(f"{option}: {error.format_message()}", remedy="it takes options of `profiler run`") from error
    return Options(**context.params)


def _tasks(options: Sequence[Options], asked: Asked) -> tuple[list[str], list[str]]:
    """Ids that all sides are to be asked, and those that are left out."""
    from profiler.report.text import safe

    told = [_tasks_of(each) for each in options]
    ids = [[task.id for task in each] for each in told]
    asked_for = [[(task.id, task.input) for task in each] for each in told]
    if all(each == asked_for[0] for each in asked_for):
        return ids[0], []
    if asked.shared_tasks:
        others = [{task.id: task.input for task in each} for each in told]
        shared = [task.id for task in told[-1] if all(each.get(task.id) == task.input for each in others)]
        if shared:
            return shared, sorted(set().union(*ids) - set(shared))
        raise UsageError("no task is the same on both sides", remedy=_one_file(asked))
    if ids[0] != ids[-1]:
        different = sorted(set(ids[0]) ^ set(ids[-1]))[:_FEW]
        raise UsageError(
            f"the sides have different tasks: {safe(', '.join(different)) or 'in another order'}",
            remedy=_one_file(asked),
        )
    unlike = [a.id for a, b in zip(*told, strict=True) if a.input != b.input]
    raise UsageError(
        f"the sides are asked different things in: {safe(', '.join(unlike[:_FEW]))}", remedy=_one_file(asked)
    )


def _tasks_of(options: Options) -> list[Task]:
    from profiler.cli.session import tasks_of
    from profiler.record.agent import split_spec

    return tasks_of(options, split_spec(options.agent)[0])


def _one_file(asked: Asked) -> str:
    allow = ", or --allow tasks to measure those that both have" if asked.may_allow else ""
    return f'name the same for both, such as {asked.both_option} "--tasks tasks.json"{allow}'


def _check_scripts(options: Sequence[Options], wanted: Sequence[Wanted], both_option: str) -> None:
    """That all sides replay one script, or none."""
    from profiler.record.agent import split_spec
    from profiler.script import dump_script, load_script

    found = {}
    for each, side in zip(options, wanted, strict=True):
        path = split_spec(each.agent)[0]
        path = each.script_path or path.with_name(f"{path.stem}.script.json")
        free = each.no_script or not path.exists()
        found[side.name] = None if free else dump_script(load_script(path))
    if len(set(found.values())) > 1:
        pinned = [name for name, script in found.items() if script is not None]
        how = "their scripts differ" if len(pinned) > 1 else f"only {pinned[0]} has a script"
        raise UsageError(
            f"the sides do different work: {how}",
            remedy=f'pin both by one ({both_option} "--script FILE"), or --allow script if the change is meant: '
            "then they differ in more than time",
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UsageError(f"{folder} exists already", remedy="name another folder with --out") from error
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}", remedy="name another folder with --out") from error
