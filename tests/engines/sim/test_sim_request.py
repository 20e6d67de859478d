"""What a request is, in no dialect's words."""

import dataclasses

import pytest
from sim_asks import SPENT, ask

from profiler.engines.sim.request import BadRequest


def test_a_key_depends_on_the_content_and_the_seed_but_not_on_the_id():
    assert ask(id="1").key() == ask(id="2").key()
    assert ask(cache_salt="a").key() == ask(cache_salt="b").key()
    assert ask("a").key() != ask("b").key()
    assert ask(seed=1).key() != ask(seed=2).key() != ask().key()
    assert 0 <= ask().key() < 2**64


def test_a_length_is_forced_only_if_the_model_cannot_stop():
    assert ask(max_tokens=5).forced_tokens is None
    assert ask(max_tokens=5, ignore_eos=True).forced_tokens == 5
    assert ask(max_tokens=None, ignore_eos=True).forced_tokens is None


def test_what_was_spent_adds_up():
    assert SPENT.total_ns == 1_999_999 + 2_500_000 + 10_000_000 + 30_000_000


def test_a_request_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ask().id = "other"


def test_a_refusal_is_vllms_400_unless_it_says_otherwise():
    error = BadRequest("no")
    assert (str(error), error.status, error.type, error.param) == ("no", 400, "BadRequestError", None)
