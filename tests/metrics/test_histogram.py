"""Our histogram is OpenTelemetry's, only faster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from profiler.metrics.histogram import Example, Histogram
from profiler.metrics.instruments import ALL

BOUNDS = (1.0, 2.0, 4.0)
VALUES = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 4.5, 100.0]), min_size=1, max_size=30)


def sdk_point(values):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    histogram = provider.get_meter("test").create_histogram("h", explicit_bucket_boundaries_advisory=BOUNDS)
    for value in values:
        histogram.record(value)
    return reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0]


@given(VALUES)
def test_it_agrees_with_the_sdks_own(values):
    point, ours = sdk_point(values), Histogram(BOUNDS)
    ours.add_all(values)
    assert ours.counts == list(point.bucket_counts)
    assert (ours.count, ours.least, ours.most) == (point.count, point.min, point.max)
    assert ours.sum == pytest.approx(point.sum)


@given(VALUES, VALUES)
def test_a_difference_is_what_was_put_in_between(first, then):
    histogram, alone = Histogram(BOUNDS), Histogram(BOUNDS)
    histogram.add_all(first)
    before = histogram.copy()
    histogram.add_all(then)
    alone.add_all(then)
    difference = histogram.since(before)
    difference.check()
    assert difference.counts == alone.counts
    assert difference.sum == pytest.approx(alone.sum)


def test_a_copy_stays_as_it_was():
    histogram = Histogram(BOUNDS)
    histogram.add(1.5, Example(1.5, 1, 2, 3))
    copy = histogram.copy()
    histogram.add(9.0, Example(9.0, 4, 5, 6))
    copy.check()
    assert (copy.count, copy.most, list(copy.examples)) == (1, 1.5, [1])


def test_a_bucket_keeps_the_latest_that_fell_into_it():
    histogram = Histogram(BOUNDS)
    for trace_id in (1, 2):
        histogram.add(1.5, Example(1.5, 0, trace_id, 3))
    assert histogram.examples[1].trace_id == 2
    histogram.check()


@pytest.mark.parametrize("instrument", ALL, ids=lambda each: each.name)
def test_boundaries_rise(instrument):
    Histogram(instrument.bounds).check()
