"""The time model: examples worked out by hand, drawn in microseconds, and properties of arbitrary plans."""

import ast
import dataclasses
import itertools
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.engines.sim import profile as profile_module
from profiler.engines.sim.profile import Profile, load_profile
from profiler.engines.sim.scheduler import Progress, PromptTooLong, Scheduler, Token, Work

FOREVER = 10**18
PLAIN = Profile(
    name="plain",
    title="plain",
    source="made up",
    dialect="vllm",
    max_model_tokens=1000,
    max_running=8,
    max_step_tokens=1000,
    chunked_prefill=True,
    prefix_caching=True,
    block_tokens=4,
    blocks=250,
    step_us=6,
    per_sequence_us=2,
    per_prompt_token_us=1,
)


def engine(seed=0, **changes):
    return Scheduler(Profile.model_validate(PLAIN.model_dump() | changes), seed)


def work(name, prompt, output, **more):
    """Of a number of tokens: a prompt that shares no prefix with other requests'."""
    tokens = tuple(token_id(name, n) for n in range(prompt)) if isinstance(prompt, int) else tuple(prompt)
    return Work(name, tokens, output, **({"key": int.from_bytes(name.encode())} | more))


def token_id(name, n):
    return int.from_bytes(name.encode()) * 10_000 + n


def run(scheduler, until=FOREVER):
    """Planned times of each request's tokens in microseconds, step by step, with all that must hold checked."""
    tokens = {}
    while (due := scheduler.next_ns()) is not None and due <= until:
        for token in scheduler.advance(due):
            tokens.setdefault(token.id, []).append(token.at_ns / 1000)
        scheduler.check()
    return tokens


def us(progress):
    """Queued, scheduled, first and last token."""
    times = (progress.queued_ns, progress.scheduled_ns, progress.first_token_ns, progress.last_token_ns)
    return tuple(at / 1000 for at in times)


# One request, then two


def test_a_request_alone_is_its_prompt_and_then_a_step_per_token():
    #     5         15      23      31
    # a   |  prompt a0      a1      a2         6 + 4 | 6 + 2 | 6 + 2
    scheduler = engine()
    progress = scheduler.add(work("a", 4, 3), 5_000)
    assert run(scheduler) == {"a": [15, 23, 31]}
    assert us(progress) == (5, 5, 15, 31)
    assert progress == Progress(5_000, 5_000, 5_000, 15_000, 31_000, cached_tokens=0, generated=3, preemptions=0)


def test_who_comes_in_the_middle_of_a_step_waits_for_the_next_and_slows_who_is_there():
    #     0         10             24       34
    # a   |  prompt a0             a1       a2      6 + 4 | 6 + 2 + 6 | 6 + 2 * 2
    # b       4     |  prompt      b0       b1
    scheduler = engine()
    scheduler.add(work("a", 4, 3), 0)
    late = scheduler.add(work("b", 6, 2), 4_000)
    assert run(scheduler) == {"a": [10, 24, 34], "b": [24, 34]}
    assert us(late) == (4, 10, 24, 34)


def test_who_is_queued_exactly_at_the_start_of_a_step_is_in_it():
    scheduler = engine()
    scheduler.add(work("a", 4, 2), 0)
    progress = scheduler.add(work("b", 6, 1), 10_000)
    run(scheduler)
    assert us(progress)[:2] == (10, 10)


def test_after_a_pause_the_engine_starts_with_the_next_arrival():
    scheduler = engine()
    scheduler.add(work("a", 4, 1), 0)
    scheduler.add(work("b", 4, 1), 50_000)
    assert run(scheduler) == {"a": [10], "b": [60]}


def test_the_front_end_takes_its_time_before_the_queue():
    scheduler = engine(frontend_us=3)
    progress = scheduler.add(work("a", 4, 1), 1_000)
    assert run(scheduler) == {"a": [14]}
    assert (progress.arrival_ns, progress.queued_ns, progress.scheduled_ns) == (1_000, 4_000, 4_000)


