"""Sides that were not warm yet."""

import random

from profiler.ab.measure import Measured
from profiler.ab.warming import warming_up, warming_words
from profiler.record.pace import Ended


def series(cold, *, chains=40, tasks=4, seed=1):
    """Tasks of different lengths in turn; the first so many chains take half as long again."""
    draw = random.Random(seed)
    return [
        (f"t{number % tasks}", (1 + number % tasks) * (1.5 if number < cold else 1.0) * draw.uniform(0.95, 1.05))
        for number in range(chains)
    ]


def seen(a, b):
    measured = Measured()
    for (task, of_a), (_, of_b) in zip(a, b, strict=True):
        measured.take(task, *(Ended(task, 1, False, int(each * 1e9), 1, None) for each in (of_a, of_b)))
    return measured


def test_slower_chains_at_the_beginning_are_found_by_their_tasks_others():
    found = warming_up(series(cold=5))
    assert found.chains == 5
    assert 1.4 < found.slower < 1.6


def test_a_steady_side_and_a_single_round_are_no_warm_up():
    assert warming_up(series(cold=0)) is None
    assert warming_up(series(cold=5, tasks=40)) is None
    assert warming_up([]) is None


def test_only_the_beginning_is_looked_at_so_that_it_costs_nothing():
    assert warming_up(series(cold=5, chains=5000)).chains == 5


def test_the_words_tell_how_many_to_leave_out_of_both():
    said = warming_words(seen(series(cold=5), series(cold=0, seed=2)), ("A", "B"), 1, "--both")
    assert len(said) == 1
    assert said[0].startswith("the first 5 chains of A were 5")
    assert said[0].endswith('--both "--warmup 6" leaves them out')
