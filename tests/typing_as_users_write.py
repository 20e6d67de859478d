"""The Python API as its users write it: never run, judged by mypy with the package."""

from pathlib import Path

import pandas as pd

import profiler
from profiler import Run


def slowest(run: Run) -> pd.DataFrame:
    calls: pd.DataFrame = run.calls
    measured = calls[~calls["warmup"] & ~calls["chain_failed"]]
    return measured.nlargest(5, "call_e2e_ns")


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
