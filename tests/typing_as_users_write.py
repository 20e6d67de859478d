"""The Python API as its users write it: never run, judged by mypy with the package."""

from pathlib import Path

import pandas as pd

import profiler
from profiler import Comparison, Run


def slowest(run: Run) -> pd.DataFrame:
    calls: pd.DataFrame = run.calls
    measured = calls[~calls["warmup"] & ~calls["chain_failed"]]
    return measured.nlargest(5, "call_e2e_ns")


def slower_by(found: Comparison, margin: float = 0.05) -> bool:
    low: float | None = found.low
    return low is not None and low > 1 + margin


def compare(base: Run, folder: Path) -> None:
    found = profiler.compare(base, folder)
    for other in (
        profiler.compare("main", folder, allow=["flags"]),
        profiler.compare("main", base, allow="engine,flags"),
    ):
        print(other.headline, other.sources or "", other.ratio, other.high, other.smallest_effect, other.interleaved)
    for table in (found.figures, found.phases, found.steps, found.tasks, found.blame, found.changes, found.off_script):
        print(table.columns)
    worst: pd.DataFrame = found.tasks.head(3)
    certain = found.blame[found.blame["certain"]]
    print(slower_by(found), worst, *certain["words"], *found.remarks, *found.change_lines, found.differences)
    print(found.render("markdown"), found.render("json"), found.render(width=140, everything=True))


def main(folder: Path) -> None:
    run = profiler.load(folder)
    print(slowest(profiler.load("traces/run", cache=False)))
    for table in (run.chains, run.calls, run.steps, run.tools, run.gaps, run.repairs):
        print(table.groupby("trace_id").size())
    if run.manifest is not None:
        print(run.manifest.agent["name"], run.manifest.chains.finished)
    for finding in run.findings:
        gain: float | None = finding.gain_ns
        print(finding.title, gain, finding.evidence[0].trace_id if finding.evidence else "")
    print(run.explanation.summary.chains, *run.notes)
    trace = run.trace(str(run.chains["trace_id"].iloc[0]))
    print(trace.root.duration_ns, [span.name for span in trace.spans], str(run.path.name))