def test_context_and_prompts_have_their_price():
    #     0               13            23            33.5
    # a   |  prompt       a0            a1            a2         6 + 4 + 3 | 6 + 2 + 0.5 * 4 | 6 + 2 + 0.5 * 5
    scheduler = engine(per_prompt_us=3, per_context_token_us=0.5)
    scheduler.add(work("a", 4, 3), 0)
    assert run(scheduler) == {"a": [13, 23, 33.5]}


# Limits of a step


def test_a_long_prompt_is_spread_over_steps_that_others_decode_in():
    #     0        8       25      42      52
    # a   | 2      a0      a1      a2      a3       of 10 tokens at most a takes 1 and leaves 9 to b
    # b     1      | 9     | 9     | 2     b0
    scheduler = engine(max_step_tokens=10, max_running=4)
    scheduler.add(work("a", 2, 4), 0)
    progress = scheduler.add(work("b", 20, 1), 1_000)
    assert run(scheduler) == {"a": [8, 25, 42, 52], "b": [52]}
    assert us(progress) == (1, 8, 52, 52)


def test_without_chunks_a_prompt_over_the_budget_is_computed_in_one_step_with_no_other_prompt():
    #     0        8           36        47
    # a   | 2      a0          a1        a2
    # b     1      | 20        b0
    # c     1                  | 3       c0
    scheduler = engine(max_step_tokens=10, max_running=4, chunked_prefill=False)
    scheduler.add(work("a", 2, 3), 0)
    scheduler.add(work("b", 20, 1), 1_000)
    scheduler.add(work("c", 3, 1), 1_000)
    assert run(scheduler) == {"a": [8, 36, 47], "b": [36], "c": [47]}


def test_without_chunks_a_prompt_that_exceeds_what_is_left_of_the_budget_waits():
    #     0        16        28
    # a   | 6      a0
    # b   | 4      b0
    # c            | 6       c0            would make 16 of 10
    scheduler = engine(max_step_tokens=10, chunked_prefill=False)
    for name, prompt in (("a", 6), ("b", 4), ("c", 6)):
        scheduler.add(work(name, prompt, 1), 0)
    assert run(scheduler) == {"a": [16], "b": [16], "c": [28]}


def test_no_more_run_than_may_and_the_first_to_come_are_the_first_to_run():
    scheduler = engine(max_running=2)
    progress = [scheduler.add(work(name, 4, 2), at) for at, name in enumerate("abcd")]
    run(scheduler)
    # a alone, as the others come during its first step; then a and b; then, a having ended, b and c
    assert [us(each)[1] for each in progress] == [0, 10, 22, 34]


def test_who_does_not_fit_keeps_those_behind_waiting():
    # a holds 3 of 4 blocks; b needs 2 and c, which would fit, is behind b
    scheduler = engine(blocks=4, max_model_tokens=16, prefix_caching=False)
    scheduler.add(work("a", 9, 2), 0)
    second = scheduler.add(work("b", 8, 1), 1)
    third = scheduler.add(work("c", 2, 1), 2)
    tokens = run(scheduler)
    assert us(second)[1] == us(third)[1] == tokens["a"][-1]


def test_of_requests_queued_together_the_lower_key_is_first():
    scheduler = engine(max_running=1)
    scheduler.add(work("a", 4, 1, key=2), 0)
    scheduler.add(work("b", 4, 1, key=1), 0)
    assert run(scheduler) == {"b": [10], "a": [20]}


# Memory


