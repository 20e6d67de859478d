"""Rendering and tokenising: what a prefix cache relies on."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_asks import SEARCH, SQL

from profiler.engines.sim.prompt import content_text, render, split, tokenise

ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": st.text(max_size=40)}), min_size=1, max_size=6)
GENERATION = "<|im_start|>assistant\n"


@given(MESSAGES, st.integers(0, 6), st.booleans())
def test_a_longer_conversation_begins_with_the_text_and_the_tokens_of_the_shorter(messages, count, tools):
    listed = [SEARCH] if tools else []
    short = render(messages[:count], listed).removesuffix(GENERATION)
    whole = render(messages, listed)
    assert whole.startswith(short)
    assert tokenise(whole)[: len(tokenise(short))] == tokenise(short)


@given(st.text(max_size=200))
def test_pieces_joined_are_the_text(text):
    assert "".join(split(text)) == text


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=200))
def test_text_and_bytes_are_cut_alike(text):
    assert len(split(text)) == len(tokenise(text))
    assert [tokenise(piece)[0] for piece in split(text)] == list(tokenise(text))


def test_a_token_is_about_four_characters():
    text = "You answer questions about Marlow Fieldworks, a maker of weather stations and soil probes. " * 20
    assert 3.5 < len(text) / len(tokenise(text)) < 5
    assert 3.5 < len(text) / len(split(text)) < 5


def test_ids_are_the_same_in_another_process():
    code = "from profiler.engines.sim.prompt import tokenise; print(list(tokenise('Hello, wörld 42!')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(list(tokenise("Hello, wörld 42!")))


def test_tools_are_part_of_the_prompt_in_their_own_order():
    text = render([{"role": "user", "content": "hi"}], [SEARCH, SQL])
    assert text.index('"search"') < text.index('"sql"') < text.index("hi")
    assert render([], [{"b": 1, "a": 2}]) != render([], [{"a": 2, "b": 1}])


def test_tool_calls_and_their_results_are_part_of_the_prompt():
    call = {"id": "1", "type": "function", "function": {"name": "search", "arguments": '{"query": "x"}'}}
    text = render(
        [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": "28 days"}]
    )
    assert '"search"' in text
    assert "<|im_start|>tool\n28 days<|im_end|>\n" in text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("a", "a"),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "image_url", "image_url": {"url": "x"}}], "<image_url>"),
        ([{"type": "refusal", "refusal": "no"}], "no"),
        ([{}], "<None>"),
    ],
)
def test_content_is_text_or_parts(content, text):
    assert content_text(content) == text


@pytest.mark.parametrize("content", [1, {"text": "a"}, ["a"]])
def test_other_content_is_refused(content):
    with pytest.raises(TypeError):
        content_text(content)


def test_tools_that_are_nested_too_deeply_are_refused_and_do_not_crash():
    deep = {}
    for _ in range(2000):
        deep = {"a": deep}
    with pytest.raises(TypeError):
        render([], [deep])
