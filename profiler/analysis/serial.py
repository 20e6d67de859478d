"""Tools that ran one after another though the chain had asked for them together.

    step tools   |------------------------------|
    search         |---------|                        one row of the steps: one superstep of the graph
    sql                       |---------|             began when search had ended
    together       |---------|                        10 of 20 saved

Tools of one row that do not overlap are a group in series. What it could save is its time on the critical path minus
its longest member. A tool that needs another's result is asked for in a later step, so tools of one row do not depend
on each other, unless the node's code makes them: where a model call begins between one and the next (a subgraph, an
agent inside of a node) the model asked for them one by one, and that is no group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.groups import Groups
from profiler.analysis.measured import Measured, numbers

_COLUMNS = ["chain", "position", "step", "tools", "saved_ns", "trace_id", "span_id"]


def serial_tools(measured: Measured) -> pd.DataFrame:
    """One row for each place in a chain at which tools ran in series.

    Columns: chain, position, step, tools (their names), saved_ns, trace_id, span_id (of the first).
    """
    tools = measured.tools
    places = Groups.of(tools["chain"], tools["position"], tools["step"])
    order = np.lexsort((tools["start_ns"].to_numpy(), places.number))
    order = order[(places.sizes > 1)[places.number[order]]] if len(places) else order
    if not len(order):
        return pd.DataFrame({name: [] for name in _COLUMNS})
    tools, place = tools.iloc[order].reset_index(drop=True), places.number[order]
    start = tools["start_ns"].to_numpy(dtype=np.int64)
    before, first = _end_before(place, start + tools["duration_ns"].to_numpy(dtype=np.int64))
    asked = _calls_between(measured.calls, tools["chain"].to_numpy(), before, start)
    grouped = tools.assign(
        place=place,
        path=numbers(tools["path_ns"]),
        serial=first | ((start >= before) & ~asked),
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


def _end_before(place: Any, end: Any) -> tuple[Any, Any]:
    """When all before a tool at its place had ended; and whether it is the first there, and there is no such time."""
    first = np.concatenate([[True], place[1:] != place[:-1]])
    latest = pd.Series(end).groupby(place).cummax().to_numpy()
    return np.concatenate([end[:1], latest[:-1]]), first


def _calls_between(calls: pd.DataFrame, chain: Any, after: Any, before: Any) -> Any:
    """Whether any call of the chain began between two moments, which may be the moments themselves."""
    number = len(chain)
    moments = np.concatenate([after, calls["start_ns"].to_numpy(dtype=np.int64), before])
    kind = np.repeat([0, 1, 2], [number, len(calls), number])
    order = np.lexsort((kind, moments, np.concatenate([chain, calls["chain"].to_numpy(), chain])))
    begun = np.empty(len(moments), dtype=np.int64)
    begun[order] = np.cumsum(kind[order] == 1)
    return begun[-number:] > begun[:number]
