"""The chains that count: finished, not failed, no warm-up; and what happened in them, with their number as an integer.

Chains are told apart by 32 letters, and a run may have a million rows: with a number for each chain, and for each name,
sums and medians by chain or by row of the steps are one pass over an array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from profiler.analysis.tables import Tables

Array = Any  # numpy array of floats

# Columns whose texts become categories. Those of one group are of one set: their codes can be compared.
_CODED: Sequence[Mapping[str, Sequence[str]]] = (
    {"calls": ("step", "place"), "steps": ("node",), "tools": ("step", "tool")},
    {"steps": ("kind",)},
    {"gaps": ("owner",)},
    {"gaps": ("cause",)},
)
_LEFT_OUT: Mapping[str, Sequence[str]] = {"gaps": ("after", "before")}  # the most rows by far, of which few are told


def numbers(column: pd.Series[Any]) -> Array:
    """A column as floats, NaN where it is missing."""
    return column.to_numpy(dtype=float, na_value=np.nan)


@dataclass(frozen=True)
class Measured:
    """Tables of the chains that count. Every table but `chains` has a column `chain`: the row of its chain there.

    Names of steps, places and tools are categories of one set, in the order of the names; kinds, owners and causes too.
    Of gaps, `row` is the row in `all_gaps`, which has the texts of all of them.
    """

    chains: pd.DataFrame
    calls: pd.DataFrame  # with failed attempts
    steps: pd.DataFrame
    tools: pd.DataFrame
    gaps: pd.DataFrame
    all_gaps: pd.DataFrame

    @classmethod
    def of(cls, tables: Tables) -> Measured:
        """Select them."""
        everything = tables.chains
        chains = everything[~everything["warmup"] & ~everything["failed"]].reset_index(drop=True)
        ids = pd.CategoricalDtype(pd.Index(chains["trace_id"]))
        coded = _categories({name: getattr(tables, name) for name in ("calls", "steps", "tools", "gaps")})
        return cls(chains, **{name: _of_these(table, ids) for name, table in coded.items()}, all_gaps=tables.gaps)

    @cached_property
    def answered(self) -> pd.DataFrame:
        """Calls that ended well."""
        failed = self.calls["failed"].to_numpy(dtype=bool)
        return self.calls[~failed] if failed.any() else self.calls

    @cached_property
    def e2e_ns(self) -> Array:
        """End to end of each chain."""
        return numbers(self.chains["e2e_ns"])

    def places(self, table: pd.DataFrame, name: str) -> Array:
        """A number for each row's position and name of the step, the same in all tables, in their order."""
        return table["position"].to_numpy() * max(len(table[name].cat.categories), 1) + table[name].cat.codes.to_numpy()

    def per_chain(self, table: pd.DataFrame, values: Array) -> Array:
        """Sums of a value of the table's rows, for each chain; what is NaN counts nothing."""
        weights = np.nan_to_num(np.asarray(values, float))
        return np.bincount(table["chain"].to_numpy(), weights=weights, minlength=len(self.chains))


def _of_these(table: pd.DataFrame, ids: pd.CategoricalDtype) -> pd.DataFrame:
    """The rows of these chains, with their number."""
    chain = _index_in(_texts(table["trace_id"]), _texts(ids.categories))
    table = table.drop(columns="trace_id").assign(chain=chain, row=np.arange(len(table)))
    if (chain < 0).any():
        table = table[chain >= 0].reset_index(drop=True)
    return table.assign(trace_id=pd.Categorical.from_codes(table["chain"], dtype=ids, validate=False))


def _texts(column: Any) -> pa.Array:
    found = pa.array(column)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _index_in(ids: pa.Array, known: pa.Array) -> Any:
    """Each id's number, or -1. Rows of one chain follow each other, as a rule: it is looked up once for all of them."""
    if not len(ids) or not len(known):
        return np.full(len(ids), -1)
    runs = pc.run_end_encode(ids)
    number = pc.index_in(runs.values, known).fill_null(-1).to_numpy(zero_copy_only=False)
    return np.repeat(number.astype(np.int64), np.diff(runs.run_ends.to_numpy(), prepend=0))


def _categories(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables with categories in place of texts, in the order of the texts."""
    found = {name: table.drop(columns=[*_LEFT_OUT.get(name, ())]) for name, table in tables.items()}
    for group in _CODED:
        parts = {
            (name, column): _texts(tables[name][column]).dictionary_encode()
            for name, columns in group.items()
            for column in columns
        }
        texts = sorted({text for part in parts.values() for text in part.dictionary.to_pylist()})
        number = {text: at for at, text in enumerate(texts)}
        dtype = pd.CategoricalDtype(pd.Index(texts, dtype="str"))
        for (name, column), part in parts.items():
            codes = np.array([*(number[text] for text in part.dictionary.to_pylist()), -1])  # the last: missing
            picked = codes[part.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)]
            found[name] = found[name].assign(**{column: pd.Categorical.from_codes(picked, dtype=dtype, validate=False)})
    return found
