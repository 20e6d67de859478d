"""What a measurement comes to, of times and of failures."""

import re

import pytest

from profiler.ab.measure import Measured
from profiler.ab.outcome import outcome, outcome_words, p_fails_more
from profiler.record.pace import Ended
from profiler.stats.paired import Verdict
from profiler.stats.sequential import look, plan_looks


def ended(seconds=1.0, failure=None):
    return Ended("t", 1, False, int(seconds * 1e9), 1, failure)


def measured(*pairs, alike=True):
    """Pairs of (A failed, B failed); the times of those that ended well are nearly the same."""
    seen = Measured(pairs_are_units=True)
    for number, (a, b) in enumerate(pairs):
        times = 1 + number % 3 / 1000, 1 + (number + 1) % 3 / 1000
        seen.take("t", *(ended(time, "Broken: no" if bad else None) for time, bad in zip(times, (a, b), strict=True)))
    if alike:
        plan = plan_looks(1, len(pairs))
        seen.look = look(plan, len(plan.pairs) - 1, *seen.seconds)
    return seen


WELL, ONLY_A, ONLY_B, BOTH = (False, False), (True, False), (False, True), (True, True)


def test_alone_failed_pairs_are_counted_for_their_side():
    assert measured(WELL, ONLY_A, ONLY_B, ONLY_B, BOTH, alike=False).failed_alone == (1, 2)


@pytest.mark.parametrize(
    ("pairs", "p", "verdict", "words"),
    [
        ([WELL] * 20, 1.0, Verdict.NOT_REGRESSED, "Not regressed by 5% or more after"),
        ([WELL] * 20 + [BOTH] * 8, 1.0, Verdict.NOT_REGRESSED, "that B fails more often is not seen"),
        ([WELL] * 20 + [ONLY_A] * 8, 1.0, Verdict.NOT_REGRESSED, "8 chains of A and 0 of B failed"),
        ([WELL] * 20 + [ONLY_B] * 3, 1 / 8, Verdict.CANNOT_TELL, "B may fail more often"),
        (
            [WELL] * 20 + [ONLY_B] * 8,
            1 / 256,
            Verdict.REGRESSED,
            "Regressed after 28 of at most 40 pairs of chains: 0 ch",
        ),
        ([WELL] * 20 + [ONLY_B] * 8 + [ONLY_A], 10 / 512, Verdict.REGRESSED, "B fails clearly more often"),
    ],
)
def test_a_side_that_fails_more_often_does_not_pass_by_its_times(pairs, p, verdict, words):
    seen = measured(*pairs)
    assert p_fails_more(seen) == pytest.approx(p)
    assert outcome(seen) is verdict
    assert words in outcome_words(seen, 5.0, 40)


def test_a_side_that_always_fails_is_regressed_without_any_time():
    seen = measured(*[ONLY_B] * 6, alike=False)
    assert outcome(seen) is Verdict.REGRESSED
    assert "too few pairs ended well for the times" in outcome_words(seen, 5.0, 6)


def test_an_interval_says_what_it_counts_and_why_the_other_one_differs():
    words = outcome_words(measured(*[WELL] * 20), 5.0, 20)
    assert re.search(r"\[.*% to .*% over 20 pairs\]", words)
    assert "allows for every look on the way, and with few tasks is over pairs" in words
    assert "Those below are over tasks, as if there had been one look" in words
