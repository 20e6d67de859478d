"""When a measurement in turns ends, and why: sides whose chains take what is said, and a clock that goes by them."""

import functools
import math
import random

import pytest

from profiler.ab.measure import Stop, measure, measure_alone
from profiler.ab.outcome import outcome, outcome_facts, outcome_words
from profiler.record.pace import Ended
from profiler.stats.paired import Verdict
from profiler.stats.sequential import cut_short, plan_looks

TASKS = [f"t{number}" for number in range(6)]


class Clock:
    """Seconds that pass only while a chain runs."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Programmed:
    """A side whose chains take as long as is said, or fail."""

    def __init__(self, clock, seconds, failure=None):
        self.clock, self.seconds, self.failure, self.asked = clock, seconds, failure, []

    def chain(self, task, repeat, timeout_s):
        assert timeout_s == 60
        self.asked.append((task, repeat))
        took = self.seconds(task, repeat)
        self.clock.now += took
        return Ended(task, repeat, False, int(took * 1e9), 1, self.failure)


def noisy(seed, factor=1.0, spread=0.1):
    draw = random.Random(seed)
    return lambda _task, _repeat: factor * math.exp(draw.gauss(0, spread))


@functools.cache
def planned(rounds):
    return plan_looks(len(TASKS), rounds)


def measured(a, b, *, rounds=10, plan=True, **more):
    clock = Clock()
    sides = Programmed(clock, a), Programmed(clock, b, more.pop("failure", None))
    told = []
    seen = measure(
        sides,
        TASKS,
        planned(rounds) if plan else None,
        rounds=rounds,
        warmup=1,
        timeout_s=60,
        seed=1,
        on_pair=lambda *pair: told.append(pair),
        clock=clock,
        **more,
    )
    assert len(told) == seen.pairs
    assert len(sides[0].asked) == len(sides[1].asked) == seen.pairs + 1
    return seen


def test_what_is_clear_stops_at_once_and_says_so():
    seen = measured(noisy(1), noisy(2, factor=2))
    assert (seen.stop, outcome(seen)) == (Stop.DECIDED, Verdict.REGRESSED)
    assert seen.pairs < 60


def test_without_a_plan_all_rounds_are_run_and_nothing_is_looked_at():
    seen = measured(noisy(1), noisy(2, factor=2), plan=False)
    assert (seen.stop, seen.pairs, seen.look) == (Stop.ROUNDS, 60, None)


def test_when_time_is_up_a_last_look_is_taken_at_what_there_is():
    seen = measured(noisy(1, spread=0.3), noisy(2, spread=0.3), within_s=41.0)
    assert seen.stop is Stop.TIME
    assert seen.pairs % 6, "in the middle of a round"
    assert 41 <= seen.took_s < 44
    assert seen.look.result.tasks == 6
    assert seen.look.final
    words = outcome_words(seen, 5.0, 60)
    assert f"after {seen.pairs} of at most 60 pairs of chains, when the time was used up" in words
    assert "all 60 pairs would take some 2 min" in words


def test_a_last_look_decides_what_a_planned_one_would_have_left_open():
    plan = planned(10)
    cut = cut_short(plan, 24)
    assert plan.pairs[plan.pairs.index(24)] == cut.pairs[-1] == 24
    assert cut.levels[:-1] == plan.levels[: len(cut.levels) - 1]
    assert plan.levels[len(cut.levels) - 1] < cut.levels[-1] < 0.025


def test_the_time_counts_even_where_all_rounds_are_to_be_run():
    seen = measured(noisy(1), noisy(2, factor=2), within_s=20.0, to_the_end=True)
    assert (seen.stop, outcome(seen)) == (Stop.TIME, Verdict.REGRESSED)


def test_time_that_is_up_with_the_last_pair_changes_nothing():
    whole = measured(noisy(1, spread=0.3), noisy(2, spread=0.3), rounds=2, to_the_end=True)
    timed = measured(noisy(1, spread=0.3), noisy(2, spread=0.3), rounds=2, to_the_end=True, within_s=whole.took_s)
    assert (timed.stop, timed.pairs, timed.look) == (Stop.ROUNDS, 12, whole.look)


def test_a_side_that_asks_for_calls_which_its_script_lacks_is_run_once_for_each_task():
    seen = measured(noisy(1), noisy(2), failure="ScriptMismatch: node 'x' asked for call 2")
    assert (seen.stop, seen.pairs, seen.off_script) == (Stop.OFF_SCRIPT, 6, (0, 6))
    assert measured(noisy(1), noisy(2), failure="ScriptMismatch: no", to_the_end=True).pairs == 60
    assert measured(noisy(1), noisy(2), failure="ScriptMismatch: no", plan=False).pairs == 60


def test_one_side_alone_runs_every_task_in_every_round_after_its_warm_up():
    clock, told = Clock(), []
    side = Programmed(clock, lambda *_: 1.0)
    measure_alone(side, TASKS[:2], rounds=2, warmup=3, timeout_s=60, on_chain=lambda *each: told.append(each[:2]))
    assert side.asked == [("t0", 1), ("t1", 2), ("t0", 3), ("t0", 1), ("t1", 1), ("t0", 2), ("t1", 2)]
    assert told == side.asked[3:]


def test_the_facts_for_programs_say_what_the_words_say():
    seen = measured(noisy(1), noisy(2, factor=2))
    facts = outcome_facts(seen, 5.0, 60, remarks=["cold"])
    assert facts["words"] == outcome_words(seen, 5.0, 60)
    assert (facts["verdict"], facts["stopped"], facts["unit"], facts["units"]) == ("regressed", "decided", "tasks", 6)
    assert 1 < facts["low"] < facts["ratio"] < facts["high"]
    assert (facts["margin"], facts["pairs"], facts["budget"]) == (0.05, seen.pairs, 60)
    assert facts["seconds"] == pytest.approx(seen.took_s, abs=1e-3)
    assert (facts["failed"], facts["left_script"], facts["remarks"]) == ([0, 0], [], ["cold"])


def test_a_left_script_is_regressed_however_fast_it_is():
    seen = measured(noisy(1), noisy(2, factor=0.5))
    assert outcome(seen) is Verdict.NOT_REGRESSED
    assert outcome(seen, ["B leaves calls of the script out"]) is Verdict.REGRESSED
    words = outcome_words(seen, 5.0, 60, ["B leaves calls of the script out"])
    assert "changed trajectory, B leaves calls of the script out; B is 49.8% faster" in words
