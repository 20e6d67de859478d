"""Wire traits: names, and events cut and joined into writes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.engines.sim.traits import Traits, parse_traits, trait_names, trait_words, writes
from profiler.errors import UsageError

EVENTS = st.lists(st.binary(min_size=1, max_size=200).map(lambda data: b"data: " + data + b"\n\n"), max_size=12)
NAMED = st.lists(
    st.sampled_from(["split", "split=1", "split=7", "join=3", "join=100", "early-role", "crlf"]), max_size=3
)


@given(EVENTS, NAMED)
def test_writes_joined_are_the_events_byte_for_byte(events, names):
    done = writes(events, parse_traits(names))
    assert b"".join(done) == b"".join(events)
    assert all(done)


def test_without_traits_an_event_is_a_write():
    assert writes([b"a\n\n", b"b\n\n"], Traits()) == [b"a\n\n", b"b\n\n"]


def test_joined_events_share_a_write():
    assert writes([b"1", b"2", b"3", b"4", b"5"], Traits(join=2)) == [b"12", b"34", b"5"]


def test_a_split_event_is_cut_inside_its_data_and_inside_its_end():
    event = b"data: " + "ü".encode() * 40 + b"\n\n"
    parts = writes([event], parse_traits(["split=7"]))
    assert [len(part) for part in parts[:-2]] == [7] * (len(parts) - 2)
    assert parts[-1] == b"\n"
    with pytest.raises(UnicodeDecodeError):
        parts[0].decode()


def test_a_line_end_of_two_bytes_is_cut_in_the_middle():
    assert writes([b"data: x\r\n\r\n"], parse_traits(["split", "crlf"]))[-1] == b"\n"


@given(st.integers(1, 12), st.integers(1, 60))
def test_chunks_hold_as_many_tokens_as_told_but_for_the_last(size, tokens):
    traits = Traits(tokens_per_chunk=size)
    ends = [index + 1 for index in range(tokens) if traits.completes_chunk(index, tokens - 1)]
    lengths = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    assert sum(lengths) == tokens
    assert all(length == size for length in lengths[:-1])
    assert 1 <= lengths[-1] <= size


def test_all_traits_are_off_by_default():
    assert parse_traits([]) == Traits()


@pytest.mark.parametrize(
    ("name", "traits"),
    [
        ("early-role", Traits(early_role=True)),
        ("tokens-per-chunk=4", Traits(tokens_per_chunk=4)),
        ("reasoning", Traits(reasoning=True, reasoning_field="reasoning")),
        ("reasoning=reasoning_content", Traits(reasoning=True, reasoning_field="reasoning_content")),
        ("reasoning=hidden", Traits(reasoning=True, reasoning_field="hidden")),
        ("tool-deltas", Traits(tool_deltas=True)),
        ("keep-alive", Traits(keep_alive_s=0.5)),
        ("keep-alive=0.05", Traits(keep_alive_s=0.05)),
        ("split", Traits(split_bytes=37)),
        ("split=3", Traits(split_bytes=3)),
        ("join=4", Traits(join=4)),
        ("line-separator-text", Traits(line_separator_text=True)),
        (" crlf ", Traits(crlf=True)),
    ],
)
def test_each_trait_has_a_name(name, traits):
    assert parse_traits([name]) == traits


def test_what_is_offered_for_completion_is_understood_once_it_has_its_value():
    assert {"crlf", "tokens-per-chunk=", "keep-alive", "reasoning=hidden"} <= set(trait_words())
    for word in trait_words():
        parse_traits([f"{word}2" if word.endswith("=") else word])


def test_traits_add_up():
    assert parse_traits(["crlf", "join=2"]) == Traits(crlf=True, join=2)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nonsense",
        "crlf=1",
        "early-role=yes",
        "tokens-per-chunk",
        "tokens-per-chunk=0",
        "tokens-per-chunk=-1",
        "tokens-per-chunk=1.5",
        "join=99999",
        "join=²",
        "split=",
        "reasoning=thoughts",
        "keep-alive=0",
        "keep-alive=nan",
        "keep-alive=inf",
        "keep-alive=soon",
    ],
)
def test_anything_else_is_refused_and_the_traits_are_listed(name):
    with pytest.raises(UsageError) as caught:
        parse_traits([name])
    assert repr(name) in caught.value.message
    assert all(known in caught.value.remedy for known in trait_names())


def test_every_listed_trait_can_be_asked_for():
    for shown, what in trait_names().items():
        name = re.sub(r"\[.*\]", "", shown).replace("=N", "=2")
        assert parse_traits([name]) != Traits()
        assert what
        assert "\n" not in what
