"""`profiler check`: hold a run to limits and to a baseline; the gate."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from profiler.cli.compare import ALLOWED, allowed_kinds
from profiler.cli.ending import shown_path
from profiler.cli.report import complete_run
from profiler.compare.vocabulary import metric_lines
from profiler.errors import EXIT_OK, EXIT_REGRESSION, UsageError

if TYPE_CHECKING:
    from profiler.cli.budget_file import Budgets
    from profiler.compare.budgets import Judged
    from profiler.compare.comparison import Recorded
    from profiler.report.check import Checked

_PATH = click.Path(path_type=Path)
_METRICS = "\n".join(metric_lines())


def complete_run_or_agent(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Folders that hold a run; files, as the shell completes them, where there are none."""
    from click.shell_completion import CompletionItem

    return complete_run(ctx, param, incomplete) or [CompletionItem(incomplete, type="file")]


def complete_against(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Baselines, branches and tags, and folders that hold a run."""
    from profiler.ab.revision import names
    from profiler.store.baseline import FOLDER, is_baseline

    folder = Path(FOLDER)
    kept = [each.name for each in folder.iterdir() if is_baseline(each)] if folder.is_dir() else []
    found = dict.fromkeys([*sorted(kept), *names(Path.cwd())])  # a baseline is often called after its branch
    return [*(each for each in found if each.startswith(incomplete)), *complete_run(ctx, param, incomplete)]


@click.command(
    epilog=f"""\b
Examples:
  profiler check traces/branch
      by profiler.toml, or [tool.profiler.check] of pyproject.toml
  profiler check agents/react.py --against main
      runs the agent as it is and as it was at a git revision, in turns on this machine: no drift between them
  profiler check agents/react.py --against main --rounds 8 --run "--backend vllm --task leave-days --task car-trip"
      with options of `profiler run` for both
  profiler check traces/branch --against main --junit report.xml
      main: a baseline that `profiler baseline set main RUN` made, or a run's folder
  profiler check traces/branch --cannot-tell fail --format json | jq .verdict
\b
{_METRICS}
\b
Exit codes: 0 not regressed (or cannot tell, unless that fails), 1 regressed, 2 usage, 3 incomparable data, 4 no
engine."""
)
@click.argument("path", metavar="RUN|AGENT[:NAME]", type=click.Path(), shell_complete=complete_run_or_agent)
@click.option(
    "--against",
    metavar="REV|RUN|BASELINE",
    shell_complete=complete_against,
    help="What margins are against: for an AGENT a git revision, which is measured with it, else what was kept. "
    "[default: against of the file]",
)
@click.option("--config", metavar="FILE", type=_PATH, help="Limits and margins. [default: the project's profiler.toml]")
@click.option(
    "--cannot-tell",
    type=click.Choice(["pass", "fail"]),
    help='What "cannot tell" does to the exit code. [default: cannot-tell of the file, else pass]',
)
@click.option(
    "--trajectory",
    type=click.Choice(["fail", "ignore"]),
    help="What chains do that go another way than the script or the baseline. [default: trajectory of the file, else "
    "fail]",
)
@click.option(
    "--allow",
    metavar="KIND[,KIND]",
    multiple=True,
    callback=allowed_kinds,
    help=f"Compare although run and baseline differ in this: {', '.join(ALLOWED)}.",
)
@click.option(
    "--rounds",
    metavar="N",
    type=click.IntRange(1, 10_000),
    help="Of an AGENT: chains per task and side, all of which are run. [default: 4]",
)
@click.option("--run", "run_options", metavar="OPTIONS", help="Of an AGENT: options of `profiler run`, for both sides.")
@click.option(
    "--out", metavar="DIR", type=_PATH, help="Of an AGENT: folder of the runs. [default: traces/<time>-<agent>-check]"
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["terminal", "markdown", "json"]),
    default="terminal",
    show_default=True,
    help="markdown: for a pull request. json: for programs.",
)
@click.option("--output", "target", metavar="PATH", type=_PATH, help="File. Default: stdout (-).")
@click.option("--junit", metavar="FILE", type=_PATH, help="Write the verdicts as JUnit XML, too.")
@click.option("--force", is_flag=True, help="Overwrite files that are no reports of ours.")
def check(
    path: str,
    against: str | None,
    config: Path | None,
    cannot_tell: str | None,
    trajectory: str | None,
    allow: frozenset[str],
    rounds: int | None,
    run_options: str | None,
    out: Path | None,
    output: str,
    target: Path | None,
    junit: Path | None,
    *,
    force: bool,
) -> int:
    """Hold RUN to limits, and to a baseline by margins. Three verdicts: regressed, not regressed, cannot tell.

    An AGENT is run for that now, and the git revision that it is held against with it, in turns.

    On GitHub Actions it also annotates, and adds to the step's summary.
    """
    from profiler.cli.budget_file import find_budgets, load_budgets
    from profiler.cli.check_agent import Measuring, is_agent, measured_now
    from profiler.cli.output import STDOUT, check_replaceable, put
    from profiler.comparable import check_there
    from profiler.report.check import render_check, render_check_json, render_junit
    from profiler.report.check_markdown import render_check_markdown

    for_agent = {"--rounds": rounds, "--run": run_options, "--out": out}
    given = [name for name, value in for_agent.items() if value is not None]
    if not is_agent(path):
        if given:
            raise UsageError(
                f"{given[0]} is for an agent, and {path} is a run",
                remedy=f"leave it out, or give the agent's file: profiler check agent.py {given[0]} ...",
            )
        check_there(Path(path))
    budgets = load_budgets(config or find_budgets(Path.cwd()))
    budgets = replace(budgets, trajectory=trajectory or budgets.trajectory)
    named = against or budgets.against
    if budgets.margins and named is None:
        raise UsageError(
            f"{budgets.path} has margins, and there is nothing to hold the run against",
            remedy="give --against RUN or a baseline's name (of an agent: a git revision), or set against in the file",
        )
    for each in (target, junit):  # before minutes of measuring
        if each is not None and each != STDOUT:
            check_replaceable(each, force=force)
    # What the file names is beside the file, wherever the command is given.
    beside = Path(os.path.relpath(budgets.path.parent))
    folders = (Path(), beside) if against else (beside,)
    said: list[str] = []
    if is_agent(path):
        how = Measuring(path, named, folders, budgets, run_options or "", rounds, out, allow)
        run, base, said = measured_now(how)
    else:
        run, base = _stored(path, named, folders)
    checked = judge(run, base, budgets, cannot_tell or budgets.cannot_tell, allow)
    checked = replace(checked, remarks=(*said, *checked.remarks))
    written = {"terminal": render_check, "markdown": render_check_markdown, "json": render_check_json}
    put(written[output](checked), target, force=force)
    if junit is not None:
        put(render_junit(checked), junit, force=force)
    _tell_github(checked, os.environ)
    return EXIT_OK if checked.passed else EXIT_REGRESSION


def _stored(path: str, named: str | None, folders: Sequence[Path]) -> tuple[Recorded, Recorded | None]:
    """A run, and what it is held against: both were measured some time ago."""
    from profiler.ab.revision import commit_of
    from profiler.comparable import found_side, load_side

    run = load_side(Path(path)).recorded
    if named is None:
        return run, None
    if not found_side(Path(named), folders).exists() and commit_of(Path.cwd(), named) is not None:
        agent = run.manifest.agent.get("path", "AGENT") if run.manifest is not None else "AGENT"
        raise UsageError(
            f"{named} is a git revision, and neither a run nor a baseline: {path} was measured without it",
            remedy=f"measure both in turns: profiler check {shown_path(Path(agent))} --against {named}; or keep a run "
            f"of it: profiler baseline set {named} RUN",
        )
    return run, load_side(Path(named), folders=folders).recorded


def judge(run: Recorded, base: Recorded | None, budgets: Budgets, cannot_tell: str, allow: frozenset[str]) -> Checked:
    """Every limit, every margin, failed chains and the trajectory.

    Raises:
        DataError: run and baseline must not be compared, or share no task.
        UsageError: a limit or margin fits nothing of the run, or none is for its agent.
    """
    from profiler.comparable import check_comparable, nothing_shared
    from profiler.compare.budgets import doubted, is_time
    from profiler.compare.limits import judge_limit, judge_trajectory
    from profiler.compare.margins import judge_margins
    from profiler.compare.script import off_script_of
    from profiler.compare.selection import applying
    from profiler.compare.wholeness import judge_ending, judge_failures
    from profiler.report.check import Checked
    from profiler.report.check_words import tell
    from profiler.report.comparison_words import amount, change_lines, off_script_lines, remarks
    from profiler.report.failure_words import failure_words

    applied = applying(budgets.limits, budgets.margins, run, str(budgets.path))
    busy = ["the run"] if run.manifest is not None and run.manifest.suspect else []
    judged = [doubted(judge_limit(each, run, amount), busy) for each in applied.limits]
    judged += [*judge_failures([*applied.limits, *applied.margins], run, amount), *judge_ending(run)]
    comparison, said = None, list(_doubts(run))
    if base is not None:
        check_comparable(base, run, allow)
        of_margins, comparison = judge_margins(applied.margins, base, run, drift=budgets.drift)
        if not comparison.order.interleaved:
            busy += ["the baseline"] if base.manifest is not None and base.manifest.suspect else []
            of_margins = [doubted(each, busy) for each in of_margins]
        judged = [*of_margins, *judged]
        said = remarks(comparison, (base.manifest, run.manifest), of_times=any(map(is_time, judged)))
    if budgets.trajectory != "ignore":
        lines = list(change_lines(comparison) if comparison else off_script_lines(off_script_of(run.tables)))
        trajectory = judge_trajectory(run, comparison, lines)
        judged += [] if trajectory is None else [trajectory]
    elif off_script_of(run.tables) or (comparison is not None and comparison.changes):
        said.append("chains go another way than the script or the baseline, which is not judged: trajectory is ignored")
    said = [*failure_words(run.manifest), *said, *applied.remarks(run)]
    if comparison is not None and not comparison.tasks and not _told_all_the_same(judged):
        raise nothing_shared(comparison)
    against = None if base is None else base.name
    return Checked(run.name, against, tuple(judged), cannot_tell, tuple(said), tell(run.manifest, comparison))


def _told_all_the_same(judged: Sequence[Judged]) -> bool:
    """Without a pair of chains the candidate may still be worse: by chains that fail, or that left their script."""
    from profiler.stats.paired import Verdict

    decisive = ("failed_chains", "trajectory")
    return any(each.verdict is Verdict.REGRESSED and each.name.startswith(decisive) for each in judged)


def _doubts(run: Recorded) -> list[str]:
    from profiler.cli.baseline import doubts

    return [] if run.manifest is None else list(doubts(run.manifest))


def _tell_github(checked: Checked, environ: Mapping[str, str]) -> None:
    """Annotations and the step's summary, where there are such things."""
    from profiler.report.check import github_lines
    from profiler.report.check_markdown import render_check_markdown

    if environ.get("GITHUB_ACTIONS") != "true":
        return
    for each in github_lines(checked):
        click.echo(each, err=True)
    summary = environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(render_check_markdown(checked) + "\n")
        except OSError as error:
            click.echo(f"cannot add to the step's summary {summary}: {error.strerror}", err=True)
