"""Reading a history of runs: whatever of it cannot be read is told, and is no reason to show nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.errors import DataError

if TYPE_CHECKING:
    from profiler.analysis.tables import Tables
    from profiler.store.manifest import Manifest
    from profiler.trend.history import Run

DEFAULT = Path("traces")
_BASELINES = "baselines"


@dataclass
class History:
    """Runs, and what was left out for which reason."""

    runs: list[Run] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def read_history(paths: Sequence[Path], *, wanted: Callable[[Manifest], bool], use_cache: bool = True) -> History:
    """Read the runs and baselines that are at these paths, or right below them.

    Args:
        paths: runs, baselines (folders or names), or folders of these.
        wanted: says by a manifest whether its run is; spans of others are not read.
        use_cache: keep tables beside the spans of large runs.

    Raises:
        DataError: there is nothing at one of the paths.
    """
    found = History()
    for path in dict.fromkeys(place for named in paths for place in places(named)):
        try:
            run = _read(path, wanted, use_cache=use_cache)
        except DataError as error:
            found.left_out.append((str(path), error.message))
            continue
        except OSError as error:
            found.left_out.append((str(path), f"cannot be read: {error.strerror or error}"))
            continue
        if isinstance(run, str):
            found.left_out.append((str(path), run))
        elif run is not None:
            found.runs.append(run)
    _drop_copies(found)
    return found


def places(path: Path) -> list[Path]:
    """The runs that a path names: itself, or those in the folder and in its `baselines`.

    Raises:
        DataError: there is nothing there, or nothing that is a run.
    """
    from profiler.comparable import found_side

    there = found_side(path)
    if not there.exists():
        raise DataError(f"no run at {path}", remedy="give runs, a folder of runs, or a baseline's name")
    if there.is_file() or _is_run(there):
        return [there]
    try:
        below = [each for folder in (there, there / _BASELINES) if folder.is_dir() for each in sorted(folder.iterdir())]
    except OSError as error:
        raise DataError(f"cannot look into {there}: {error.strerror}") from error
    return [each for each in below if _is_run(each)]


def _is_run(path: Path) -> bool:
    from profiler.store.baseline import is_baseline
    from profiler.store.manifest import SPANS_FILE

    return (path / SPANS_FILE).exists() or is_baseline(path)


def _read(path: Path, wanted: Callable[[Manifest], bool], *, use_cache: bool) -> Run | str | None:
    """A run; why it is left out; or None if nobody asked for it."""
    from profiler.store.baseline import is_baseline, load_baseline
    from profiler.store.locate import locate, read_manifest
    from profiler.store.manifest import MANIFEST_FILE
    from profiler.store.reader import load_run

    kept = is_baseline(path)
    manifest = read_manifest(path / MANIFEST_FILE) if kept else locate(path)[0]
    if manifest is None:
        return f"no {MANIFEST_FILE}: nothing says when, of what and where it was measured"
    if not wanted(manifest):
        return None
    if manifest.status != "finished":
        return f"it did not end properly (status {manifest.status})"
    if (time := time_of(manifest)) is None:
        return f"its {MANIFEST_FILE} does not say when it began: {manifest.created[:40]!r}"
    tables = load_baseline(path)[1] if kept else load_run(path, use_cache=use_cache).tables
    return _run(path, time, manifest, tables)


def _run(path: Path, time: float, manifest: Manifest, tables: Tables) -> Run | str:
    from profiler.trend.figures import values_of
    from profiler.trend.history import Run

    counted = tables.chains[~tables.chains["warmup"]]
    failed = int(counted["failed"].sum())
    if failed == len(counted):
        return "it has no chain that ended well"
    return Run(
        str(path),
        time,
        _from_here(manifest),
        values_of(tables),
        len(counted) - failed,
        failed,
        frozenset(counted["trace_id"].astype(str)),
    )


def _from_here(manifest: Manifest) -> Manifest:
    """With the agent's path as it is from here, if it is below: commands that are shown can be copied elsewhere."""
    path = Path(manifest.agent.get("path") or "")
    if not path.is_absolute() or not path.is_relative_to(Path.cwd()):
        return manifest
    return manifest.model_copy(update={"agent": {**manifest.agent, "path": str(path.relative_to(Path.cwd()))}})


def time_of(manifest: Manifest) -> float | None:
    """When a run began, in seconds since the epoch; None if it does not say so."""
    try:
        return when(manifest.created)
    except (ValueError, OverflowError):
        return None


def when(text: str) -> float:
    """An ISO date and time, UTC unless it says otherwise, in seconds since the epoch.

    Raises:
        ValueError, OverflowError: it is none.
    """
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _drop_copies(history: History) -> None:
    """A baseline is a copy of a run: whatever has chains that were there before is left out."""
    seen: dict[str, str] = {}
    kept = []
    for run in history.runs:
        first = next((seen[each] for each in run.trace_ids if each in seen), None)
        if first is not None:
            history.left_out.append((run.name, f"the same chains as {first}"))
            continue
        seen.update(dict.fromkeys(run.trace_ids, run.name))
        kept.append(run)
    history.runs[:] = kept


def reasons(left_out: Iterable[tuple[str, str]]) -> Iterator[str]:
    """What was left out, those of one reason together."""
    grouped: dict[str, list[str]] = {}
    for name, reason in left_out:
        grouped.setdefault(reason.replace(f"{name}/", "").replace(name, "it"), []).append(name)
    for reason, names in grouped.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004
        yield f"left out: {', '.join(names[:3])}{more}: {reason}"
