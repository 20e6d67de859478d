"""Findings about the engine: slow steps, queueing, decode."""

from __future__ import annotations

import pytest
from made import MS, call, found_in, gap, kinds, only, tables


def chain(*, slow_turn=None, slow_ms=0.0, pace_ms=2.0, slow_pace_ms=2.0, queue=0.0, number=0, growth=100):
    """Four calls whose prefill is 10 ms and 0.1 ms per computed token, and 20 tokens each."""
    parts = []
    for turn in range(4):
        computed = 100 + growth * turn + number % 5
        here = turn == slow_turn
        prefill = 10 + 0.1 * computed + (slow_ms if here else 0)
        pace = slow_pace_ms if here else pace_ms
        parts.append(
            call(
                queue=queue,
                prefill=prefill,
                decode=19 * pace,
                input_tokens=500 + computed,
                cached_tokens=500,
                output_tokens=20,
                place=f"place {turn}",
            )
        )
        parts.append(gap(1))
    return parts


def chains(number=10, **options):
    return tables(*[chain(number=at, **options) for at in range(number)])


def test_a_step_with_slow_prefill_is_named_first_with_what_is_not_explained_by_its_length():
    first = found_in(chains(slow_turn=2, slow_ms=60))[0]
    assert (first.kind, first.where, first.phase) == ("slow-step-prefill", "step 3 (model)", "prefill")
    assert first.gain_ns == pytest.approx(60 * MS, rel=0.01)
    assert first.share == pytest.approx(60 / (60 + 4 * 1 + 40 + 0.1 * 1008 + 4 * 38), rel=0.01)


def test_a_long_prompt_is_not_slow():
    """The last step computes four times as many tokens as the first, at the same price."""
    assert "slow-step-prefill" not in kinds(found_in(chains(growth=300)))


def test_prompts_of_one_length_are_compared_without_a_price():
    first = found_in(chains(slow_turn=1, slow_ms=60, growth=0))[0]
    assert (first.kind, first.where) == ("slow-step-prefill", "step 2 (model)")
    assert first.gain_ns == pytest.approx(60 * MS, rel=0.02)


def test_the_only_step_is_never_slow_for_there_is_nothing_to_compare_it_with():
    one = [call(prefill=500, decode=10, input_tokens=10, cached_tokens=0, output_tokens=2)]
    assert "slow-step-prefill" not in kinds(found_in(tables(*[one] * 10)))


def test_a_step_with_slow_tokens_is_named_with_what_its_tokens_take_more():
    found = only(found_in(chains(slow_turn=3, slow_pace_ms=5.0)), "slow-step-decode")
    assert (found.where, found.phase) == ("step 4 (model)", "decode")
    assert found.gain_ns == pytest.approx(19 * 3 * MS)


def test_queueing_gains_what_the_schedule_model_says_and_not_all_time_in_the_queue():
    made = chains(queue=40)
    made.chains["gain_without_queue_ns"] = 100 * MS
    found = only(found_in(made), "queueing")
    assert found.gain_ns == 100 * MS
    assert found.where == ""
    assert len(found.evidence) == 5


def test_decode_is_told_last_and_without_a_gain():
    findings = found_in(chains(pace_ms=10.0))
    assert findings[-1].kind == "decode-bound"
    assert (findings[-1].gain_ns, findings[-1].phase) == (None, "decode")
    assert findings[-1].share > 0.5


def test_prefill_of_a_step_is_scaled_down_where_something_runs_beside_it():
    made = chains(slow_turn=2, slow_ms=60)
    made.chains["gain_without_prefill_ns"] = made.chains["prefill_ns"] // 2
    assert only(found_in(made), "slow-step-prefill").gain_ns == pytest.approx(30 * MS, rel=0.01)


def test_without_engine_timing_no_step_is_called_slow():
    parts = [call(unaccounted=ms, timed=False, input_tokens=100, output_tokens=5) for ms in (50, 50, 500)]
    assert kinds(found_in(tables(*[parts] * 10))) == []
