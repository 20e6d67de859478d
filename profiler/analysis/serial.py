"""Tools that ran one after another though the chain had asked for them together.

    step tools   |------------------------------|
    search         |---------|                        one row of the steps: one superstep of the graph
    sql                       |---------|             began when search had ended
    together       |---------|                        10 of 20 saved

Tools of one row that do not overlap are a group in series. What it could save is its time on the critical path minus
its longest member. A tool that needs another's result is asked for in a later step, so tools of one row do not depend
on each other, unless the node's code makes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.measured import Measured, numbers

_COLUMNS = ["chain", "position", "step", "tools", "saved_ns", "trace_id", "span_id"]


def serial_tools(measured: Measured) -> pd.DataFrame:
    """One row for each place in a chain at which tools ran in series.

    Columns: chain, position, step, tools (their names), saved_ns, trace_id, span_id (of the first).
    """
    order = ["chain", "position", "step", "start_ns"]
    tools = measured.tools.sort_values(order, kind="stable").reset_index(drop=True)
    place = tools.groupby(order[:3], sort=False).ngroup().to_numpy()
    several = np.bincount(place, minlength=1)[place] > 1 if len(place) else np.zeros(0, dtype=bool)
    tools, place = tools[several].reset_index(drop=True), place[several]
    if tools.empty:
        return pd.DataFrame({name: [] for name in _COLUMNS})
    start = numbers(tools["start_ns"])
    grouped = tools.assign(
        place=place,
        path=numbers(tools["path_ns"]),
        serial=_after_all_before(place, start, start + numbers(tools["duration_ns"])),
    ).groupby("place", sort=False)
    found = grouped.agg(
        chain=("chain", "first"),
        position=("position", "first"),
        step=("step", "first"),
        serial=("serial", "all"),
        waited=("path", "sum"),
        longest=("path", "max"),
        trace_id=("trace_id", "first"),
        span_id=("span_id", "first"),
    )
    found["saved_ns"] = found["waited"] - found["longest"]
    found = found[found["serial"] & (found["saved_ns"] > 0)]
    names = tools["tool"].groupby(place).agg(", ".join) if len(found) else found["step"]
    return found.assign(tools=names.loc[found.index])[_COLUMNS].reset_index(drop=True)


def _after_all_before(place: Any, start: Any, end: Any) -> Any:
    """Whether a tool began after all before it at its place had ended; the first of a place did."""
    first = np.concatenate([[True], place[1:] != place[:-1]])
    before = pd.Series(end).groupby(place).cummax().shift().to_numpy()
    return first | (start >= before)