def test_when_no_block_is_free_the_latest_admitted_is_preempted_and_computed_again():
    # 4 blocks of 4 tokens. a and b have 7 tokens of prompt, 2 blocks each: the ninth token of a needs a third block.
    #                 0        20       30       38       46       54       69       77       85
    # a               | prompt a0       a1       a2       a3       a4
    # b               | prompt b0       b1       (preempted)       | 7 + 2  b2       b3       b4
    # blocks of a, b    2, 2     2, 2     3, 0
    scheduler = engine(blocks=4, max_model_tokens=16, prefix_caching=False)
    first = scheduler.add(work("a", 7, 5), 0)
    second = scheduler.add(work("b", 7, 5), 0)
    assert run(scheduler) == {"a": [20, 30, 38, 46, 54], "b": [20, 30, 69, 77, 85]}
    assert (first.preemptions, second.preemptions, scheduler.preemptions) == (0, 1, 1)
    assert us(second) == (0, 0, 20, 85)
    assert second.generated == 5


def test_the_preempted_go_ahead_of_those_who_wait_in_their_old_order():
    scheduler = engine(blocks=6, max_model_tokens=24, prefix_caching=False, max_running=3)
    progress = {name: scheduler.add(work(name, 7, 9), 0) for name in "abcd"}
    tokens = run(scheduler)
    # c lost its blocks to a, b lost one later; d was never in before both had come back
    assert progress["c"].preemptions > 0
    assert progress["d"].scheduled_ns / 1000 >= tokens["b"][-1]
    assert [len(tokens[name]) for name in "abcd"] == [9] * 4


def test_nobody_is_admitted_in_a_step_that_had_to_preempt():
    # b is preempted at 30 and leaves 1 block, which c would fit into
    scheduler = engine(blocks=4, max_model_tokens=16, prefix_caching=False)
    scheduler.add(work("a", 7, 5), 0)
    scheduler.add(work("b", 7, 5), 0)
    third = scheduler.add(work("c", 1, 1), 100)
    run(scheduler)
    assert us(third)[1] >= 54


def test_one_that_can_never_fit_is_refused():
    scheduler = engine(max_model_tokens=12, blocks=3)
    with pytest.raises(PromptTooLong, match="request a: 10 prompt tokens and 3 of output exceed the engine's 12"):
        scheduler.add(work("a", 10, 3), 0)
    assert scheduler.next_ns() is None
    scheduler.add(work("a", 10, 2), 0)
    assert len(run(scheduler)["a"]) == 2


# The prefix cache


def test_a_prompt_seen_before_costs_what_is_new_in_it():
    #     0          16       100    107
    # a   | 10 of 10 a0
    # b                       | 1    b0         8 of 9 tokens, two blocks, are cached
    scheduler = engine()
    scheduler.add(work("a", range(10), 1), 0)
    second = scheduler.add(work("b", range(9), 1), 100_000)
    assert run(scheduler) == {"a": [16], "b": [107]}
    assert second.cached_tokens == 8
    assert (scheduler.prefix_queries, scheduler.prefix_hits) == (19, 8)


def test_of_a_prompt_that_is_cached_as_a_whole_the_last_block_is_computed_again():
    scheduler = engine()
    scheduler.add(work("a", range(8), 1), 0)
    second = scheduler.add(work("b", range(8), 1), 100_000)
    assert run(scheduler) == {"a": [14], "b": [110]}
    assert second.cached_tokens == 4


def test_within_one_step_the_second_finds_what_the_first_computes():
    scheduler = engine()
    scheduler.add(work("a", range(9), 1), 0)
    second = scheduler.add(work("b", range(9), 1), 0)
    assert run(scheduler) == {"a": [16], "b": [16]}
    assert second.cached_tokens == 8


@pytest.mark.parametrize(("salts", "cached"), [(("", ""), 8), (("x", "x"), 8), (("x", ""), 0), (("x", "y"), 0)])
def test_only_requests_of_equal_salt_share_a_prefix(salts, cached):
    scheduler = engine()
    scheduler.add(work("a", range(9), 1, salt=salts[0]), 0)
    second = scheduler.add(work("b", range(9), 1, salt=salts[1]), 100_000)
    run(scheduler)
    assert second.cached_tokens == cached


