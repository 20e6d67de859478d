"""How long a step lasts, by hand and by draws."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.engines.sim.draws import NOISE, TAIL, TAIL_LENGTH, exponential, lognormal, sigma_of, stream, unit
from profiler.engines.sim.profile import load_profile
from profiler.engines.sim.steptime import Load, StepTime

FAST = load_profile("fast")
LOAD = Load(sequences=3, context_tokens=40, prompts=2, prompt_tokens=100)


def step_time(**changes):
    return StepTime(FAST.model_copy(update=changes))


def test_a_step_is_the_sum_of_what_is_in_it():
    times = step_time(
        step_us=10.0, per_sequence_us=2.0, per_context_token_us=0.25, per_prompt_us=5.0, per_prompt_token_us=0.5
    )
    # 10 + 3 * 2 + 40 * 0.25 + 2 * 5 + 100 * 0.5
    assert times.planned_ns(LOAD) == 86_000
    assert times.planned_ns(Load()) == 10_000


def test_without_variation_a_step_lasts_as_planned():
    assert step_time(step_us=1.5).duration_ns(LOAD, [(1, 0), (2, 5)]) == 1_500


def test_the_noise_of_a_step_is_the_mean_of_its_sequences_noise():
    draws = [(stream(0, 1), 4), (stream(0, 2), 9)]
    noise = [lognormal(*draw, NOISE, sigma_of(0.3)) for draw in draws]
    assert step_time(step_us=1000.0, step_cv=0.3).duration_ns(LOAD, draws) == round(1e6 * statistics.mean(noise))


def test_a_step_is_stalled_by_the_longest_stall_in_it():
    draws = [(stream(0, key), 0) for key in range(40)]
    stalled = [draw for draw in draws if unit(*draw, TAIL) < 0.2]
    assert 2 < len(stalled) < 20
    longest = max(exponential(*draw, TAIL_LENGTH) for draw in stalled)
    times = step_time(step_us=1000.0, tail_probability=0.2, tail_us=500.0)
    assert times.duration_ns(LOAD, draws) == 1_000_000 + round(longest * 500_000)
    calm = [draw for draw in draws if draw not in stalled]
    assert times.duration_ns(LOAD, calm) == 1_000_000


@pytest.mark.parametrize("load", [Load(sequences=1), LOAD])
@given(key=st.integers(), cv=st.floats(0, 5), step_us=st.floats(1, 1e6))
def test_a_step_always_takes_time(load, key, cv, step_us):
    assert step_time(step_us=step_us, step_cv=cv).duration_ns(load, [(stream(0, key), 0)]) >= 1


def test_over_many_tokens_the_mean_step_is_the_planned_one():
    times = step_time(step_us=1000.0, step_cv=0.2)
    drawn = [times.duration_ns(LOAD, [(stream(0, 1), index)]) for index in range(5000)]
    assert statistics.mean(drawn) == pytest.approx(1e6, rel=0.02)
    assert statistics.pstdev(drawn) == pytest.approx(2e5, rel=0.1)
