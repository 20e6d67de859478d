"""`profiler compare`: recorded runs side by side."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from profiler.cli.report import complete_run
from profiler.comparable import compare_sides, load_side
from profiler.errors import UsageError

if TYPE_CHECKING:
    from profiler.compare.comparison import Comparison, Recorded

# kind -> what it lets through: `profiler.compare.sameness.KINDS`, which takes pandas to import.
ALLOWED = ("agent", "tasks", "script", "model", "engine", "flags", "host", "profiler", "unknown")


def allowed_kinds(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> frozenset[str]:
    """The kinds of differences that are let through, from a repeatable option with commas."""
    kinds = [kind.strip() for value in values for kind in value.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in ALLOWED:
            raise click.BadParameter(f"{kind!r} is none of {', '.join(ALLOWED)}.")
    return frozenset(kinds)


@click.command(
    epilog="""\b
Examples:
  profiler compare traces/main traces/branch
  profiler compare traces/main traces/branch --format markdown > comment.md
      short, for a pull request
  profiler compare traces/vllm traces/sglang --allow engine,flags
      runs that differ in more than the agent's code are refused unless told
  profiler compare traces/main traces/branch --format html --output comparison.html
      both waterfalls on one scale
  profiler compare traces/main traces/a traces/b --format json | jq '.comparisons[].headline'"""
)
@click.argument("base", metavar="BASE", type=click.Path(path_type=Path), shell_complete=complete_run)
@click.argument(
    "candidates",
    metavar="CANDIDATE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    shell_complete=complete_run,
)
@click.option(
    "--allow",
    metavar="KIND[,KIND]",
    multiple=True,
    callback=allowed_kinds,
    help=f"Compare although the runs differ in this: {', '.join(ALLOWED)}. Repeatable. Of other tasks, those that both "
    "have are compared.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["terminal", "html", "markdown", "json"]),
    default="terminal",
    show_default=True,
    help="html: one file with both waterfalls. markdown: short, for a pull request. json: all figures for programs.",
)
@click.option(
    "--output",
    "target",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="File. Default: comparison.html in the candidate's folder for html, else stdout (-).",
)
@click.option("--all", "everything", is_flag=True, help="All differences and trajectories (terminal, markdown).")
@click.option("--force", is_flag=True, help="Overwrite files that are no reports of ours.")
@click.option("--no-cache", is_flag=True, help="Read the spans again, and keep no tables beside them.")
def compare(
    base: Path,
    candidates: tuple[Path, ...],
    allow: frozenset[str],
    output: str,
    target: Path | None,
    *,
    everything: bool,
    force: bool,
    no_cache: bool,
) -> int:
    """Show how much slower or faster CANDIDATE is than BASE, and where that comes from.

    Both are runs (folders, or files of OTLP JSON lines) or baselines, by name. Chains are paired by task. Runs that
    differ in more than what was changed are refused, with every difference named (exit code 3). This shows;
    `profiler check` decides.
    """
    from profiler.cli.output import put

    if output == "html" and len(candidates) > 1:
        raise UsageError("html shows one candidate beside the base", remedy="give one, or another --format")
    _check_not_twice(base, candidates)
    loaded = [load_side(path, use_cache=not no_cache) for path in (base, *candidates)]
    compared = [compare_sides(loaded[0].recorded, each.recorded, allow) for each in loaded[1:]]
    if output != "html":
        sides = [each.recorded for each in loaded]
        put(render(sides, compared, output, everything=everything, plain=target is not None), target, force=force)
        return 0
    from profiler.cli.comparing import write_comparison_html

    first, second = loaded[0].run, loaded[1].run
    if first is None or second is None:
        raise UsageError(
            "html draws chains, and a baseline has no spans",
            remedy="name the run that it was made of, or choose another --format",
        )
    write_comparison_html(first, second, compared[0], target, force=force)
    return 0


def render(
    sides: Sequence[Recorded],
    compared: Sequence[Comparison],
    output: str,
    *,
    everything: bool = False,
    plain: bool = False,
) -> str:
    """Comparisons of the first run with each of the others, in one of the formats that are text."""
    from profiler.report.comparison_words import remarks, title_words

    base, *others = sides
    told = [remarks(each, (base.manifest, other.manifest)) for each, other in zip(compared, others, strict=True)]
    titles = [title_words(base.manifest, other.manifest) for other in others]
    if output == "json":
        from profiler.report.comparison_structured import render_comparison_json

        return render_comparison_json(list(zip(compared, told, strict=True)))
    if output == "markdown":
        from profiler.report.comparison_markdown import render_comparison_markdown

        parts = [
            render_comparison_markdown(each, said, title=title, everything=everything)
            for each, said, title in zip(compared, told, titles, strict=True)
        ]
        return "\n".join(parts)
    from profiler.report.comparison import render_comparison

    terminal = sys.stdout.isatty() and not plain
    width = shutil.get_terminal_size((110, 24)).columns if terminal else 110
    return "\n".join(
        render_comparison(each, said, title=title, width=min(width, 140), color=terminal, everything=everything)
        for each, said, title in zip(compared, told, titles, strict=True)
    )


def _check_not_twice(base: Path, candidates: Sequence[Path]) -> None:
    seen = {base.resolve()}
    for path in candidates:
        if path.resolve() in seen:
            raise UsageError(f"{path} is named twice", remedy="name the run to compare with, and others")
        seen.add(path.resolve())