def test_without_prefix_caching_nothing_is_found():
    scheduler = engine(prefix_caching=False)
    scheduler.add(work("a", range(9), 1), 0)
    second = scheduler.add(work("b", range(9), 1), 100_000)
    run(scheduler)
    assert (second.cached_tokens, scheduler.prefix_queries) == (0, 0)


@pytest.mark.parametrize(("asked", "cached"), [("a", 8), ("b", 0), ("c", 8)])
def test_the_prompt_used_longest_ago_is_forgotten_first(asked, cached):
    # three prompts fill the 6 blocks; a is used again, so a fourth takes the room of b
    scheduler = engine(blocks=6, max_model_tokens=24)
    first_token = {"a": 100, "b": 200, "c": 300, "other": 400}
    for at, name in enumerate(["a", "b", "c", "a", "other"]):
        scheduler.add(work(f"{at}", range(first_token[name], first_token[name] + 8), 1), at * 100_000)
    again = scheduler.add(work("again", range(first_token[asked], first_token[asked] + 9), 1), 10**6)
    run(scheduler)
    assert again.cached_tokens == cached


def test_one_that_was_preempted_finds_its_own_blocks_again_the_output_in_them_included():
    #     0        19       29       37       44       52       60
    # a   | 6      a0       a1       a2
    # b   | 7      b0       b1       | 1      b2       b3       b4
    # at 29 b needs a third block and preempts itself; at 37 the cache has 8 of its 7 + 2 tokens
    scheduler = engine(blocks=4, max_model_tokens=16)
    scheduler.add(work("a", 6, 3), 0)
    second = scheduler.add(work("b", 7, 5), 0)
    assert run(scheduler) == {"a": [19, 29, 37], "b": [19, 29, 44, 52, 60]}
    assert (second.preemptions, second.cached_tokens, scheduler.prefix_hits) == (1, 0, 0)


# Cancelling


def test_a_cancelled_request_emits_nothing_more_and_leaves_at_the_end_of_the_step():
    #     0        14       24      32
    # a   | prompt a0   x                     cancelled in the second step, which ends as planned
    # b   | prompt b0       b1      b2
    scheduler = engine()
    scheduler.add(work("a", 4, 9), 0)
    scheduler.add(work("b", 4, 3), 0)
    scheduler.advance(14_000)
    scheduler.cancel("a")
    assert (scheduler.running, scheduler.blocks_used) == (2, 4)
    assert run(scheduler) == {"b": [24, 32]}
    assert scheduler.blocks_used == 0


def test_cancelling_one_that_waits_lets_the_next_one_up():
    scheduler = engine(max_running=1)
    scheduler.add(work("a", 4, 1), 0)
    scheduler.add(work("b", 4, 1), 1_000)
    scheduler.add(work("c", 4, 1), 2_000)
    scheduler.advance(3_000)
    scheduler.cancel("b")
    assert run(scheduler) == {"a": [10], "c": [20]}


def test_cancelling_one_that_is_preempted_or_has_ended_or_never_was_is_harmless():
    scheduler = engine(blocks=4, max_model_tokens=16, prefix_caching=False)
    scheduler.add(work("a", 7, 5), 0)
    scheduler.add(work("b", 7, 5), 0)
    scheduler.advance(31_000)
    assert (scheduler.running, scheduler.waiting) == (1, 1)
    scheduler.cancel("b")
    scheduler.cancel("b")
    scheduler.cancel("nobody")
    assert list(run(scheduler)) == ["a"]
    scheduler.cancel("a")
    assert scheduler.next_ns() is None


@pytest.mark.parametrize("mode", ["batched", "independent"])
def test_an_id_may_come_again_once_it_is_gone_but_not_before(mode):
    scheduler = engine(mode=mode)
    scheduler.add(work("a", 4, 5), 0)
    with pytest.raises(ValueError, match="request a is there already"):
        scheduler.add(work("a", 4, 5), 0)
    scheduler.cancel("a")
    scheduler.add(work("a", 4, 5), 0)
    assert len(run(scheduler)["a"]) == 5
    scheduler.add(work("a", 4, 1), 10**6)
    assert len(run(scheduler)["a"]) == 1


