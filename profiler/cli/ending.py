"""How a run ends: what the manifest says of it, what the user is shown, the exit code."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from profiler.errors import EXIT_OK, DataError, Interrupted, StoreError

if TYPE_CHECKING:
    from profiler.record.runner import Outcome
    from profiler.store.manifest import Manifest

_SHOWN_FAILURES = 5


def conclude(manifest: Manifest, outcome: Outcome) -> None:
    """Write into the manifest how the run ended."""
    results = outcome.results
    measured = [result for result in results if not result.job.warmup]
    ended = [each for each in measured if each.failure is None or each.failure.type != "Interrupted"]
    manifest.chains.finished = len(ended)
    manifest.chains.failed = sum(result.failure is not None for result in ended)
    manifest.chains.warmup = sum(result.job.warmup for result in results)
    manifest.failures = [result.failure for result in results if result.failure is not None]
    manifest.calls_outside_chains = outcome.calls_outside_chains
    manifest.calls_not_followed = outcome.calls_not_followed
    manifest.timings_not_believed = outcome.timings_not_believed
    manifest.loop_lag, manifest.suspect = outcome.loop_lag, outcome.suspect
    manifest.recording_cost = outcome.recording_cost
    if outcome.fatal is None:
        manifest.status = "finished"
    elif isinstance(outcome.fatal, Interrupted):
        manifest.status = "interrupted"
    else:
        manifest.status, manifest.error = "failed", outcome.fatal.message


def import_report() -> None:
    """Import what a report takes, which is over a second: something else may end meanwhile."""
    for name in ("profiler.store.reader", "profiler.analysis.explain", "profiler.report.terminal"):
        importlib.import_module(name)


def report(manifest: Manifest, outcome: Outcome, folder: Path, *, output: str, record_script: Path | None) -> int:
    """Show the report and what a user should know besides; the exit code.

    Raises:
        ProfilerError: why the run ended early, did not fit its script, or has no good chain.
    """
    from profiler.cli import engine_spans
    from profiler.cli.metrics import show_metrics
    from profiler.cli.report import render, write_html
    from profiler.store.reader import load_run

    good = [result for result in outcome.results if result.failure is None and not result.job.warmup]
    loaded = load_run(folder)
    if output == "html" and not loaded.tables.chains.empty:
        write_html(loaded)
    elif not loaded.tables.chains.empty:
        click.echo(render(loaded, output), nl=False)
    _show_failures(manifest)
    note(f"\nrun kept in {shown_path(folder)}; the report again: profiler report {shown_path(folder)}")
    if output != "html":
        note(f"with waterfalls, for a browser: profiler report {shown_path(folder)} --format html")
    _show_export(manifest)
    show_metrics(manifest)
    engine_spans.show(manifest.engine_spans)
    if record_script is not None:
        _write_script(record_script, outcome, manifest)
    if outcome.fatal is not None:
        raise outcome.fatal
    if outcome.mismatch is not None:
        raise outcome.mismatch
    if not good:
        raise DataError("no chain ended well", remedy="the failures above say why")
    return EXIT_OK


def shown_path(path: Path) -> str:
    """As seen from the shell that started us."""
    start = os.environ.get("PWD", "")
    return str(path.relative_to(start)) if start and path.is_relative_to(start) else str(path)


def _show_failures(manifest: Manifest) -> None:
    from profiler.report.text import safe

    seen: dict[tuple[str, str, str | None], list[str]] = {}
    for failure in manifest.failures:
        seen.setdefault((failure.type, failure.message, failure.where), []).append(failure.task)
    if seen:
        note("\nFailed chains (warm-up included):")
    for (kind, message, place), names in list(seen.items())[:_SHOWN_FAILURES]:
        where = safe(", ".join(dict.fromkeys(names)), 120)
        at = f" at {safe(place)}" if place else ""
        note(f"  {len(names)} x {kind}{at}: {safe(message, 300)}\n      in {where}")
        if kind == "NotFoundError" and "model" in message:
            served = ", ".join(manifest.engine.get("models") or [manifest.engine.get("model", "?")])
            note(f"      served: {served}; let the agent take its model from OPENAI_MODEL")
        if kind == "APIConnectionError":
            note(
                f"      the engine is at {manifest.engine.get('base_url', '?')}; an agent with an address of its own "
                "should take it from OPENAI_BASE_URL"
            )
    if len(seen) > _SHOWN_FAILURES:
        note(f"  and {len(seen) - _SHOWN_FAILURES} other kinds: see run.json")


def _show_export(manifest: Manifest) -> None:
    export = manifest.export
    if export is None:
        return
    if export.not_sent:
        note(
            f"{export.not_sent} of {export.sent + export.not_sent} spans were not taken by {export.endpoint} "
            f"({export.protocol}): {export.error}; the run itself is complete on disk"
        )
    else:
        note(f"{export.sent} spans sent to {export.endpoint} ({export.protocol})")


def _write_script(target: Path, outcome: Outcome, manifest: Manifest) -> None:
    from profiler.script import dump_script

    script = outcome.script()
    if not script.tasks:
        note(f"no script written to {target}: no chain ended well")
        return
    try:
        target.write_text(dump_script(script), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write the script {target}: {error.strerror}") from error
    calls = sum(len(task.calls) for task in script.tasks.values())
    agent = Path(manifest.agent.get("path") or "AGENT")
    found = target.absolute() == agent.with_name(f"{agent.stem}.script.json").absolute()
    how = "it is replayed from now on (--no-script lets the model decide)" if found else f"--script {target} replays it"
    note(f"script of {len(script.tasks)} tasks with {calls} calls kept in {shown_path(target)}; {how}")


def note(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads it any more: no reason to lose a run
        click.echo(text, err=True)
