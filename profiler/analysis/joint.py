"""How much sooner things that may run side by side are over together, if each of them takes less time.

    search      |-------------|        x: 10 less      Only one of the twins is on the critical path, and its drag
    search      |--------------|       x: 10 less      is 1: without it the other is waited for. If both of them get
    sql         |------|                               faster, 8 are gained: what is left is as long as sql.
    after       |------|

What runs side by side is a cluster: each begins before all that began earlier have ended. A cluster's gain is what its
last end comes earlier, if all its members begin when they did; or, where they depend on each other, the sum of what
each would gain alone, which is at most its drag. Never is it more than the time that the chain waited for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.measured import numbers


def clusters_of(rows: pd.DataFrame, start: Any, end: Any) -> Any:
    """A number for each row (with columns `chain` and those times): equal for what runs side by side in one chain."""
    order = np.lexsort((start, rows["chain"]))
    chain = rows["chain"].to_numpy()[order]
    latest = pd.Series(end[order]).groupby(chain).cummax().to_numpy()
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = (chain[1:] != chain[:-1]) | (start[order][1:] >= latest[:-1])
    found = np.empty(len(rows), dtype=np.int64)
    found[order] = np.cumsum(begins) - 1
    return found


def joint_gain(rows: pd.DataFrame, lasted: Any, less: Any, waited: Any) -> tuple[Any, Any]:
    """What each cluster gains.

    Args:
        rows: with columns `chain`, `start_ns` and `drag_ns`.
        lasted: how long each took, nanoseconds.
        less: how much less it would take.
        waited: how much of what it can lose the chain waited for; 0 off the critical path.

    Returns:
        For each row, what its cluster gains, put down to its members by how much was waited for; and the cluster.
    """
    if rows.empty:
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    chain = rows["chain"].to_numpy()
    first = rows["start_ns"].groupby(chain).transform("min")
    start = numbers(rows["start_ns"] - first)  # in whole nanoseconds: floats cannot tell two moments since 1970
    end = start + lasted
    cluster = clusters_of(rows, start, end)
    less = np.minimum(np.nan_to_num(less).clip(min=0), lasted)
    alone = np.minimum(np.minimum(less, waited), numbers(rows["drag_ns"]))
    could = np.minimum(less, waited)
    table = pd.DataFrame({"end": end, "left": end - less, "alone": alone, "could": could}).groupby(cluster)
    together = numbers(table["end"].max() - table["left"].max())
    sums = numbers(table["could"].sum())
    gain = np.minimum(np.maximum(numbers(table["alone"].sum()), together), sums)
    share = np.divide(could, sums[cluster], out=np.zeros(len(could)), where=sums[cluster] > 0)
    return share * gain[cluster], cluster
