"""Findings about single calls: tails, bursts, repeated attempts, connections, a late loop."""

from __future__ import annotations

import pytest
from made import MS, call, failed_call, found_in, gap, kinds, only, tables


def usual(number=0, **columns):
    """Three calls of 100 ms or so, with 10 tokens each; `columns` replace those of the second."""
    parts = []
    for turn in range(3):
        phases = {"prefill": 10.0 + (number + turn) % 3, "decode": 81.0, "delivery": 2.0}
        more = {"input_tokens": 100, "cached_tokens": 100, "output_tokens": 10}
        for name, value in columns.items() if turn == 1 else ():
            (phases if name in ("client", "decode", "delivery", "queue") else more)[name] = value
        parts += [call(**phases, **more), gap(1)]
    return parts


def test_a_tail_is_worth_its_excess_over_comparable_calls_shared_by_all_chains():
    """Two of forty chains would be too few to be sure; six are not."""
    made = tables(*[usual(number, **({"decode": 1081.0} if number % 7 == 0 else {})) for number in range(40)])
    first = found_in(made)[0]
    assert (first.kind, first.phase, first.where) == ("tail-calls", "decode", "step 2 (model)")
    assert first.gain_ns == pytest.approx(1000 * MS * 6 / 40, rel=0.01)
    assert "15% of the chains" in first.title
    assert {each.trace_id for each in first.evidence} <= {f"t{number:04}" for number in range(0, 40, 7)}


def test_one_slow_call_in_a_run_is_below_the_noise():
    made = tables(*[usual(number, **({"decode": 1081.0} if number == 7 else {})) for number in range(40)])
    assert "tail-calls" not in kinds(found_in(made))


def test_long_answers_are_no_tail():
    """Ten times as many tokens at the same pace, in every seventh chain."""
    made = tables(
        *[usual(number, **({"decode": 891.0, "output_tokens": 100} if number % 7 == 0 else {})) for number in range(40)]
    )
    assert "tail-calls" not in kinds(found_in(made))


def reading(number, lengths, *, price=0.1, more=0.0):
    """Three calls of which the second computes one of these lengths, at a price per token."""
    parts = []
    for turn in range(3):
        computed = lengths[number % len(lengths)] if turn == 1 else 100
        prefill = 10 + price * computed + 0.1 * ((number + turn) % 3) + (more if turn == 1 else 0)
        tokens = {"input_tokens": 2000, "cached_tokens": 2000 - computed, "output_tokens": 10}
        parts += [call(prefill=prefill, decode=18, **tokens), gap(1)]
    return parts


def test_prefill_of_prompts_that_were_not_in_the_cache_is_no_tail():
    """In every seventh chain the second call finds nothing in the cache; the line knows its price."""
    lengths = [1500, 100, 150, 200, 250, 300, 150]
    made = tables(*[reading(number, lengths) for number in range(42)])
    assert "tail-calls" not in kinds(found_in(made))


def test_lengths_that_only_slow_calls_have_are_no_tail():
    """All others compute the same, so nothing tells a price."""
    made = tables(*[reading(number, [1500, 100, 100, 100, 100, 100, 100]) for number in range(42)])
    assert "tail-calls" not in kinds(found_in(made))


def test_lengths_between_the_others_are_no_tail():
    lengths = [1000, 100, 150, 200, 250, 300, 150, 1000, 100, 150, 200, 250, 300, 1900]
    made = tables(*[reading(number, lengths) for number in range(42)])
    assert "tail-calls" not in kinds(found_in(made))


def test_slow_prefill_of_ordinary_lengths_is_a_tail():
    lengths = [150, 100, 150, 200, 250, 300, 150]
    made = tables(*[reading(number, lengths, more=400.0 if number % 7 == 0 else 0) for number in range(42)])
    found = only(found_in(made), "tail-calls")
    assert (found.phase, found.gain_ns) == ("prefill", pytest.approx(400 * MS / 7, rel=0.02))


def test_a_step_that_is_always_slow_is_no_tail():
    assert "tail-calls" not in kinds(found_in(tables(*[usual(number, decode=1081.0) for number in range(40)])))


def test_a_tail_beside_the_critical_path_costs_no_more_than_its_drag():
    made = tables(*[usual(number, **({"decode": 1081.0} if number % 7 == 0 else {})) for number in range(40)])
    made.calls["drag_ns"] = 100 * MS
    assert only(found_in(made), "tail-calls").gain_ns == pytest.approx(100 * MS * 6 / 40, rel=0.01)


def burst(*, late=300.0):
    """Calls whose output comes in one piece, `late` after the engine's last token."""
    engine = 10.0 + 81.0
    columns = {"distinct_arrivals": 1, "ttft_ns": round((engine + late) * MS), "first_late_ns": round((81 + late) * MS)}
    columns["last_chunk_ns"] = round((engine + late) * MS)
    part = {"input_tokens": 100, "cached_tokens": 100, "output_tokens": 10, **columns}
    return [call(prefill=10, decode=81, delivery=late + 1, **part), gap(1)] * 3


def test_a_burst_that_comes_late_costs_the_chain_what_its_end_is_late():
    first = found_in(tables(*[burst()] * 6))[0]
    assert (first.kind, first.phase) == ("bundled-delivery", "delivery")
    assert first.gain_ns == pytest.approx(900 * MS)
    assert "100% of the streamed calls" in first.title


def test_a_burst_that_comes_in_time_gains_the_chain_nothing_and_says_so():
    found = only(found_in(tables(*[burst(late=0.5)] * 6)), "bundled-delivery")
    assert (found.gain_ns, found.share) == (None, None)
    assert "no chain" in found.title


def test_a_tool_call_that_is_held_back_until_it_is_complete_is_no_burst():
    parts = burst(late=0.5)
    for part in parts:
        part.columns.update({"finish_reason": "tool_calls"} if part.kind == "call" else {})
    assert "bundled-delivery" not in kinds(found_in(tables(*[parts] * 6)))


def test_repeated_attempts_cost_their_time_and_the_pauses():
    made = tables(*[[failed_call(150), *usual(number)] if number % 2 else usual(number) for number in range(20)])
    found = only(found_in(made), "retries")
    assert (found.gain_ns, found.phase) == (75 * MS, "retry")
    assert "503 10" in found.detail
    assert found.evidence[0].note == "503 after 150 ms"


def test_retries_are_where_the_attempts_failed():
    parts = [usual(0)[0], gap(5), failed_call(150), usual(0)[0]]
    assert only(found_in(tables(*[[*parts, *[failed_call(40, "plan")]]] * 6)), "retries").where == "step 2 (model)"


def test_time_before_the_sending_is_put_down_to_what_most_of_it_is():
    made = tables(*[usual(number, client=60.0, connect_ns=50 * MS, pool_wait_ns=2 * MS) for number in range(6)])
    found = only(found_in(made), "connections")
    assert (found.where, found.phase) == ("step 2 (model)", "client")
    assert found.gain_ns == 60 * MS
    assert "one client" in found.remedy


def test_a_held_loop_costs_no_more_than_it_delays_delivery():
    made = tables(*[usual(number, delivery=50.0, lag_max_ns=500 * MS) for number in range(6)])
    found = only(found_in(made), "loop-lag")
    assert found.gain_ns == 50 * MS
    assert found.where == "step 2 (model)"


def test_a_loop_that_is_late_beside_the_waiting_costs_nothing():
    assert "loop-lag" not in kinds(found_in(tables(*[usual(number, lag_max_ns=500 * MS) for number in range(6)])))