# An engine for each


def test_independent_requests_neither_wait_nor_slow_each_other():
    #     0        10      18      26
    # a   | prompt a0      a1      a2
    # b     1         13      21
    scheduler = engine(mode="independent", max_running=1, max_step_tokens=1)
    scheduler.add(work("a", 4, 3), 0)
    progress = scheduler.add(work("b", 6, 2), 1_000)
    assert run(scheduler) == {"a": [10, 18, 26], "b": [13, 21]}
    assert us(progress) == (1, 1, 13, 21)


def test_independent_requests_share_no_cache():
    scheduler = engine(mode="independent")
    scheduler.add(work("a", range(9), 1), 0)
    progress = scheduler.add(work("b", range(9), 1), 100_000)
    run(scheduler)
    assert progress.cached_tokens == 0


def test_tokens_of_independent_requests_come_in_order_of_time():
    scheduler = engine(mode="independent", step_cv=0.5)
    for n in range(5):
        scheduler.add(work(str(n), 3, 20), n * 1_000)
    times = [token.at_ns for token in scheduler.advance(FOREVER)]
    assert times == sorted(times)
    assert len(times) == 100


# What the driver sees


def test_a_token_comes_at_its_time_and_not_before():
    scheduler = engine()
    scheduler.add(work("a", 4, 1), 0)
    assert scheduler.next_ns() == 0
    assert scheduler.advance(0) == []
    assert scheduler.next_ns() == 10_000
    assert scheduler.advance(9_999) == []
    assert scheduler.advance(10_000) == [Token("a", 0, 10_000, last=True)]
    assert scheduler.next_ns() is None


def test_gauges_tell_who_runs_who_waits_and_what_they_hold():
    scheduler = engine(max_running=1, blocks=250)
    scheduler.add(work("a", 5, 2), 0)
    scheduler.add(work("b", 5, 2), 0)
    assert (scheduler.running, scheduler.waiting, scheduler.blocks_used) == (0, 2, 0)
    scheduler.advance(0)
    assert (scheduler.running, scheduler.waiting, scheduler.blocks_used) == (1, 1, 2)
    assert scheduler.kv_usage == 2 / 250
    scheduler.advance(FOREVER)
    assert (scheduler.running, scheduler.waiting, scheduler.kv_usage) == (0, 0, 0)


def test_one_that_is_added_too_late_joins_the_next_step_that_is_not_planned_yet():
    #     0        10      18      28
    # a   | prompt a0      a1      a2         advanced to 12 before b, of 9, was added
    # b         9          |       b0
    scheduler = engine()
    scheduler.add(work("a", 4, 3), 0)
    scheduler.advance(12_000)
    progress = scheduler.add(work("b", 2, 1), 9_000)
    assert run(scheduler) == {"a": [18, 28], "b": [28]}
    assert us(progress) == (9, 18, 28, 28)


@pytest.mark.parametrize(("prompt", "output"), [((), 1), ((1,), 0)])
def test_work_of_nothing_is_refused(prompt, output):
    with pytest.raises(ValueError, match="at least one token"):
        Work("a", prompt, output, key=0)


def test_noise_does_not_depend_on_who_runs_beside():
    def durations(others):
        scheduler = engine(mode="independent", step_cv=0.4, tail_probability=0.1, tail_us=50)
        for n in range(others):
            scheduler.add(work(f"other{n}", 3, 10), n)
        scheduler.add(work("a", 3, 10), 500)
        return [token.at_ns for token in scheduler.advance(FOREVER) if token.id == "a"]

    assert durations(0) == durations(4)


@pytest.mark.parametrize("mode", ["batched", "independent"])
def test_seeds_differ_and_repeat(mode):
    def times(seed):
        scheduler = engine(seed, mode=mode, step_cv=0.4)
        scheduler.add(work("a", 3, 10), 0)
        return scheduler.advance(FOREVER)

    assert times(1) == times(1)
    assert times(1) != times(2)


