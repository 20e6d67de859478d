"""`profiler check`: hold a run to limits and to a baseline; the gate."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from profiler.cli.compare import ALLOWED, allowed_kinds
from profiler.cli.report import complete_run
from profiler.errors import EXIT_OK, EXIT_REGRESSION, UsageError

if TYPE_CHECKING:
    from profiler.cli.budget_file import Budgets
    from profiler.compare.comparison import Recorded
    from profiler.report.check import Checked

_PATH = click.Path(path_type=Path)


@click.command(
    epilog="""\b
Examples:
  profiler check traces/branch
      by profiler.toml, or [tool.profiler.check] of pyproject.toml
  profiler check traces/branch --against main --junit report.xml
      main: a baseline that `profiler baseline set main RUN` made, or a run's folder
  profiler check traces/branch --cannot-tell fail --format json | jq .verdict
\b
Exit codes: 0 not regressed (or cannot tell, unless that fails), 1 regressed, 2 usage, 3 incomparable data."""
)
@click.argument("path", metavar="RUN", type=_PATH, shell_complete=complete_run)
@click.option("--against", metavar="RUN|BASELINE", help="What margins are against. [default: against of the file]")
@click.option("--config", metavar="FILE", type=_PATH, help="Limits and margins. [default: the project's profiler.toml]")
@click.option(
    "--cannot-tell",
    type=click.Choice(["pass", "fail"]),
    help='What "cannot tell" does to the exit code. [default: cannot-tell of the file, else pass]',
)
@click.option(
    "--allow",
    metavar="KIND[,KIND]",
    multiple=True,
    callback=allowed_kinds,
    help=f"Compare although run and baseline differ in this: {', '.join(ALLOWED)}.",
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
    path: Path,
    against: str | None,
    config: Path | None,
    cannot_tell: str | None,
    allow: frozenset[str],
    output: str,
    target: Path | None,
    junit: Path | None,
    *,
    force: bool,
) -> int:
    """Hold RUN to limits, and to a baseline by margins. Three verdicts: regressed, not regressed, cannot tell.

    On GitHub Actions it also annotates, and adds to the step's summary.
    """
    from profiler.cli.budget_file import find_budgets, load_budgets
    from profiler.cli.compare import check_there, load_side
    from profiler.cli.output import put
    from profiler.report.check import render_check, render_check_json, render_junit
    from profiler.report.check_markdown import render_check_markdown

    check_there(path)
    budgets = load_budgets(config or find_budgets(Path.cwd()))
    run = load_side(path).recorded
    named = against or budgets.against
    if budgets.margins and named is None:
        raise UsageError(
            f"{budgets.path} has margins, and there is nothing to hold the run against",
            remedy="give --against RUN or a baseline's name, or set against in the file",
        )
    # What the file names is beside the file, wherever the command is given.
    beside = Path(os.path.relpath(budgets.path.parent))
    folders = (Path(), beside) if against else (beside,)
    base = load_side(Path(named), folders=folders).recorded if named is not None else None
    checked = judge(run, base, budgets, cannot_tell or budgets.cannot_tell, allow)
    written = {"terminal": render_check, "markdown": render_check_markdown, "json": render_check_json}
    put(written[output](checked), target, force=force)
    if junit is not None:
        put(render_junit(checked), junit, force=force)
    _tell_github(checked, os.environ)
    return EXIT_OK if checked.passed else EXIT_REGRESSION


def judge(run: Recorded, base: Recorded | None, budgets: Budgets, cannot_tell: str, allow: frozenset[str]) -> Checked:
    """Every limit, every margin, failed chains and the trajectory.

    Raises:
        DataError: run and baseline must not be compared, or share no task.
        UsageError: a limit or margin fits nothing of the run, or none is for its agent.
    """
    from profiler.cli.compare import check_comparable, nothing_shared
    from profiler.compare.budgets import doubted, is_time
    from profiler.compare.limits import judge_limit, judge_trajectory
    from profiler.compare.margins import judge_margins
    from profiler.compare.selection import applying
    from profiler.compare.wholeness import judge_ending, judge_failures
    from profiler.report.check import Checked
    from profiler.report.check_words import tell
    from profiler.report.comparison_words import amount, change_lines, remarks

    applied = applying(budgets.limits, budgets.margins, run, str(budgets.path))
    busy = ["the run"] if run.manifest is not None and run.manifest.suspect else []
    judged = [doubted(judge_limit(each, run, amount), busy) for each in applied.limits]
    judged += [*judge_failures([*applied.limits, *applied.margins], run, amount), *judge_ending(run.manifest)]
    comparison, said = None, list(_doubts(run))
    if base is not None:
        check_comparable(base, run, allow)
        of_margins, comparison = judge_margins(applied.margins, base, run, drift=budgets.drift)
        if not comparison.tasks:
            raise nothing_shared(comparison)
        if not comparison.order.interleaved:
            busy += ["the baseline"] if base.manifest is not None and base.manifest.suspect else []
            of_margins = [doubted(each, busy) for each in of_margins]
        judged = [*of_margins, *judged]
        said = remarks(comparison, (base.manifest, run.manifest), of_times=any(map(is_time, judged)))
    if budgets.trajectory != "ignore":
        lines = [] if comparison is None else list(change_lines(comparison))
        trajectory = judge_trajectory(run, comparison, lines)
        judged += [] if trajectory is None else [trajectory]
    said += applied.remarks(run)
    against = None if base is None else base.name
    return Checked(run.name, against, tuple(judged), cannot_tell, tuple(said), tell(run.manifest, comparison))


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
