"""Chains on their way to the figures."""

from __future__ import annotations

import threading
import time

import pytest
from chains import call, chain

from profiler import semconv as sc
from profiler.metrics import feed as feeds
from profiler.metrics.feed import Feed
from profiler.metrics.figures import Figures


def count(figures):
    return sum(each.histogram.count for each in figures.copy() if each.instrument.name == sc.METRIC_AGENT_DURATION)


def test_what_was_offered_is_in_the_figures_at_the_end():
    figures = Figures()
    feed = Feed(figures)
    for _ in range(50):
        feed.offer(chain(call()))
    feed.close(20)
    assert (count(figures), feed.left_out) == (50, 0)


def test_a_chain_that_cannot_be_read_is_counted_and_the_next_one_is_taken():
    figures = Figures()
    feed = Feed(figures)
    feed.offer(chain(call(changed={sc.CHUNK_TIMES_US: ("x", "y")})))
    feed.offer(chain(call()))
    feed.close(20)
    assert feed.left_out == 1
    assert count(figures) == 1


@pytest.fixture
def stuck(monkeypatch):
    """Figures that take nothing until they are let."""
    monkeypatch.setattr(feeds, "QUEUE_CHAINS", 2)
    hold, figures = threading.Event(), Figures()
    take = figures.take
    monkeypatch.setattr(figures, "take", lambda spans: hold.wait(300) and take(spans))
    yield Feed(figures), hold
    hold.set()


def test_offering_never_waits_and_what_found_no_room_is_counted(stuck):
    feed, _ = stuck
    for _ in range(10):
        feed.offer(chain(call()))
    assert feed.left_out >= 7


def test_ending_waits_no_longer_than_it_is_told(stuck):
    feed, _ = stuck
    for _ in range(10):
        feed.offer(chain(call()))
    began = time.monotonic()
    feed.close(0.05)
    assert time.monotonic() - began < 120
