"""`profiler report`: print a recorded run's report again."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from profiler.analysis.reconcile import Reconciled
    from profiler.store.reader import LoadedRun


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Folders below `traces/` that hold a run."""
    here = Path(incomplete).parent if "/" in incomplete else Path("traces")
    if not here.is_dir():
        return []
    found = [str(run.parent) for run in here.glob("*/spans.jsonl")]
    return sorted(path for path in found if path.startswith(incomplete) or not incomplete)


format_option = click.option(
    "--format",
    "output",
    type=click.Choice(["terminal", "json"]),
    default="terminal",
    show_default=True,
    help="json gives the same figures to programs.",
)


@click.command(
    epilog="""\b
Examples:
  profiler report traces/20261123-101500-react-vllm
  profiler report traces/20261123-101500-react-vllm --format json | jq .summary.phases
  profiler report spans.jsonl            any file of OTLP JSON lines"""
)
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path), shell_complete=complete_run)
@format_option
@click.option(
    "--no-cache", is_flag=True, help="Read the spans again, and keep no tables beside them (runs above 4 MB do)."
)
def report(path: Path, output: str, *, no_cache: bool) -> int:
    """Print the report of RUN: a run's folder, or a file of OTLP JSON lines."""
    from profiler.store.reader import load_run

    click.echo(render(load_run(path, use_cache=not no_cache), output), nl=False)
    return 0


def render(run: LoadedRun, output: str) -> str:
    """The report of a run in one of the formats.

    Raises:
        DataError: there is no finished chain to report on.
    """
    from profiler.analysis.summary import summarise
    from profiler.errors import DataError
    from profiler.report.caveats import caveats
    from profiler.report.structured import render_json
    from profiler.report.terminal import render as render_terminal

    if run.tables.chains.empty:
        raise DataError(
            f"{run.path} has no finished chain",
            remedy="; ".join(run.notes) or "the run ended before its first chain did",
        )
    tables = run.tables
    summary = summarise(tables)
    remarks = caveats(summary, run.manifest, run.notes, _engine_log(run))
    if output == "json":
        return render_json(summary, tables, run.manifest, remarks)
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((110, 24)).columns if terminal else 110
    return render_terminal(summary, run.manifest, remarks, source=str(run.path), width=min(width, 140), color=terminal)


def _engine_log(run: LoadedRun) -> Reconciled | None:
    """The run's calls against the embedded engine's own log, where there is one."""
    from profiler.analysis.reconcile import reconcile
    from profiler.truth import TRUTH_FILE, read_truth

    path = (run.path if run.path.is_dir() else run.path.parent) / TRUTH_FILE
    if run.manifest is None or not path.is_file():
        return None
    try:
        return reconcile(run.tables.calls, read_truth(path))
    except (OSError, ValueError, TypeError):
        return None  # it is no part of the run: a report does not fail for it
