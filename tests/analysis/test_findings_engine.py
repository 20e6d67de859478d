"""Findings about the engine: slow steps, queueing, decode."""

from __future__ import annotations

import pandas as pd
import pytest
from made import MS, call, found_in, gap, kinds, only, tables

from profiler.analysis.columns import Tables


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
    assert "160 ms of a chain" in found.title
    assert "without it a chain would be 100 ms shorter" in found.title
    assert found.where == ""
    assert len(found.evidence) == 5


def test_decode_is_told_last_and_without_a_gain():
    findings = found_in(chains(pace_ms=10.0))
    assert findings[-1].kind == "decode-bound"
    assert (findings[-1].gain_ns, findings[-1].phase) == (None, "decode")
    assert findings[-1].share > 0.5


def test_a_slow_call_gains_no_more_than_it_takes_longer_than_what_runs_beside_it():
    made = chains(slow_turn=2, slow_ms=60)
    made.calls.loc[made.calls["position"] == 3, "drag_ns"] = 25 * MS
    beside = made.calls[made.calls["position"] == 3].copy()
    beside["call_e2e_ns"] -= 25 * MS
    for column in ("path_ns", "path_prefill_ns", "drag_ns", "prefill_ns"):
        beside[column] = 0
    beside[["position", "span_id"]] = 9, "b"
    whole = Tables(made.chains, pd.concat([made.calls, beside]), made.steps, made.tools, made.gaps, made.repairs)
    found = [each for each in found_in(whole) if each.kind == "slow-step-prefill"]
    assert [each.gain_ns for each in found] == [pytest.approx(25 * MS, rel=0.01)]


def test_no_gain_is_more_than_the_chain_would_gain_without_that_kind_of_work():
    made = chains(slow_turn=2, slow_ms=60)
    made.chains["gain_without_prefill_ns"] = 30 * MS
    assert only(found_in(made), "slow-step-prefill").gain_ns == pytest.approx(30 * MS)


def growing(slow_turn=None):
    """Six calls that compute 200 tokens each, and take 5 ms longer for each 200 found in the cache."""
    parts = []
    for turn in range(6):
        prefill = 20 + 5 * turn + (60 if turn == slow_turn else 0)
        tokens = {"input_tokens": 200 * (turn + 1), "cached_tokens": 200 * turn, "output_tokens": 20}
        parts += [call(prefill=prefill, decode=38, place=f"place {turn}", **tokens), gap(1)]
    return tables(*[parts] * 8)


def test_prefill_that_rises_with_the_whole_context_is_no_slow_step():
    assert "slow-step-prefill" not in kinds(found_in(growing()))


@pytest.mark.parametrize("turn", [0, 2, 5])
def test_a_step_that_is_slow_against_its_neighbours_is_found_though_prefill_rises(turn):
    found = only(found_in(growing(slow_turn=turn)), "slow-step-prefill")
    assert found.where == f"step {turn + 1} (model)"
    assert found.gain_ns == pytest.approx(60 * MS, rel=0.1)


def test_a_second_call_with_the_only_cached_prompt_tells_nothing():
    parts = [
        call(prefill=ms, decode=38, input_tokens=200 + cached, cached_tokens=cached, output_tokens=20)
        for ms, cached in ((20, 0), (40, 2000))
    ]
    assert "slow-step-prefill" not in kinds(found_in(tables(*[parts] * 8)))


def test_without_engine_timing_no_step_is_called_slow():
    parts = [call(unaccounted=ms, timed=False, input_tokens=100, output_tokens=5) for ms in (50, 50, 500)]
    assert kinds(found_in(tables(*[parts] * 10))) == []


def test_so_few_prompts_of_different_lengths_tell_no_slow_step():
    """Two tasks on a real engine: prefill follows the computed tokens, and three other calls draw no line."""
    lengths = [[(1392, 592), (49, 43)], [(295, 195), (2017, 1806), (127, 184)]]
    parts = [
        [call(prefill=ms, decode=38, input_tokens=tokens, cached_tokens=0, output_tokens=20) for tokens, ms in chain]
        for chain in lengths
    ]
    assert "slow-step-prefill" not in kinds(found_in(tables(*parts)))
