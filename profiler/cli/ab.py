"""`profiler ab`: two sides measured interleaved on one host."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from profiler.cli.ending import note, shown_path
from profiler.errors import EXIT_OK, EXIT_REGRESSION, UsageError

if TYPE_CHECKING:
    from profiler.ab.measure import Measured
    from profiler.ab.side import Place
    from profiler.ab.spec import Spec
    from profiler.cli.session import Options
    from profiler.record.pace import Ended
    from profiler.stats.paired import PairedRatio

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
    with ExitStack() as stack:
        places = [stack.enter_context(_placed(name, spec, agent)) for name, spec in zip("AB", specs, strict=True)]
        commands = [
            [str(path), *shared.arguments, *spec.arguments, "--repeat", str(rounds)]
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

    ids = [[task.id for task in tasks_of(each, split_spec(each.agent)[0])] for each in options]
    if ids[0] != ids[1]:
        different = sorted(set(ids[0]) ^ set(ids[1]))[:5]
        raise UsageError(
            f"the sides have different tasks: {', '.join(different) or 'in another order'}",
            remedy='name the same for both, such as --both "--tasks tasks.json"',
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
    from profiler.cli.compare import compare_sides, load_side, render
    from profiler.compare.sameness import KINDS
    from profiler.stats.paired import Verdict

    for name, failures in zip("AB", measured.failures, strict=True):
        if failures:
            note(f"side {name}: {len(failures)} chains failed, the first of {failures[0]}")
    base, candidate = sides = [load_side(folder / name).recorded for name in "ab"]
    compared = compare_sides(base, candidate, frozenset(KINDS))  # that the sides differ is what they are for
    words = _verdict_words(measured, margin, budget)
    if output == "json":
        note(words)
    else:
        click.echo(f"**{words}**\n" if output == "markdown" else f"{words}\n")
    click.echo(render(sides, [compared], output), nl=False)
    note(
        f"both runs kept in {shown_path(folder)}; again: profiler compare {shown_path(folder)}/a {shown_path(folder)}/b"
    )
    regressed = measured.look is not None and measured.look.verdict is Verdict.REGRESSED
    return EXIT_REGRESSION if regressed else EXIT_OK


def _verdict_words(measured: Measured, margin: float, budget: int) -> str:
    """What came out, after how much, and what it would take where nothing did."""
    from profiler.stats.paired import Verdict

    look = measured.look
    after = f"after {measured.pairs} of at most {budget} pairs of chains"
    if look is None or look.result.ratio is None:
        return f"Cannot tell {after}: too few pairs ended well"
    result, seen = look.result, _seen(look.result)
    if look.verdict is Verdict.REGRESSED:
        return f"Regressed {after}: {seen}"
    if look.verdict is Verdict.NOT_REGRESSED:
        return f"Not regressed by {margin:g}% or more {after}: {seen}"
    gave_up = "" if look.chance is None else f"; the rest would decide with a chance of {look.chance:.0%}"
    needed = result.tasks_for(1 + margin / 100)
    takes = "" if needed is None else f"; to see {margin:g}% it takes about {needed} tasks (or pairs, of few tasks)"
    return f"Cannot tell {after}: {seen}{gave_up}{takes}"


def _seen(result: PairedRatio) -> str:
    """How much slower or faster B is, with the interval that holds at all looks together."""
    change = (result.ratio or 1) - 1
    found = f"B is {abs(change):.1%} {'slower' if change > 0 else 'faster'} than A"
    if result.low is None or result.high is None:
        return found
    return f"{found} [{result.low - 1:+.1%} to {result.high - 1:+.1%}, all looks counted]"
