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
from profiler.errors import UsageError

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
    type=click.IntRange(2, 10_000),
    default=20,
    show_default=True,
    help="Chains per task and side, at most.",
)
@click.option(
    "--seed", metavar="N", type=int, default=0, show_default=True, help="Of the order in which the sides take turns."
)
@click.option("--out", metavar="DIR", type=_PATH, help="Folder of both runs. [default: traces/<time>-<agent>-ab]")
def ab(agent: str, a: str, b: str, both: str, rounds: int, seed: int, out: Path | None) -> int:
    """Measure two sides of AGENT interleaved, chain by chain, and compare them.

    Each side is a `profiler run` of its own, with an engine and an agent of its own. They take turns, never both at
    once, in random order mirrored from round to round: what drifts on this machine, drifts over both alike.
    """
    from profiler.ab.measure import measure
    from profiler.ab.side import Side
    from profiler.ab.spec import parse_spec

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
            rounds=rounds,
            warmup=warmup,
            timeout_s=max(each.timeout for each in options),
            seed=seed,
            on_pair=_Progress(len(tasks) * rounds),
            enough=_enough,
        )
        for side in sides:
            side.finish()
    return _report(folder, measured)


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


def _enough(_: Measured) -> bool:
    return False


def _report(folder: Path, measured: Measured) -> int:
    note(f"{measured.chains} chains kept in {shown_path(folder)}")
    return 0
