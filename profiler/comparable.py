"""Runs and baselines as they enter a comparison, for the command line and for Python: found, read, and refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.errors import DataError

if TYPE_CHECKING:
    from profiler.compare.comparison import Comparison, Recorded
    from profiler.compare.sameness import Difference
    from profiler.store.reader import LoadedRun

_SHOWN = 12
BY_OPTION = "--allow {}"


@dataclass(frozen=True)
class Loaded:
    """A run, or a baseline, of which there are no spans."""

    recorded: Recorded
    run: LoadedRun | None


def found_side(path: Path, folders: Sequence[Path] = (Path(),)) -> Path:
    """Where a run or a baseline is that is named relative to one of these folders; the path itself if nowhere.

    What is no run (a folder that happens to be called `main`) does not hide the baseline of that name.
    """
    from profiler.store.baseline import FOLDER, is_baseline
    from profiler.store.manifest import SPANS_FILE

    for folder in folders:
        there = folder / path
        if there.is_file() or (there / SPANS_FILE).exists() or is_baseline(there):
            return there
        if is_baseline(folder / FOLDER / path):
            return folder / FOLDER / path
    return folders[0] / path


def check_there(path: Path) -> None:
    """Nothing at all of that name: told before anything else that may be wrong.

    Raises:
        DataError: so it is.
    """
    if not found_side(path).exists():
        raise DataError(f"no run at {path}", remedy="give the folder that profiler run printed, or a baseline's name")


def load_side(path: Path, *, use_cache: bool = True, folders: Sequence[Path] = (Path(),)) -> Loaded:
    """A run's folder, a file of spans, or a baseline: its folder, or its name below `traces/baselines`.

    Args:
        path: absolute, or relative to one of the folders.
        use_cache: keep tables beside the spans of a large run.
        folders: the first that has it counts.

    Raises:
        DataError: there is none, or it cannot be read, or has no finished chain.
    """
    from profiler.compare.comparison import Recorded
    from profiler.store.baseline import is_baseline, load_baseline
    from profiler.store.reader import load_run

    path = found_side(path, folders)
    if is_baseline(path):
        manifest, tables = load_baseline(path)
        return Loaded(Recorded(str(path), tables, manifest), None)
    run = load_run(path, use_cache=use_cache)
    if run.tables.chains.empty:
        raise DataError(f"{path} has no finished chain", remedy="; ".join(run.notes) or "measure it again")
    return Loaded(Recorded(str(run.path), run.tables, run.manifest), run)


def check_comparable(
    base: Recorded, candidate: Recorded, allow: frozenset[str], *, permission: str = BY_OPTION
) -> None:
    """Raises what keeps two runs from being compared.

    Args:
        base: what is compared with.
        candidate: the other one.
        allow: kinds of differences (`profiler.compare.sameness.KINDS`) that are let through.
        permission: how the user lets them through, with `{}` for the kinds: part of the remedy.

    Raises:
        DataError: they are one run, or differ in what is not allowed.
    """
    from profiler.compare.comparison import same_chains
    from profiler.compare.sameness import differences, refused

    if (number := same_chains(base.tables, candidate.tables)) > 0:
        raise DataError(
            f"{base.name} and {candidate.name} have {number} chains in common: they are the same run, or parts of it",
            remedy="measure the candidate anew: a run compared with itself shows nothing",
        )
    found = differences(base.manifest, candidate.manifest, (base.tasks, candidate.tasks))
    if against := refused(found, allow):
        raise incomparable(base.name, candidate.name, against, permission)


def compare_sides(
    base: Recorded, candidate: Recorded, allow: frozenset[str], *, permission: str = BY_OPTION
) -> Comparison:
    """Compare two runs; the arguments are those of `check_comparable`.

    Raises:
        DataError: they must not be compared, or share no task with a chain that ended well.
    """
    from profiler.compare.comparison import compare as compare_recorded

    check_comparable(base, candidate, allow, permission=permission)
    comparison = compare_recorded(base, candidate)
    if not comparison.tasks:
        raise nothing_shared(comparison)
    return comparison


def nothing_shared(comparison: Comparison) -> DataError:
    """The error of runs without a pair of chains."""
    return DataError(
        f"there is no task of which both {comparison.base} and {comparison.candidate} have a chain that ended well",
        remedy="\n".join(_why_none(comparison)) or "measure both with the same tasks",
    )


def incomparable(base: str, candidate: str, against: Sequence[Difference], permission: str = BY_OPTION) -> DataError:
    """The error that names every difference and what would let it through."""
    from profiler.report.comparison_words import difference_words

    found = list(against)
    kinds = ",".join(dict.fromkeys(each.kind for each in found))
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return DataError(
        f"{candidate} cannot be compared with {base}: they differ in more than what was changed",
        details="\n".join([*(difference_words(each) for each in found[:_SHOWN]), *more]),
        remedy=f"measure both alike, or say that this is meant: {permission.format(kinds)}",
    )


def _why_none(comparison: Comparison) -> list[str]:
    return [
        f"{side.failed} of {side.chains} chains of the {name} failed"
        for name, side in zip(("base", "candidate"), comparison.failures, strict=True)
        if side.failed
    ]
