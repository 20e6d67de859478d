"""Groups: the same as pandas makes of the same columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.analysis.groups import Groups

ROWS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from("cab"),
        st.one_of(st.none(), st.integers(-9, 9).map(float)),
        st.integers(0, 3),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_they_are_those_of_pandas(rows):
    table = pd.DataFrame(rows, columns=["position", "name", "value", "chain"]).astype({"value": float})
    table["name"] = pd.Categorical(table["name"], categories=["a", "b", "c"])
    made = Groups.of(table["position"], table["name"])
    theirs = table.groupby(["position", "name"], sort=True, observed=True)
    assert len(made) == theirs.ngroups
    assert made.number.tolist() == theirs.ngroup().tolist()
    assert made.sizes.tolist() == theirs.size().tolist()
    np.testing.assert_array_equal(made.sums(table["value"]), theirs["value"].sum())
    np.testing.assert_allclose(made.means(table["value"]), theirs["value"].mean())
    np.testing.assert_array_equal(made.medians(table["value"]), theirs["value"].median())
    np.testing.assert_array_equal(made.spread_medians(table["value"]), theirs["value"].transform("median"))
    assert made.distinct(table["chain"]).tolist() == theirs["chain"].nunique().tolist()
    for number, rows_there in enumerate(theirs.indices[key] for key in sorted(theirs.indices)):
        assert made.rows(number).tolist() == rows_there.tolist()
        assert made.first[number] == rows_there[0]


@pytest.mark.parametrize("keys", [[np.array([], dtype=int)], [pd.Series([], dtype="category")]])
def test_no_rows_are_no_groups(keys):
    assert len(Groups.of(*keys)) == 0
