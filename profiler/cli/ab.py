"""`profiler ab`: two sides measured interleaved on one host."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from profiler.cli.ending import note, shown_path
from profiler.errors import EXIT_OK, EXIT_REGRESSION, DataError, UsageError

if TYPE_CHECKING:
    from profiler.ab.measure import Measured
    from profiler.ab.side import Place
    from profiler.ab.spec import Spec
    from profiler.cli.session import Options
    from profiler.record.pace import Ended

_START_S = 900.0  # provisioning and loading an engine take minutes
_PATH = click.Path(path_type=Path)


@click.command(
    epilog="""\b
Examples:
  profiler ab agents/react.py --a "--backend vllm" --b "--backend vllm --engine-arg=--no-enable-prefix-caching"
      one flag of an engine
  profiler ab agents/react.py --a "--rev main" --b ""
      the working tree against a branch, in a worktree and, if its dependencies differ, an environment of its own
  profiler ab agents/react.py --a "" --b "--agent agents/react_v2.py" --both "--backend vllm --task capital"
      two agents on one engine's flags and one task
  profiler ab agents/react.py --a "--base-url http://box-1:8000/v1" --b "--base-url http://box-2:8080/v1" --rounds 40
      two engines that somebody runs"""
)
@click.argument("agent", metavar="AGENT[:NAME]", type=click.Path())
@click.option("--a", "a", metavar="SPEC", required=True, help="The base: options of `profiler run`, --agent, --rev.")
@click.option("--b", "b", metavar="SPEC", required=True, help="The candidate, likewise.")
@click.option("--both", metavar="SPEC", default="", help="Options of `profiler run` for both sides: tasks, script …")
@click.option(
    "--rounds",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Chains per task and side, at most.",
)
@click.option(
    "--margin",
    metavar="PERCENT",
    type=click.FloatRange(min=0, max=100, min_open=True),
    default=5.0,
    show_default=True,
    help="The slowdown that has to be excluded for B to be called not regressed.",
)
@click.option("--to-the-end", is_flag=True, help="Run all rounds, however clear it is.")
@click.option(
    "--seed", metavar="N", type=int, default=0, show_default=True, help="Of the order in which the sides take turns."
)
@click.option("--out", metavar="DIR", type=_PATH, help="Folder of both runs. [default: traces/<time>-<agent>-ab]")
@click.option(
    "--format",
    "output",
    type=click.Choice(["terminal", "markdown", "json"]),
    default="terminal",
    show_default=True,
    help="As of `profiler compare`.",
)
def ab(
    agent: str,
    a: str,
    b: str,
    both: str,
    rounds: int,
    margin: float,
    *,
    to_the_end: bool,
    seed: int,
    out: Path | None,
    output: str,
) -> int:
    """Measure two sides of AGENT interleaved, chain by chain, and say whether B is slower than A.

    Each side is a `profiler run` of its own, with an engine and an agent of its own. They take turns, never both at
    once, in random order mirrored from round to round: what drifts on this machine, drifts over both alike. It ends as
    soon as B is clearly slower (exit code 1) or clearly not slower by more than the margin, or when that cannot
    become clear within --rounds: looking often does not raise the error, which is 2.5% for either verdict.
    """
    from profiler.ab.measure import measure
    from profiler.ab.side import Side
    from profiler.ab.spec import parse_spec
    from profiler.stats.sequential import plan_looks

    specs = [parse_spec("--a", a), parse_spec("--b", b)]
    shared = parse_spec("--both", both)
    if shared.agent or shared.revision:
        raise UsageError("--agent and --rev tell sides apart", remedy="give them in --a or --b")
    folder = out or Path("traces") / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{_stem(agent)}-ab"
    with _termination_interrupts(), ExitStack() as stack:
        places = [stack.enter_context(_placed(name, spec, agent)) for name, spec in zip("AB", specs, strict=True)]
        commands = [
            [str(path), *_anchored([*shared.arguments, *spec.arguments]), "--repeat", str(rounds)]
            for spec, (_, path) in zip(specs, places, strict=True)
        ]
        options = [_checked(f"--{name}", command) for name, command in zip("ab", commands, strict=True)]
        tasks, warmup = _tasks(options), options[0].warmup
        if options[1].warmup != warmup:
            raise UsageError("the sides have different --warmup", remedy="give it in --both")
        _make(folder)
        sides = []
        for name, command, (place, _) in zip("AB", commands, places, strict=True):
            note(f"side {name}: profiler run {shlex.join(command)}")
            side = stack.enter_context(Side(name, command, folder / name.lower(), place))
            side.wait_until_ready(_START_S)
            sides.append(side)
        measured = measure(
            (sides[0], sides[1]),
            tasks,
            plan_looks(len(tasks), rounds, margin=margin / 100),
            rounds=rounds,
            warmup=warmup,
            timeout_s=max(each.timeout for each in options),
            seed=seed,
            on_pair=_Progress(len(tasks) * rounds),
            to_the_end=to_the_end,
        )
        for side in sides:
            side.finish()
    return _report(folder, measured, margin, len(tasks) * rounds, output)


def _stem(agent: str) -> str:
    return Path(agent.partition(":")[0]).stem


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """SIGTERM ends it like Ctrl-C: sides stopped, worktrees removed."""
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one is not to break off the tidying
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
def _placed(name: str, spec: Spec, agent: str) -> Iterator[tuple[Place, str]]:
    """Where a side runs, and its agent there, with its name."""
    from profiler.ab.revision import checked_out
    from profiler.ab.side import Place
    from profiler.record.agent import split_spec

    path, of_file = split_spec(spec.agent or agent)
    if spec.revision is None:
        yield Place(), spec.agent or agent
        return
    with checked_out(path.absolute(), spec.revision, lambda line: note(f"side {name}: {line}")) as found:
        note(f"side {name}: revision {spec.revision} is {found.commit[:12]}")
        yield found.place, f"{found.agent}:{of_file}" if of_file else str(found.agent)


def _checked(option: str, command: list[str]) -> Options:
    """The options that a side's command stands for: what is wrong with it is told before anything starts."""
    from profiler.cli.run import run
    from profiler.cli.session import Options

    try:
        context = run.make_context("profiler run", list(command))
    except click.ClickException as error:
        raise UsageError(f"{option}: {error.format_message()}", remedy="it takes options of `profiler run`") from error
    return Options(**context.params)


