"""What the tests of the reports share: the small run of the analysis tests, and a manifest."""

import functools
import sys
from pathlib import Path

ANALYSIS = Path(__file__).parents[1] / "analysis"
if str(ANALYSIS) not in sys.path:
    sys.path.insert(0, str(ANALYSIS))

import runs  # noqa: E402
from runs import chain  # noqa: E402

from profiler.analysis.summary import summarise  # noqa: E402
from profiler.analysis.tables import build_tables  # noqa: E402
from profiler.report.caveats import caveats  # noqa: E402
from profiler.report.structured import render_json  # noqa: E402
from profiler.report.terminal import render  # noqa: E402
from profiler.store.manifest import Manifest  # noqa: E402

__all__ = ["chain", "manifest", "report_json", "report_text", "small_run", "summary_of"]


_SMALL = tuple(runs.small_run())


def manifest(**changes):
    facts = {
        "status": "finished",
        "created": "2026-01-01T00:00:00Z",
        "profiler": "0.1.0",
        "python": "3.11",
        "agent": {"name": "react"},
        "engine": {"name": "vllm", "version": "0.25", "device": "cpu", "model": "tiny"},
        "tasks": {},
        "flags": {"concurrency": 1},
        "host": {},
    }
    return Manifest.model_validate({**facts, **changes})


def summary_of(traces):
    return _small_summary() if traces is _SMALL else summarise(build_tables(traces))


def small_run():
    """The run that most tests report on: the same object each time, so that its summary is worked out once."""
    return _SMALL


@functools.cache
def _small_summary():
    return summarise(build_tables(_SMALL))


def report_text(traces, run=None, *, notes=(), source="traces/run", width=110, color=False):
    summary = summary_of(traces)
    return render(summary, run, caveats(summary, run, list(notes)), source=source, width=width, color=color)


def report_json(traces, run=None, *, notes=()):
    tables = build_tables(traces)
    summary = summarise(tables)
    return render_json(summary, tables, run, caveats(summary, run, list(notes)))
