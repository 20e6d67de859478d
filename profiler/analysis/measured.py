"""The chains that count: finished, not failed, no warm-up; and what happened in them, with their number as an integer.

Chains are told apart by 32 letters, and a run may have a hundred thousand rows: with a number for each chain, sums per
chain are one pass over an array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from profiler.analysis.tables import Tables

Array = Any  # numpy array of floats

_GAPS_TEXTS = ("after", "before", "owner", "cause")


def numbers(column: pd.Series[Any]) -> Array:
    """A column as floats, NaN where it is missing."""
    return column.to_numpy(dtype=float, na_value=np.nan)


@dataclass(frozen=True)
class Measured:
    """Tables of the chains that count. Every table but `chains` has a column `chain`: the row of its chain there."""

    chains: pd.DataFrame
    calls: pd.DataFrame  # with failed attempts
    steps: pd.DataFrame
    tools: pd.DataFrame
    gaps: pd.DataFrame

    @classmethod
    def of(cls, tables: Tables) -> Measured:
        """Select them."""
        everything = tables.chains
        chains = everything[~everything["warmup"] & ~everything["failed"]].reset_index(drop=True)
        places = pa.array(chains["trace_id"], pa.string())

        def of_these(table: pd.DataFrame) -> pd.DataFrame:
            chain = pc.index_in(pa.array(table["trace_id"], pa.string()), places).fill_null(-1).to_numpy()
            ids = pd.Categorical.from_codes(chain, categories=pd.Index(chains["trace_id"]))
            found: pd.DataFrame = table.assign(chain=chain, trace_id=ids)[chain >= 0]
            return found.reset_index(drop=True)

        # Gaps are the most rows by far, and few different texts.
        gaps = tables.gaps.astype(dict.fromkeys(_GAPS_TEXTS, "category"))
        return cls(chains, *(of_these(table) for table in (tables.calls, tables.steps, tables.tools, gaps)))

    @property
    def answered(self) -> pd.DataFrame:
        """Calls that ended well."""
        return self.calls[~self.calls["failed"]]

    @property
    def e2e_ns(self) -> Array:
        """End to end of each chain."""
        return numbers(self.chains["e2e_ns"])

    def per_chain(self, table: pd.DataFrame, values: Array) -> Array:
        """Sums of a value of the table's rows, for each chain; what is NaN counts nothing."""
        return np.bincount(table["chain"], weights=np.nan_to_num(np.asarray(values, float)), minlength=len(self.chains))
