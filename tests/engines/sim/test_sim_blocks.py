"""KV blocks and the prefix cache, rule by rule, and under arbitrary use."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from profiler.engines.sim.blocks import Blocks, output_digest, prompt_digests

A, B, C, D = b"a", b"b", b"c", b"d"


def held(blocks, digests, size=None):
    """What a sequence with these full blocks holds."""
    prefix = digests[: blocks.found(digests)]
    holding = blocks.open(prefix, size or len(digests))
    blocks.offer(holding, digests[len(prefix) :])
    return holding


def test_a_prefix_is_found_while_another_sequence_holds_it_and_takes_no_room_twice():
    blocks = Blocks(4, caching=True)
    first = held(blocks, [A, B])
    assert blocks.found([A, B, C]) == 2
    second = held(blocks, [A, B, C])
    assert blocks.used == 3
    blocks.check([first, second])


def test_a_prefix_is_found_after_its_last_holder_is_gone():
    blocks = Blocks(4, caching=True)
    blocks.close(held(blocks, [A, B]))
    assert (blocks.used, blocks.cached) == (0, 2)
    assert blocks.found([A, B]) == 2


def test_only_a_prefix_counts_as_found():
    blocks = Blocks(4, caching=True)
    blocks.close(held(blocks, [A]))
    assert blocks.found([B, A]) == 0


def test_without_caching_nothing_is_found():
    blocks = Blocks(4, caching=False)
    holding = held(blocks, [A, B])
    assert blocks.found([A, B]) == 0
    blocks.check([holding])


def test_room_that_the_cache_does_not_need_is_taken_first():
    # A and B are free but known; two more blocks are blank
    blocks = Blocks(4, caching=True)
    blocks.close(held(blocks, [A, B]))
    blocks.open([], 2)
    assert blocks.found([A, B]) == 2


def test_what_was_free_for_the_longest_is_evicted_first():
    # freed: A, then B, then C; A is used again in between, so that B is the oldest
    blocks = Blocks(3, caching=True)
    first, second, third = held(blocks, [A]), held(blocks, [B]), held(blocks, [C])
    for holding in (first, second, third):
        blocks.close(holding)
    blocks.close(held(blocks, [A]))
    blocks.open([], 1)
    assert [blocks.found([digest]) for digest in (A, B, C)] == [1, 0, 1]


def test_of_one_sequence_the_deepest_block_is_evicted_first():
    blocks = Blocks(3, caching=True)
    blocks.close(held(blocks, [A, B, C]))
    blocks.open([], 1)
    assert blocks.found([A, B, C]) == 2


def test_a_free_block_of_the_prefix_is_no_room_for_the_rest():
    # A is free and would have to be both kept and evicted
    blocks = Blocks(2, caching=True)
    blocks.close(held(blocks, [A]))
    assert blocks.open([A], 3) is None
    assert blocks.open([A], 2) is not None


def test_a_sequence_that_gets_no_room_keeps_what_it_has():
    blocks = Blocks(3, caching=True)
    first, other = held(blocks, [A]), held(blocks, [B])
    assert not blocks.grow(first, 3)
    assert len(first) == 1
    assert blocks.grow(first, 2)
    blocks.check([first, other])


def test_a_block_that_is_known_already_stays_the_own_one_of_who_computed_it_again():
    blocks = Blocks(4, caching=True)
    first = held(blocks, [A])
    again = blocks.open([], 1)
    blocks.offer(again, [A])
    assert blocks.used == 2
    blocks.close(first)
    assert blocks.found([A]) == 1
    blocks.close(again)
    assert (blocks.used, blocks.cached) == (0, 1)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), st.integers(1, 5))
def test_only_full_blocks_of_a_prompt_have_digests(prompt, block_tokens):
    assert len(prompt_digests(prompt, block_tokens, "")) == len(prompt) // block_tokens


def test_a_digest_covers_everything_before_it_and_the_salt():
    base = prompt_digests([1, 2, 3, 4], 2, "")
    assert prompt_digests([1, 2, 3, 4, 5], 2, "") == base
    assert prompt_digests([1, 2, 3, 5], 2, "")[0] == base[0]
    assert prompt_digests([1, 2, 3, 5], 2, "")[1] != base[1]
    assert prompt_digests([0, 2, 3, 4], 2, "")[1] != base[1]
    assert not set(prompt_digests([1, 2, 3, 4], 2, "salt")) & set(base)


@pytest.mark.parametrize("other", [{"prompt": (1, 2, 4)}, {"salt": "x"}, {"key": 8}, {"parent": B}])
def test_output_blocks_differ_with_the_prompt_the_salt_the_key_and_what_is_before(other):
    same = {"parent": A, "prompt": (1, 2, 3), "salt": "", "key": 7}
    if "salt" in other:  # it is in the parent, where there is one
        same["parent"] = None
    assert output_digest(**same, block_tokens=2) == output_digest(**same, block_tokens=2)
    assert output_digest(**same, block_tokens=2) != output_digest(**(same | other), block_tokens=2)


class AnyUse(RuleBasedStateMachine):
    """Sequences with random prefixes come, grow, become known and go; blocks are never lost."""

    def __init__(self):
        super().__init__()
        self.blocks = Blocks(6, caching=True)
        self.live = []  # pairs of a holding and its sequence's digests

    @rule(start=st.sampled_from([A, B]), depth=st.integers(1, 7))
    def come(self, start, depth):
        digests = [start * (n + 1) for n in range(depth)]
        prefix = digests[: self.blocks.found(digests)]
        kept = set(prefix).union(*(holding.known for holding, _ in self.live))
        taken = len(kept) + sum(holding.unknown for holding, _ in self.live)
        fits = taken + depth - len(prefix) <= self.blocks.total
        holding = self.blocks.open(prefix, depth)
        assert (holding is not None) == fits
        if holding is not None:
            assert len(holding) == depth
            self.live.append((holding, digests))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), more=st.integers(0, 3))
    def grow(self, data, more):
        holding, _ = data.draw(st.sampled_from(self.live))
        free = self.blocks.total - self.blocks.used
        before = len(holding)
        assert self.blocks.grow(holding, before + more) == (more <= free)
        assert len(holding) == before + (more if more <= free else 0)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def become_known(self, data):
        holding, digests = data.draw(st.sampled_from(self.live))
        new = digests[holding.offered : len(holding)]
        self.blocks.offer(holding, new)
        assert all(self.blocks.found([digest]) for digest in new)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def go(self, data):
        holding, _ = self.live.pop(data.draw(st.integers(0, len(self.live) - 1)))
        self.blocks.close(holding)

    @invariant()
    def nothing_is_lost(self):
        self.blocks.check([holding for holding, _ in self.live])
        assert self.live or self.blocks.used == 0


AnyUse.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestAnyUse = AnyUse.TestCase
