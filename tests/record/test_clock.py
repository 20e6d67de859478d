"""The clock goes with the monotonic counter; the wall clock only says where it began."""

from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.record.clock import Clock

TIMES = st.integers(0, 2**62)


def test_it_begins_at_the_wall_clocks_time():
    assert Clock(perf_ns=lambda: 500, wall_ns=lambda: 1_700_000_000_000_000_123).now_ns() == 1_700_000_000_000_000_123


@settings(max_examples=30, deadline=None)
@given(TIMES, st.lists(TIMES, min_size=2, max_size=5), st.lists(TIMES, min_size=5, max_size=5))
def test_durations_are_the_counters_however_the_wall_clock_is_stepped(wall, counter, steps):
    walls, counts = iter([wall, *steps]), iter(counter)
    clock = Clock(perf_ns=lambda: next(counts), wall_ns=lambda: next(walls))
    seen = [clock.now_ns() for _ in counter[1:]]
    assert seen == [wall + count - counter[0] for count in counter[1:]]
    assert next(walls) == steps[0], "the wall clock was read once"


def test_the_real_clock_never_goes_back():
    clock = Clock()
    seen = [clock.now_ns() for _ in range(1000)]
    assert seen == sorted(seen)
