"""The comparison of an answer with its specification finds what differs."""

from __future__ import annotations

import pytest
from exchange_docs import exchanges, stream_unlike, unlike

CHUNK = {"id": "a", "object": "chunk", "choices": [{"delta": {"content": "Hi"}, "finish_reason": None}]}


def chunk(**changes):
    return {**CHUNK, **changes}


def test_other_values_of_the_same_type_are_the_same_shape():
    assert unlike(CHUNK, {**CHUNK, "id": "b", "choices": CHUNK["choices"] * 2}) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"id": "a", "object": "chunk"}, "'choices' is missing"),
        (chunk(metrics={}), "'metrics' is not specified"),
        (chunk(id=None), "id: None where 'a' is specified"),
        (chunk(id=1), "id: 1 where"),
        (chunk(object="other"), "object: 'other' instead of 'chunk'"),
        (chunk(choices=[]), "0 items instead of 1"),
        (chunk(choices=[{"delta": {"content": 3}, "finish_reason": None}]), "choices[0].delta.content: 3 where"),
        (chunk(choices=[{"delta": {"content": "x"}, "finish_reason": "stop"}]), "finish_reason: 'stop' where None"),
    ],
)
def test_what_differs_is_told_with_its_place(found, said):
    assert any(said in each for each in unlike(CHUNK, found)), unlike(CHUNK, found)


def test_what_is_exact_has_to_be_equal():
    assert unlike({"error": {"code": "a"}}, {"error": {"code": "b"}}) == []
    assert unlike({"error": {"code": "a"}}, {"error": {"code": "b"}}, ("error.code",)) != []


@pytest.mark.parametrize(("count", "whole"), [(1, True), (3, True), (0, False)])
def test_what_is_repeated_comes_at_least_once(count, whole):
    spec = [{"repeated": [{"text": "a"}]}, {"data": {"done": True}}]
    assert (stream_unlike(spec, [{"text": "b"}] * count + [{"done": True}]) == []) is whole


@pytest.mark.parametrize("found", [[{"text": "b"}], [{"text": "b"}, {"done": True}, {"done": True}], [{"done": True}]])
def test_a_stream_ends_as_specified(found):
    assert stream_unlike([{"repeated": [{"text": "a"}]}, {"data": {"done": True}}], found) != []


def test_an_event_of_another_shape_among_those_that_repeat_is_told():
    spec = [{"repeated": [{"text": "a"}]}, {"data": {"done": True}}]
    assert any("event 1" in each for each in stream_unlike(spec, [{"text": "b"}, {"text": None}, {"done": True}]))


@pytest.mark.parametrize("exchange", exchanges(), ids=lambda each: f"{each.dialect}-{each.name}")
def test_every_exchange_says_what_it_shows_and_where_it_is_specified(exchange):
    assert exchange.data["about"].endswith(".")
    assert exchange.data["source"].startswith("https://")
    assert len({"stream", "body", "text"} & set(exchange.response)) == 1
    spec = exchange.response
    if "body" in spec:
        assert unlike(spec["body"], spec["body"], exchange.exact) == []
