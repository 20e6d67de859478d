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

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.measured import numbers

Array = Any  # numpy array


@dataclass(frozen=True, eq=False)
class Clusters:
    """What runs side by side, of calls or of tools."""

    number: Array  # of each row, its cluster
    lasted: Array  # how long each took, nanoseconds
    end: Array  # nanoseconds after the first of its chain began
    drag: Array

    @classmethod
    def of(cls, rows: pd.DataFrame, duration: str) -> Clusters:
        """Of a table with columns `chain`, `start_ns`, `drag_ns` and the named one, in nanoseconds."""
        chain, start_ns = rows["chain"].to_numpy(), rows["start_ns"].to_numpy(dtype=np.int64)
        order = np.lexsort((start_ns, chain))
        chains = chain[order]
        first = np.ones(len(rows), dtype=bool)
        first[1:] = chains[1:] != chains[:-1]
        since = start_ns[order] - start_ns[order][first][np.cumsum(first) - 1]
        start = np.empty(len(rows))
        start[order] = since  # in whole nanoseconds until here: floats cannot tell two moments since 1970
        lasted = numbers(rows[duration])
        end = start + lasted
        latest = pd.Series(end[order]).groupby(chains).cummax().to_numpy()
        begins = first.copy()
        begins[1:] |= start[order][1:] >= latest[:-1]
        number = np.empty(len(rows), dtype=np.int64)
        number[order] = np.cumsum(begins) - 1
        return cls(number, lasted, end, numbers(rows["drag_ns"]))

    def gain(self, less: Array, waited: Array) -> Array:
        """What each cluster gains, put down to its members by how much was waited for.

        Args:
            less: how much less each would take, nanoseconds.
            waited: how much of what it can lose the chain waited for; 0 off the critical path.
        """
        if not len(self.number):
            return np.zeros(0)
        less = np.minimum(np.nan_to_num(less).clip(min=0), self.lasted)
        could = np.minimum(less, waited)
        alone, left = np.minimum(could, self.drag), self.end - less
        apart = int(self.number.max()) + 1 == len(self.number)  # nothing runs beside anything
        if apart:
            sums, gain = could, np.minimum(np.maximum(alone, self.end - left), could)
        else:
            table = pd.DataFrame({"end": self.end, "left": left, "alone": alone, "could": could}).groupby(self.number)
            together = numbers(table["end"].max() - table["left"].max())
            sums = numbers(table["could"].sum())
            gain = np.minimum(np.maximum(numbers(table["alone"].sum()), together), sums)[self.number]
            sums = sums[self.number]
        share = np.divide(could, sums, out=np.zeros(len(could)), where=sums > 0)
        return share * gain
