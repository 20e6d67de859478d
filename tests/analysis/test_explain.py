"""The whole explanation, from tables of every kind."""

from __future__ import annotations

import pytest
from made import MS, call, gap, tables, tools
from runs import broken_off, small_run, warm_up

from profiler.analysis.explain import explain
from profiler.analysis.facts import Facts
from profiler.analysis.summary import summarise
from profiler.analysis.tables import Tables, build_tables


def model(**columns):
    return call(prefill=10, decode=90, **{"input_tokens": 100, "cached_tokens": 0, "output_tokens": 10, **columns})


def test_a_small_run_is_explained():
    found = explain(build_tables(small_run()))
    assert found.summary == summarise(build_tables(small_run()))
    assert found.waterfall.calls == 4
    assert found.compounding.path_calls == found.summary.compounding.path_calls
    assert {row.name for row in found.on_path} == {"model", "tools"}
    assert sum(row.total_ns for row in found.gaps) == next(
        row.total_ns for row in found.summary.phases if row.phase == "framework"
    )


@pytest.mark.parametrize("traces", [[], [broken_off()], [warm_up()]], ids=["empty", "only failed", "only warm-up"])
def test_a_run_without_a_good_chain_has_no_explanation_and_no_error(traces):
    found = explain(build_tables(traces), facts=Facts())
    assert found.findings == found.on_path == found.gaps == ()
    assert (found.context, found.compounding, found.tails, found.variance, found.waterfall) == (None,) * 5


def test_a_single_call_is_explained():
    found = explain(tables([model()]))
    assert found.waterfall.calls == 1
    assert found.tails is None


def blanked(made: Tables) -> Tables:
    """As from a foreign trace: whatever may be missing is."""
    found = {}
    for name in ("chains", "calls", "steps", "tools", "gaps", "repairs"):
        table = getattr(made, name).copy()
        for column, dtype in table.dtypes.items():
            if str(dtype) in ("Int64", "Float64", "boolean"):
                table[column] = None
                table[column] = table[column].astype(dtype)
        found[name] = table
    return Tables(**found)


def test_every_part_bears_columns_of_nothing():
    made = blanked(tables(*[[model(), tools(a=50), gap(5), model()]] * 8))
    found = explain(made)
    assert found.context is None
    assert found.tails is not None
    assert all(finding.kind in ("slow-tool", "queueing", "decode-bound") for finding in found.findings)


def test_how_often_a_tool_is_on_the_path_is_told_where_a_step_has_several():
    chains = [[model(), tools(search=50, sql=20 if number else 80)] for number in range(4)]
    rows = {row.name: row for row in explain(tables(*chains)).on_path if row.kind == "one tool"}
    assert (rows["search"].share, rows["sql"].share) == (0.75, 0.25)
    assert rows["search"].drag_ns == 0.75 * 30 * MS
    assert rows["search"].chains == 4


def test_gaps_are_summed_by_cause_and_owner():
    found = explain(tables([gap(3), model(), gap(4), gap(5, "between steps", "root"), model()])).gaps
    assert [(row.cause, row.owner, row.total_ns, row.gaps) for row in found] == [
        ("node", "step model", 7 * MS, 2),
        ("between steps", "root", 5 * MS, 1),
    ]