def _tasks(options: list[Options]) -> list[str]:
    from profiler.cli.session import tasks_of
    from profiler.record.agent import split_spec
    from profiler.report.text import safe

    asked = [tasks_of(each, split_spec(each.agent)[0]) for each in options]
    ids = [[task.id for task in each] for each in asked]
    if ids[0] != ids[1]:
        different = sorted(set(ids[0]) ^ set(ids[1]))[:5]
        raise UsageError(
            f"the sides have different tasks: {', '.join(different) or 'in another order'}",
            remedy='name the same for both, such as --both "--tasks tasks.json"',
        )
    if others := [a.id for a, b in zip(*asked, strict=True) if a.input != b.input]:
        raise UsageError(
            f"the sides are asked different things in: {safe(', '.join(others[:5]))}",
            remedy='give one file for both, such as --both "--tasks tasks.json"',
        )
    return ids[0]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UsageError(f"{folder} exists already", remedy="name another folder with --out") from error
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}", remedy="name another folder with --out") from error


class _Progress:
    """A line per pair."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def __call__(self, task: str, number: int, a: Ended, b: Ended) -> None:
        from profiler.report.text import duration, safe

        self._done += 1
        times = [duration(each.e2e_ns) if each.failure is None else "failed" for each in (a, b)]
        with suppress(OSError, ValueError):
            click.echo(f"[{self._done}/{self._total}] {safe(task, 60)} #{number}: A {times[0]}, B {times[1]}", err=True)


def _report(folder: Path, measured: Measured, margin: float, budget: int, output: str) -> int:
    """The comparison of both runs, and the verdict."""
    from profiler.ab.outcome import outcome, outcome_words
    from profiler.cli.compare import compare_sides, load_side, render
    from profiler.compare.sameness import KINDS
    from profiler.report.text import safe
    from profiler.stats.paired import Verdict

    for name, failures in zip("AB", measured.failures, strict=True):
        if failures:
            note(f"side {name}: {len(failures)} chains failed, the first of {safe(failures[0], 300)}")
    regressed = outcome(measured) is Verdict.REGRESSED
    words = outcome_words(measured, margin, budget)
    if output == "json":
        note(words)
    else:
        click.echo(f"**{words}**\n" if output == "markdown" else f"{words}\n")
    try:
        base, candidate = sides = [load_side(folder / name).recorded for name in "ab"]
        compared = compare_sides(base, candidate, frozenset(KINDS))  # that the sides differ is what they are for
        click.echo(render(sides, [compared], output), nl=False)
    except DataError as error:
        if not regressed:
            raise
        note(safe(error.message, 1000))  # B fails in all chains: there is no time to compare
    note(
        f"both runs kept in {shown_path(folder)}; again: profiler compare {shown_path(folder)}/a {shown_path(folder)}/b"
    )
    return EXIT_REGRESSION if regressed else EXIT_OK
