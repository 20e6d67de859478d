"""Profile the latency of agent chains: record, explain, compare."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from profiler.api import Run
    from profiler.compared import Comparison

__version__ = "0.1.0"
__all__ = ["Comparison", "Run", "__version__", "compare", "load"]

# Python binds a package to its name in the one above when it is first imported: now, not over the function below.
importlib.import_module("profiler.compare")


def load(path: str | os.PathLike[str], *, cache: bool = True) -> Run:
    """Read a recorded run.

    Args:
        path: a run's folder, or a file of OTLP JSON lines from elsewhere.
        cache: whether tables that an earlier reading left beside the spans may be used, and be left for a later one.

    Raises:
        profiler.errors.DataError: there is no run, or it cannot be read.
    """
    from profiler.api import Run

    return Run(path, cache=cache)


def compare(
    base: Run | str | os.PathLike[str],
    candidate: Run | str | os.PathLike[str],
    *,
    allow: Iterable[str] = (),
    cache: bool = True,
) -> Comparison:
    """Compare two recorded runs, paired by task: how much slower one is, how sure that is, and where it comes from.

    Args:
        base: what `load` returns or takes, or a baseline: its folder, or its name below `traces/baselines`.
        candidate: likewise.
        allow: kinds of differences to compare in spite of, as `--allow` of `profiler compare` (docs/compare.md).
        cache: as of `load`.

    Raises:
        profiler.errors.DataError: there is no such run or it cannot be read; they are the same run; they differ in
            what is not allowed, each difference named; no task has a chain that ended well in both.
        ValueError: `allow` has something that is no kind of differences.
    """
    from profiler.compared import compare as compare_runs

    return compare_runs(base, candidate, allow=allow, cache=cache)


def __getattr__(name: str) -> Any:  # these take pandas, which the command line does without until it needs it
    if name == "Run":
        from profiler.api import Run

        return Run
    if name == "Comparison":
        from profiler.compared import Comparison

        return Comparison
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
