"""What the tests of the reports share: the small run of the analysis tests, and a manifest."""

import dataclasses
import functools
import sys
from pathlib import Path

ANALYSIS = Path(__file__).parents[1] / "analysis"
if str(ANALYSIS) not in sys.path:
    sys.path.insert(0, str(ANALYSIS))

import runs  # noqa: E402
from runs import chain  # noqa: E402

from profiler.analysis.explain import explain  # noqa: E402
from profiler.analysis.finding import Evidence, Finding  # noqa: E402
from profiler.analysis.tables import build_tables  # noqa: E402
from profiler.report.caveats import caveats  # noqa: E402
from profiler.report.distributions import facts_of  # noqa: E402
from profiler.report.html import render_html  # noqa: E402
from profiler.report.markdown import render_markdown  # noqa: E402
from profiler.report.picture import Packer, picture  # noqa: E402
from profiler.report.structured import render_json  # noqa: E402
from profiler.report.terminal import render  # noqa: E402
from profiler.store.manifest import Manifest  # noqa: E402

__all__ = [
    "chain",
    "explained",
    "explanation_of",
    "finding",
    "manifest",
    "report_json",
    "report_markdown",
    "report_page",
    "report_text",
    "small_run",
    "summary_of",
]


_SMALL = tuple(runs.small_run())
_KNOWN = {}


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


def explanation_of(traces):
    """Worked out once for each content: most tests report on a few traces in many ways."""
    if traces is _SMALL:
        return _small_explanation()
    content = repr(traces)
    if content not in _KNOWN:
        _KNOWN[content] = explain(build_tables(traces))
    return _KNOWN[content]


def summary_of(traces):
    return explanation_of(traces).summary


def small_run():
    """The run that most tests report on: the same object each time, so that its summary is worked out once."""
    return _SMALL


@functools.cache
def _small_explanation():
    return explain(build_tables(_SMALL))


def finding(number=1, **changes):
    """A finding as the analysis makes them."""
    facts = {
        "kind": "slow-tool",
        "title": f"The chain waits {number}00 ms for tool search.",
        "detail": "Its drag: how much sooner the chain would end if it took no time.",
        "gain_ns": 90e6,
        "share": 0.1,
        "condition": "nothing else takes its place",
        "remedy": "Make it faster.",
        "where": "step 2 (tools)",
        "phase": "tool",
        "evidence": (Evidence("aa", "t1", "45.0 ms"), Evidence("not drawn", None, "")),
    }
    return Finding(**{**facts, **changes})


def explained(findings=(), **changes):
    """The small run's explanation with findings of our own: how the analysis words them is its own tests' matter."""
    plain = {"findings": tuple(findings), "on_path": (), "repairs": (), **changes}
    return dataclasses.replace(_small_explanation(), **plain)


def remarks_of(explanation, run, notes=()):
    return caveats(explanation.summary, run, list(notes))


def report_text(traces, run=None, *, notes=(), source="traces/run", width=110, color=False, everything=False):
    told = explanation_of(traces)
    look = {"width": width, "color": color, "everything": everything}
    return render(told, run, remarks_of(told, run, notes), source=source, **look)


def report_json(traces, run=None, *, notes=()):
    tables = build_tables(traces)
    told = explain(tables)
    return render_json(told, tables, run, remarks_of(told, run, notes))


def report_markdown(traces, run=None, *, notes=(), source="traces/run", everything=False):
    told = explanation_of(traces)
    return render_markdown(told, run, remarks_of(told, run, notes), source=source, everything=everything)


def report_page(traces, run=None, *, notes=(), source="traces/run"):
    """The HTML report with a picture of every chain."""
    tables = build_tables(traces)
    told = explain(tables)
    packer, facts = Packer(), facts_of(tables.calls, tables.tools)
    drawn = {trace.trace_id: packer.pack(picture(trace, facts)) for trace in traces}
    pictures = (drawn, packer.names)
    return render_html(told, tables, run, remarks_of(told, run, notes), source=source, pictures=pictures)
