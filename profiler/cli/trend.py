"""`profiler trend`: a history of runs, and where its level changed."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from profiler.cli.report import complete_run
from profiler.errors import EXIT_REGRESSION, DataError, UsageError

if TYPE_CHECKING:
    from profiler.cli.history import History
    from profiler.store.manifest import Manifest
    from profiler.trend.changes import Opinion, Trend
    from profiler.trend.history import Run

# `profiler.trend.figures.METRICS`, which takes pandas to import.
NAMES: Final = (
    "chain_time",
    "time_per_step",
    "steps",
    "prompt_tokens",
    "cache_hits",
    "output_tokens",
    "ttft",
    "tpot",
    "framework",
)
_AGO: Final = re.compile(r"(\d{1,5})([hdw])")
_HOURS: Final = {"h": 1, "d": 24, "w": 168}
_COMMIT: Final = re.compile(r"[0-9a-f]{7,40}")


def complete_history(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Runs, and folders of runs."""
    above, slash, _ = incomplete.rpartition("/")
    folders = [each for each in Path(f"{above}{slash}" or ".").glob("*/") if any(each.glob("*/run.json"))]
    found = [f"{above}{slash}{folder.name}/" for folder in folders]
    return sorted({*complete_run(ctx, param, incomplete), *(each for each in found if each.startswith(incomplete))})


@click.command(
    epilog="""\b
Examples:
  profiler trend
      all runs in traces/ and baselines in traces/baselines/
  profiler trend history/ --metric chain_time --metric prompt_tokens
  profiler trend --agent react --since 8w
  profiler trend --since 1f0c2ab --fail
      from the first run of that commit on; exit code 1 if chains have become slower since
  profiler trend --with otava
      what Apache Otava finds, beside it
  profiler trend --format json | jq '.series[].events[].commits'"""
)
@click.argument(
    "paths",
    metavar="[RUN|FOLDER|BASELINE]...",
    nargs=-1,
    type=click.Path(path_type=Path),
    shell_complete=complete_history,
)
@click.option(
    "--metric",
    "metrics",
    type=click.Choice(NAMES),
    multiple=True,
    help="Follow this; repeatable. The first one decides, the others are corrected for being many. [default: all, "
    "chain_time first]",
)
@click.option("--agent", "agents", metavar="NAME", multiple=True, help="Only runs of this agent; repeatable.")
@click.option(
    "--since",
    metavar="WHEN",
    help="Only runs from then on: a date (2026-11-01), a span (36h, 14d, 8w), a commit's first run, or a run's name.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["terminal", "markdown", "json", "csv"]),
    default="terminal",
    show_default=True,
    help="markdown: short, for a pull request. json: all figures for programs. csv: a row per run, for "
    "tables and Apache Otava.",
)
@click.option(
    "--output", "target", metavar="PATH", type=click.Path(path_type=Path), help="File. [default: stdout, also -]"
)
@click.option(
    "--fail",
    is_flag=True,
    help="Exit code 1 if the newest run of an agent lies after a change for the worse of the first metric that was not "
    "undone.",
)
@click.option("--with", "second", metavar="otava|PATH", help="Ask Apache Otava as well: its program, installed apart.")
@click.option("--all", "everything", is_flag=True, help="Every run in the table (terminal, markdown).")
@click.option("--force", is_flag=True, help="Overwrite files that are no reports of ours.")
@click.option("--no-cache", is_flag=True, help="Read the spans again, and keep no tables beside them.")
def trend(
    paths: tuple[Path, ...],
    metrics: tuple[str, ...],
    agents: tuple[str, ...],
    since: str | None,
    output: str,
    target: Path | None,
    second: str | None,
    *,
    fail: bool,
    everything: bool,
    force: bool,
    no_cache: bool,
) -> int:
    """Show how runs developed, and find the commits between which their level changed.

    Reads runs, baselines and folders of these; without any, traces/ and traces/baselines/. Runs that may be compared
    form a series, by the time at which they were measured. What cannot be read is told and left out. docs/trend.md
    says how changes are found.
    """
    from profiler.cli import otava
    from profiler.cli.output import put
    from profiler.trend.changes import trend_of
    from profiler.trend.figures import BY_NAME, METRICS
    from profiler.trend.history import series_of

    program = None if second is None else otava.program(second)
    history = _history(paths, agents, use_cache=not no_cache)
    if since is not None:
        history.runs[:] = _since(history.runs, since)
    chosen = [BY_NAME[name] for name in dict.fromkeys(metrics)] or METRICS
    found = [trend_of(series, chosen) for series in series_of(history.runs)]
    opinions = None if program is None else [otava.ask(program, each) for each in found]
    put(_render(found, history, output, opinions, everything=everything, plain=target is not None), target, force=force)
    return EXIT_REGRESSION if fail and any(each.primary_worsened for each in newest(found)) else 0