# Whatever comes


@st.composite
def plans(draw):
    """A profile that is tight in all respects, and requests that fit into it, in order of arrival."""
    block_tokens = draw(st.integers(1, 4))
    profile = Profile.model_validate(
        PLAIN.model_dump()
        | {
            "mode": draw(st.sampled_from(["batched", "batched", "batched", "independent"])),
            "max_model_tokens": 16,
            "block_tokens": block_tokens,
            "blocks": -(-16 // block_tokens) + draw(st.integers(0, 8)),
            "max_running": (running := draw(st.integers(1, 4))),
            "max_step_tokens": running + draw(st.integers(0, 12)),
            "chunked_prefill": draw(st.booleans()),
            "prefix_caching": draw(st.booleans()),
            "frontend_us": draw(st.sampled_from([0, 5])),
            "step_cv": draw(st.sampled_from([0.0, 0.5])),
            "tail_probability": draw(st.sampled_from([0.0, 0.2])),
            "tail_us": 20.0,
        }
    )
    requests = []
    for n, at in enumerate(sorted(draw(st.lists(st.integers(0, 150), min_size=1, max_size=8)))):
        # two kinds of prompts, so that prefixes are shared
        prompt = tuple([draw(st.integers(0, 1))] * draw(st.integers(1, 10)))
        salt = draw(st.sampled_from(["", "", "salt"]))
        requests.append((at * 1000, Work(f"r{n}", prompt, draw(st.integers(1, 6)), draw(st.integers(0, 3)), salt)))
    return profile, requests


def carried_out(profile, requests):
    """All tokens and progress, everything added first and carried out in one go."""
    scheduler = Scheduler(profile, 0)
    progress = {work.id: scheduler.add(work, at) for at, work in requests}
    return scheduler.advance(FOREVER), progress


@given(plans())
def test_every_request_gets_its_tokens_each_once_and_in_order(plan):
    profile, requests = plan
    tokens, progress = carried_out(profile, requests)
    assert [token.at_ns for token in tokens] == sorted(token.at_ns for token in tokens)
    for _, work in requests:
        own = [token for token in tokens if token.id == work.id]
        assert [token.index for token in own] == list(range(work.output_tokens))
        assert [token.last for token in own] == [False] * (work.output_tokens - 1) + [True]
        assert all(earlier.at_ns < later.at_ns for earlier, later in itertools.pairwise(own))
        known = progress[work.id]
        assert known.generated == work.output_tokens
        assert (known.first_token_ns, known.last_token_ns) == (own[0].at_ns, own[-1].at_ns)
        assert known.arrival_ns <= known.queued_ns <= known.scheduled_ns < known.first_token_ns


@given(plans())
def test_between_any_two_steps_all_invariants_hold_and_in_the_end_all_is_free(plan):
    profile, requests = plan
    scheduler = Scheduler(profile, 0)
    for at, work in requests:
        scheduler.add(work, at)
    while (due := scheduler.next_ns()) is not None:
        scheduler.advance(due)
        scheduler.check()
    assert (scheduler.running, scheduler.waiting, scheduler.blocks_used) == (0, 0, 0)


@given(plans(), st.lists(st.integers(0, 400), max_size=30), st.booleans())
def test_it_does_not_matter_how_often_and_how_late_it_is_advanced(plan, looks, step_by_step):
    profile, requests = plan
    expected = carried_out(profile, requests)
    scheduler = Scheduler(profile, 0)
    tokens, progress, todo = [], {}, list(requests)
    for look in [*sorted(look * 1000 + 500 for look in looks), FOREVER]:
        while todo and todo[0][0] <= look:
            at, work = todo.pop(0)
            progress[work.id] = scheduler.add(work, at)
        while step_by_step and (due := scheduler.next_ns()) is not None and due < look:
            tokens += scheduler.advance(due)
        tokens += scheduler.advance(look)
    assert (tokens, progress) == expected


@given(plans(), st.randoms())
def test_the_order_of_adding_does_not_matter(plan, random):
    profile, requests = plan
    shuffled = list(requests)
    random.shuffle(shuffled)
    assert carried_out(profile, shuffled) == carried_out(profile, requests)


@given(plans())
def test_who_comes_first_is_scheduled_first(plan):
    profile, requests = plan
    _, progress = carried_out(profile, requests)
    in_order = sorted(requests, key=lambda request: (request[0], request[1].key, request[1].id))
    scheduled = [progress[work.id].scheduled_ns for _, work in in_order]
    assert scheduled == sorted(scheduled)


@given(plans())
def test_cached_tokens_are_whole_blocks_and_never_all_of_the_prompt(plan):
    profile, requests = plan
    _, progress = carried_out(profile, requests)
    for _, work in requests:
        cached = progress[work.id].cached_tokens
        assert cached % profile.block_tokens == 0
        assert cached < len(work.prompt)
        assert profile.prefix_caching or cached == 0


@given(plans(), st.data())
def test_cancelled_requests_leave_nothing_behind(plan, data):
    profile, requests = plan
    scheduler = Scheduler(profile, 0)
    for at, work in requests:
        scheduler.add(work, at)
    gone = {}
    while (due := scheduler.next_ns()) is not None:
        tokens = scheduler.advance(due)
        assert not gone.keys() & {token.id for token in tokens}
        if data.draw(st.booleans()):
            gone[data.draw(st.sampled_from(requests))[1].id] = due
            scheduler.cancel(list(gone)[-1])
        scheduler.check()
    assert (scheduler.running, scheduler.waiting, scheduler.blocks_used) == (0, 0, 0)


@given(plans())
@settings(max_examples=50)
def test_a_request_alone_does_not_depend_on_the_mode(plan):
    profile, requests = plan
    at, work = requests[0]
    alone = {"chunked_prefill": False, "max_step_tokens": 16}
    results = [
        carried_out(profile.model_copy(update={"mode": mode, **alone}), [(at, work)])
        for mode in ("batched", "independent")
    ]
    assert results[0] == results[1]


def test_plans_as_tight_as_these_do_preempt_and_do_hit_the_cache():
    # otherwise the properties above would hold of nothing
    profile = Profile.model_validate(
        PLAIN.model_dump() | {"max_model_tokens": 16, "block_tokens": 2, "blocks": 8, "max_step_tokens": 9}
    )
    requests = [(0, Work(f"r{n}", (n % 2,) * 5, 6, n)) for n in range(6)]
    _, progress = carried_out(profile, requests)
    assert sum(each.preemptions for each in progress.values()) > 0
    assert sum(each.cached_tokens for each in progress.values()) > 0


def test_progress_is_what_others_fill_in_truth_from():
    assert [field.name for field in dataclasses.fields(Progress)] == [
        "arrival_ns", "queued_ns", "scheduled_ns", "first_token_ns", "last_token_ns",
        "cached_tokens", "generated", "preemptions",
    ]  # fmt: skip


@pytest.mark.parametrize("module", ["batch", "blocks", "draws", "profile", "scheduler", "steptime", "work"])
def test_the_time_model_reads_no_clock_and_draws_from_nothing_else(module):
    text = Path(profile_module.__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    found = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)])
    }
    assert found <= {*sys.stdlib_module_names, "pydantic", "profiler"}
    assert not found & {"time", "datetime", "random", "secrets", "os", "asyncio", "socket"}


def test_the_default_profile_serves_agents_that_share_a_prompt():
    # two turns of a conversation: the second finds whole blocks of 32 of the first
    scheduler = Scheduler(load_profile("cpu-tiny"), 0)
    scheduler.add(work("a", range(1000), 20), 0)
    second = scheduler.add(work("b", range(1100), 20), 10**9)
    scheduler.advance(FOREVER)
    assert second.cached_tokens == 992
