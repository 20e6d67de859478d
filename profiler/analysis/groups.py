"""Sums and medians by group, where a table has a hundred thousand rows and its groups are asked for again and again.

pandas groups by several columns at a time by hashing each of them anew. Here the columns are put together into one
number for each row, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

Array = Any  # numpy array


@dataclass(frozen=True, eq=False)
class Groups:
    """Rows of a table that have equal keys, the groups numbered in the order of the keys."""

    number: Array  # of each row, its group
    first: Array  # of each group, its first row

    @classmethod
    def of(cls, *keys: Any) -> Groups:
        """Group by columns of whole numbers that are not negative, or of categories, in their order."""
        together: Array = np.zeros(len(keys[0]), dtype=np.int64)
        for key in keys:
            codes = _codes(key)
            together = together * (int(codes.max(initial=0)) + 1) + codes
        found, values = pd.factorize(together)
        order = np.argsort(values)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        number = rank[found]
        first = np.empty(len(order), dtype=np.int64)
        first[number[::-1]] = np.arange(len(number))[::-1]
        return cls(number, first)

    def __len__(self) -> int:
        """How many groups there are."""
        return len(self.first)

    @property
    def sizes(self) -> Array:
        """How many rows each has."""
        return np.bincount(self.number, minlength=len(self))

    def keys(self, *columns: Any) -> tuple[Any, ...]:
        """What columns have in the first row of each group."""
        return tuple(column.iloc[self.first] for column in columns)

    def rows(self, group: int) -> Array:
        """The rows of one group."""
        order, begins = self._in_order
        return order[begins[group] : begins[group + 1]]

    @cached_property
    def _in_order(self) -> tuple[Array, Array]:
        return np.argsort(self.number, kind="stable"), np.append(0, np.cumsum(self.sizes))

    def sums(self, values: Any) -> Array:
        """Of each group; what is NaN counts nothing."""
        return np.bincount(self.number, weights=np.nan_to_num(np.asarray(values, float)), minlength=len(self))

    def means(self, values: Any) -> Array:
        """Of what is known in each group; NaN where nothing is."""
        values = np.asarray(values, float)
        known = np.bincount(self.number, weights=np.isfinite(values), minlength=len(self))
        return np.divide(self.sums(values), known, out=np.full(len(self), np.nan), where=known > 0)

    def medians(self, values: Any) -> Array:
        """Of what is known in each group; NaN where nothing is."""
        return pd.Series(np.asarray(values, float)).groupby(self.number).median().to_numpy()

    def spread_medians(self, values: Any) -> Array:
        """Of each row, the median of its group."""
        return self.medians(values)[self.number]

    def distinct(self, key: Any) -> Array:
        """How many different values of another column each has."""
        codes = _codes(key)
        pairs = pd.unique(self.number * (int(codes.max(initial=0)) + 1) + codes)
        return np.bincount(pairs // (int(codes.max(initial=0)) + 1), minlength=len(self))


def _codes(key: Any) -> Array:
    """A column as whole numbers."""
    if isinstance(key, pd.Series) and isinstance(key.dtype, pd.CategoricalDtype):
        key = key.cat.codes
    return np.asarray(key, dtype=np.int64)
