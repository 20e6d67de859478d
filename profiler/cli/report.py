"""`profiler report`: a recorded run's report again, in any format."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from profiler.errors import DataError, UsageError

if TYPE_CHECKING:
    from profiler.analysis.explain import Explanation
    from profiler.analysis.reconcile import Reconciled
    from profiler.store.reader import LoadedRun

TABLES = ("chains", "calls", "steps", "tools", "gaps", "repairs")
_OF_TABLES = ("csv", "parquet")


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Folders that hold a run: below the folder that is being named, else below `traces/`."""
    above, slash, _ = incomplete.rpartition("/")
    here = f"{above}{slash}" or "traces/"
    found = [f"{here}{run.parent.name}" for run in Path(here).glob("*/spans.jsonl")]
    return sorted(path for path in found if path.startswith(incomplete))


format_option = click.option(
    "--format",
    "output",
    type=click.Choice(["terminal", "html", "markdown", "json"]),
    default="terminal",
    show_default=True,
    help="html: report.html in the run's folder. markdown: short, for a pull request. json: all figures for programs.",
)


@click.command(
    epilog="""\b
Examples:
  profiler report traces/20261123-101500-react-vllm
  profiler report traces/20261123-101500-react-vllm --format html
      one file, report.html in the run's folder, for any browser
  profiler report traces/20261123-101500-react-vllm --format json | jq '.findings[0].title'
  profiler report traces/20261123-101500-react-vllm --format csv --table calls > calls.csv
  profiler report traces/20261123-101500-react-vllm --format parquet --output tables/
  profiler report spans.jsonl            any file of OTLP JSON lines"""
)
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path), shell_complete=complete_run)
@click.option(
    "--format",
    "output",
    type=click.Choice(["terminal", "html", "markdown", "json", *_OF_TABLES]),
    default="terminal",
    show_default=True,
    help="html: one file for any browser. markdown: short, for a pull request. json: all figures for programs. csv, "
    "parquet: the metric tables.",
)
@click.option(
    "--output",
    "target",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="File, or with csv and parquet a folder. Default: report.html beside the spans for html, else stdout (-).",
)
@click.option("--table", type=click.Choice(TABLES), help="This one alone, for csv and parquet.")
@click.option("--all", "everything", is_flag=True, help="All findings, with what they rest on (terminal, markdown).")
@click.option("--force", is_flag=True, help="Overwrite files that are no reports of ours.")
@click.option(
    "--jaeger",
    "viewer",
    metavar="URL",
    help="Link to the traces in this Jaeger (terminal, html). [default: where the run was sent to, if that was seen]",
)
@click.option(
    "--no-cache", is_flag=True, help="Read the spans again, and keep no tables beside them (runs above 4 MB do)."
)
def report(
    path: Path,
    output: str,
    target: Path | None,
    table: str | None,
    viewer: str | None,
    *,
    everything: bool,
    force: bool,
    no_cache: bool,
) -> int:
    """Print the report of RUN, or write it to a file. RUN is a run's folder, or a file of OTLP JSON lines."""
    from profiler.cli.output import put
    from profiler.store.reader import load_run

    if table is not None and output not in _OF_TABLES:
        raise UsageError(
            "--table goes with --format csv or parquet", remedy=f"leave it out, or add --format csv for {table}"
        )
    if output in _OF_TABLES and table is None and target is None:
        raise UsageError(
            f"{output} makes several tables, which need a folder",
            remedy=f"give --output FOLDER, or one of them with --table ({', '.join(TABLES)})",
        )
    if viewer is not None:
        from profiler.exchange.address import viewer_url

        viewer = viewer_url(viewer)
    run = load_run(path, use_cache=not no_cache)
    if output in _OF_TABLES:
        _put_tables(run, output, target, table, force=force)
    elif output == "html":
        write_html(run, target, viewer, force=force)
    else:
        text = render(run, output, viewer, everything=everything, plain=target is not None)
        put(text, target, force=force)
    return 0


