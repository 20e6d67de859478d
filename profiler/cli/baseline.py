"""`profiler baseline`: runs to be held against later, small enough to commit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from profiler.cli.report import complete_run
from profiler.errors import DataError, UsageError

if TYPE_CHECKING:
    from profiler.store.manifest import Manifest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PATH = click.Path(path_type=Path)
_FOLDER = Path("traces/baselines")
_folder_option = click.option(
    "--folder", metavar="DIR", type=_PATH, default=_FOLDER, show_default=True, help="Where they are."
)


def complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Names of baselines."""
    folder = ctx.params.get("folder") or _FOLDER
    names = sorted(each.parent.name for each in Path(folder).glob("*/chains.parquet"))
    return [name for name in names if name.startswith(incomplete)]


@click.group(
    epilog="""\b
Examples:
  profiler baseline set main traces/20261123-101500-react-sim
  profiler baseline list
  profiler check traces/20261124-090000-react-sim --against main"""
)
def baseline() -> None:
    """Keep runs as baselines for `profiler check` and `profiler compare`: manifest and tables, without the spans."""


@baseline.command("set")
@click.argument("name", metavar="NAME")
@click.argument("path", metavar="RUN", type=_PATH, shell_complete=complete_run)
@_folder_option
@click.option("--force", is_flag=True, help="Replace a baseline of this name.")
def set_(name: str, path: Path, folder: Path, *, force: bool) -> int:
    """Keep RUN as the baseline NAME. Runs with doubts (suspect, not ended, failed chains) are taken with a warning."""
    from profiler.cli.ending import note
    from profiler.cli.output import put_all
    from profiler.report.tabular import named, tables_to_parquet
    from profiler.store.baseline import is_baseline, portable
    from profiler.store.reader import load_run

    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a baseline", remedy="letters, digits, dots and dashes, such as main")
    target = folder / name
    if target.exists() and not (force and is_baseline(target)):
        what = "a baseline" if is_baseline(target) else "something else"
        raise UsageError(
            f"{target} exists already and is {what}", remedy="--force replaces a baseline; or name another"
        )
    run = load_run(path)
    if run.manifest is None:
        raise DataError(f"{path} has no run.json: nobody could tell what it may be compared with")
    good = run.tables.chains[~run.tables.chains["warmup"] & ~run.tables.chains["failed"]]
    if good.empty:
        raise DataError(f"{path} has no chain that ended well", remedy="measure it again")
    files = [(f"{table}.parquet", tables_to_parquet(frame)) for table, frame in named(run.tables)]
    manifest = portable(run.manifest, Path.cwd()).model_dump_json(indent=1, exclude={"failures"}) + "\n"
    written = put_all([("run.json", manifest), *files], target, force=True)
    size = sum(each.stat().st_size for each in written)
    note(f"baseline {name}: {len(good)} chains of {good['task_id'].nunique()} tasks, {size / 1000:.0f} kB in {target}")
    for doubt in doubts(run.manifest):
        note(f"! {doubt}")
    return 0


def doubts(manifest: Manifest) -> Iterator[str]:
    """What speaks against a run as a baseline."""
    if manifest.status != "finished":
        yield f"the run was not ended properly (status {manifest.status})"
    if manifest.chains.failed:
        yield f"{manifest.chains.failed} of its chains failed and are in no time"
    yield from (f"its times may be inexact: {reason}" for reason in manifest.suspect)


@baseline.command("list")
@_folder_option
def list_(folder: Path) -> int:
    """Every baseline: what ran against what, when, chains and commit."""
    from profiler.report.text import plural, safe
    from profiler.store.baseline import is_baseline, load_baseline

    found = sorted(each for each in folder.iterdir() if is_baseline(each)) if folder.is_dir() else []
    if not found:
        click.echo(f"no baselines in {folder}: profiler baseline set NAME RUN", err=True)
    for each in found:
        try:
            manifest, tables = load_baseline(each)
        except DataError as error:
            click.echo(f"{each.name}  {safe(error.message)}")
            continue
        served = f"{manifest.engine.get('name')} {manifest.engine.get('model', '')}".strip()
        agent = manifest.agent.get("name", "agent")
        good = tables.chains[~tables.chains["warmup"] & ~tables.chains["failed"]]
        chains = f"{plural(len(good), 'chain')} of {plural(good['task_id'].nunique(), 'task')}"
        click.echo(safe(f"{each.name}  {agent} against {served}, {manifest.created}, {chains}{_commit(manifest)}", 200))
    return 0


def _commit(manifest: Manifest) -> str:
    git = manifest.git or {}
    commit = git.get("commit")
    return f", commit {str(commit)[:12]}{' with changes' if git.get('dirty') else ''}" if commit else ""


@baseline.command("show")
@click.argument("name", metavar="NAME", shell_complete=complete_name)
@_folder_option
def show(name: str, folder: Path) -> int:
    """The report of the baseline NAME."""
    from profiler.analysis.explain import explain
    from profiler.report.caveats import caveats
    from profiler.report.terminal import render
    from profiler.store.baseline import load_baseline

    path = folder / name
    if not path.is_dir():
        raise DataError(f"there is no baseline {path}", remedy="profiler baseline list shows those that there are")
    manifest, tables = load_baseline(path)
    explanation = explain(tables)
    said = caveats(explanation.summary, manifest, [])
    click.echo(render(explanation, manifest, said, source=str(path)), nl=False)
    return 0
