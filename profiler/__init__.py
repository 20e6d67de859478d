"""Profile the latency of agent chains: record, explain, compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from profiler.api import Run

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "load"]


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


def __getattr__(name: str) -> Any:  # `Run` takes pandas, which the command line does without until it needs it
    if name == "Run":
        from profiler.api import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
