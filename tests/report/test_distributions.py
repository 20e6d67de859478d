"""The numbers behind the charts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_inputs import chain, small_run

from profiler import semconv as sc
from profiler.analysis.measured import Measured
from profiler.analysis.model import Span
from profiler.analysis.tables import build_tables
from profiler.report.distributions import MOST_ROWS, boxes, charts, histogram, mean_chain


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e15), min_size=1, max_size=60))
def test_every_value_is_in_a_bin_or_beyond(values):
    made = histogram(values)
    assert sum(made["counts"]) + made["beyond"] == len(values)
    assert made["width"] > 0
    assert len(made["counts"]) <= 70
    assert made["low"] <= min(values)


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]])
def test_of_no_values_there_is_no_histogram(values):
    assert histogram(values) is None


def test_equal_values_make_one_bin():
    assert histogram([5e6] * 4)["counts"] == [4]


def test_one_far_off_does_not_squeeze_the_others_into_one_bin():
    made = histogram([*np.linspace(1e6, 2e6, 200), 1e9])
    assert made["beyond"] == 1
    assert np.count_nonzero(made["counts"]) > 10


def test_bins_have_round_widths():
    assert histogram(np.linspace(0, 1e9, 100))["width"] == 50e6


def test_boxes_are_of_the_calls_of_each_row():
    first = boxes(Measured.of(build_tables(small_run())))[0]
    assert (first["name"], first["calls"]) == ("1 model", 2)
    assert first["quantiles"] == sorted(first["quantiles"])


def test_an_agent_that_goes_round_for_ever_has_a_row_for_the_rest():
    spans = []
    for at in range(0, 200, 2):
        spans.append(Span("", f"c{at}", "root", "c", at, at + 1, {sc.OPERATION: sc.OP_CHAT, sc.SENT_NS: 0}))
        spans.append(Span("", f"t{at}", "root", "t", at + 1, at + 2, {sc.OPERATION: sc.OP_EXECUTE_TOOL}))
    made = mean_chain(Measured.of(build_tables([chain("aa", 0, 201, spans)])))
    assert len(made["rows"]) == MOST_ROWS
    assert made["rows"][-1]["name"].endswith("later rows")
    assert sum(sum(row["phases"]) for row in made["rows"]) + sum(made["between"]) == pytest.approx(201e6)


def test_without_chains_there_is_nothing_to_draw():
    made = charts(Measured.of(build_tables([])))
    assert (made["chains"], made["calls"], made["boxes"], made["mean_chain"]["rows"]) == (None, None, [], [])