def newest(trends: Sequence[Trend]) -> list[Trend]:
    """Of each agent, the series that its newest run is in."""
    last: dict[str, Trend] = {}
    for each in trends:
        known = last.get(each.series.agent)
        if known is None or each.series.runs[-1].time >= known.series.runs[-1].time:
            last[each.series.agent] = each
    return list(last.values())


def _history(paths: Sequence[Path], agents: Sequence[str], *, use_cache: bool) -> History:
    from profiler.cli.history import DEFAULT, read_history, reasons

    known: set[str] = set()

    def wanted(manifest: Manifest) -> bool:
        name = manifest.agent.get("name", "agent")
        known.add(name)
        return not agents or name in agents

    if not paths and not DEFAULT.is_dir():
        raise DataError(
            f"there is no folder {DEFAULT}/ here", remedy="profiler run makes runs in it; or name runs, or a folder"
        )
    history = read_history(paths or [DEFAULT], wanted=wanted, use_cache=use_cache)
    if missing := [name for name in agents if name not in known]:
        raise DataError(
            f"there is no run of an agent called {missing[0]}",
            remedy=f"there are: {', '.join(sorted(known))}" if known else "there is no run that can be read",
            details="\n".join(reasons(history.left_out)),
        )
    if not history.runs:
        raise DataError(
            f"no run to show in {', '.join(map(str, paths)) or DEFAULT}",
            details="\n".join(reasons(history.left_out)),
            remedy="a history is made of runs: profiler run, once per commit",
        )
    return history


def _since(runs: Sequence[Run], since: str) -> list[Run]:
    begin = _begin(runs, since)
    found = [run for run in runs if run.time >= begin]
    if not found:
        raise DataError(f"no run since {since}: the newest is of {_newest(runs)}", remedy="name an earlier time")
    return found


def _newest(runs: Sequence[Run]) -> str:
    return max(runs, key=lambda run: run.time).manifest.created


def _begin(runs: Sequence[Run], since: str) -> float:
    """The time that is meant, in seconds since the epoch."""
    from profiler.cli.history import when

    if ago := _AGO.fullmatch(since):
        return time.time() - int(ago[1]) * _HOURS[ago[2]] * 3600
    named: list[Callable[[Run], bool]] = [lambda run: Path(run.name).name == since or run.name == since]
    if _COMMIT.fullmatch(since):
        named.append(lambda run: (run.commit or "").startswith(since))
    for fits in named:
        if times := [run.time for run in runs if fits(run)]:
            return min(times)
    try:
        return when(since)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {since}: no date, no span, and no run has this name or commit",
            remedy="such as 2026-11-01, 14d, a commit of seven digits or more that was measured, or a run's folder",
        ) from None


def _render(
    trends: Sequence[Trend],
    history: History,
    output: str,
    opinions: Sequence[Sequence[Opinion]] | None,
    *,
    everything: bool,
    plain: bool,
) -> str:
    from profiler.cli.history import reasons

    left_out = list(reasons(history.left_out))
    if output == "csv":
        from profiler.report.trend_csv import render_csv

        for line in left_out:
            click.echo(line, err=True)
        return render_csv(trends)
    if output == "json":
        from profiler.report.trend_structured import render_trend_json

        return render_trend_json(trends, left_out, opinions)
    from profiler.report.trend import render_trend, render_trend_markdown

    if output == "markdown":
        return render_trend_markdown(trends, left_out, opinions, everything=everything)
    terminal = sys.stdout.isatty() and not plain
    width = shutil.get_terminal_size((110, 24)).columns if terminal else 110
    return render_trend(trends, left_out, opinions, width=min(width, 140), color=terminal, everything=everything)
