"""Chunks that are compared instead of parsed say what parsing them would have said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.record.pattern import Pattern


def block(text, *, ascii_only=True, spaced=False, **more):
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}
    separators = (", ", ": ") if spaced else (",", ":")
    return b"data: " + json.dumps(chunk, ensure_ascii=ascii_only, separators=separators).encode() + b"\n\n"


def learnt(example):
    pattern = Pattern()
    pattern.learn(example)
    return pattern


@given(st.text(max_size=20), st.text(max_size=20), st.booleans(), st.booleans())
def test_a_text_is_told_as_parsing_tells_it_or_not_at_all(first, second, ascii_only, spaced):
    pattern = learnt(block(first, ascii_only=ascii_only, spaced=spaced))
    assert pattern.text_of(block(second, ascii_only=ascii_only, spaced=spaced)) in (second, None)


@pytest.mark.parametrize("spaced", [False, True])
def test_plain_words_need_no_parsing(spaced):
    pattern = learnt(block("one", spaced=spaced))
    assert pattern.text_of(block(" two", spaced=spaced)) == " two"
    assert pattern.text_of(block("größer 😀", ascii_only=False, spaced=spaced)) == "größer 😀"


@pytest.mark.parametrize(
    "other",
    [
        block('a"b'),
        block("a\\b"),
        block("a\nb"),
        block("a").replace(b':"a"', b':"a\nb"'),
        block(""),
        block("one", usage={"completion_tokens": 1}),
        block("one").replace(b'"c"', b'"d"'),
        block("one").replace(b"null", b'"stop"'),
        block("one") + block("two"),
        block("one")[:-1],
        b": comment\n" + block("one"),
        block("one").replace(b"one", b"\xff"),
        b"data: [DONE]\n\n",
        b"",
    ],
)
def test_anything_else_is_left_to_be_parsed(other):
    assert learnt(block("one")).text_of(other) is None


def test_a_delta_that_is_not_where_it_seems_is_not_learnt():
    elsewhere = b'data: {"x":{"content":"one"},"choices":[{"delta":{"content" : "one"}}]}\n\n'
    assert learnt(elsewhere).text_of(elsewhere) is None


@given(st.text(max_size=30))
def test_another_text_in_the_form_is_what_an_encoder_would_have_sent(text):
    made = learnt(block("one")).with_members(b'"content":' + json.dumps(text).encode())
    assert json.loads(made[6:]) == json.loads(block(text)[6:])
    assert made.endswith(b"\n\n")


def test_forms_that_never_last_are_no_longer_looked_for():
    pattern = Pattern()
    for number in range(10):
        pattern.learn(block("one", n=number))
    assert pattern.text_of(block("one", n=9)) is None


def test_a_form_that_changes_now_and_then_is_learnt_anew():
    pattern = Pattern()
    for second in range(10):
        pattern.learn(block("one", created=second))
        assert pattern.text_of(block("two", created=second)) == "two"


@pytest.mark.parametrize("spaced", [False, True])
def test_other_members_take_the_place_of_the_text(spaced):
    call = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x": "\u00e9\\n"}'}}]}
    form = block("one", spaced=spaced)
    made = json.loads(learnt(form).with_members(json.dumps(call).encode()[1:-1]).removeprefix(b"data: "))
    expected = json.loads(form.removeprefix(b"data: "))
    expected["choices"][0]["delta"].pop("content")
    expected["choices"][0]["delta"] |= call
    assert made == expected