def render(
    run: LoadedRun, output: str, viewer: str | None = None, *, everything: bool = False, plain: bool = False
) -> str:
    """The report of a run in one of the formats that are text.

    Args:
        run: what to report on.
        output: `terminal`, `html`, `markdown` or `json`.
        viewer: address of a Jaeger that has the traces; None for the one that the run was sent to.
        everything: all findings, with their grounds.
        plain: without colours, and not as wide as the terminal: it goes to a file.

    Raises:
        DataError: there is no finished chain to report on.
    """
    _check_not_empty(run)
    explanation = explained(run)
    remarks = _remarks(run, explanation)
    if viewer is None and run.manifest is not None and run.manifest.export is not None:
        viewer = run.manifest.export.viewer
    if output == "json":
        from profiler.report.structured import render_json

        return render_json(explanation, run.tables, run.manifest, remarks)
    if output == "markdown":
        from profiler.report.markdown import render_markdown

        return render_markdown(explanation, run.manifest, remarks, source=str(run.path), everything=everything)
    if output == "html":
        from profiler.cli.pictures import pictures_of
        from profiler.report.html import render_html

        pictures = pictures_of(run, explanation)
        return render_html(
            explanation, run.tables, run.manifest, remarks, source=str(run.path), pictures=pictures, viewer=viewer
        )
    from profiler.report.terminal import render as render_terminal

    terminal = sys.stdout.isatty() and not plain
    width = shutil.get_terminal_size((110, 24)).columns if terminal else 110
    return render_terminal(
        explanation,
        run.manifest,
        remarks,
        source=str(run.path),
        width=min(width, 140),
        color=terminal,
        everything=everything,
        viewer=viewer,
    )


def explained(run: LoadedRun) -> Explanation:
    """What the run's tables say, with what its manifest knows of the engine."""
    from profiler.analysis.explain import explain
    from profiler.analysis.facts import facts_of

    return explain(run.tables, facts=facts_of(run.manifest.engine) if run.manifest is not None else None)


def _remarks(run: LoadedRun, explanation: Explanation) -> list[str]:
    from profiler.report.caveats import caveats
    from profiler.report.findings import repair_sentence

    repaired = repair_sentence(explanation)
    found = caveats(explanation.summary, run.manifest, run.notes, _engine_log(run))
    return found if repaired is None else [*found, repaired]


def _check_not_empty(run: LoadedRun) -> None:
    if run.tables.chains.empty:
        raise DataError(
            f"{run.path} has no finished chain",
            remedy="; ".join(run.notes) or "the run ended before its first chain did",
        )


def html_path(run: LoadedRun) -> Path:
    """Where a run's HTML report lies unless something else is said."""
    folder = run.spans_path.parent
    return folder / ("report.html" if run.manifest is not None else f"{run.spans_path.stem}.report.html")


def write_html(run: LoadedRun, target: Path | None = None, viewer: str | None = None, *, force: bool = False) -> None:
    """Write the HTML report, and say where.

    Raises:
        DataError: there is no finished chain.
        UsageError, StoreError: there is another file, or it cannot be written.
    """
    from profiler.cli.ending import note
    from profiler.cli.output import STDOUT, put

    target = html_path(run) if target is None else target
    put(render(run, "html", viewer), target, force=force)
    if target != STDOUT:
        note(f"report written to {target}: open it in a browser")


def _put_tables(run: LoadedRun, output: str, target: Path | None, table: str | None, *, force: bool) -> None:
    from profiler.cli.ending import note
    from profiler.cli.output import STDOUT, put, put_all
    from profiler.report.tabular import named, tables_to_csv, tables_to_parquet

    _check_not_empty(run)
    written = tables_to_csv if output == "csv" else tables_to_parquet
    if table is not None:
        put(written(getattr(run.tables, table)), target, force=force)
    elif target == STDOUT:
        raise UsageError("several tables do not fit into one stream", remedy="add --table NAME, or name a folder")
    elif target is not None:
        files = ((f"{name}.{output}", written(frame)) for name, frame in named(run.tables))
        paths = put_all(files, target, force=force)
        note(f"{len(paths)} tables written to {target}: docs/tables.md describes their columns")


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
