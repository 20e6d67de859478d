"""What the engine says to whom."""

import dataclasses
import json
import random

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_asks import TOOLS, ask, asks_for_tools

from profiler.engines.sim.prompt import split
from profiler.engines.sim.request import Tool
from profiler.engines.sim.speech import answer, rounds_of
from profiler.engines.sim.traits import Traits

SEEDS = st.integers(0, 2**63)
TEXTS = st.text(max_size=30)
REASONING = Traits(reasoning=True)


def asks_with(rounds, seed=0, **fields):
    """A request whose chain has so many rounds."""
    text = next(f"task {number}" for number in range(1000) if rounds_of(f"task {number}", seed) == rounds)
    return asks_for_tools(text, **fields)


def calls_of(said):
    return [(use.name, json.loads(said.text("tool", index))) for index, use in enumerate(said.tools)]


# --- the same, every time --------------------------------------------------------------------------------


@given(TEXTS, SEEDS, st.integers(0, 5))
def test_an_answer_depends_on_content_and_seed_alone(text, seed, turns):
    asked = asks_for_tools(text, assistant_turns=turns)
    first = answer(asked, seed)
    answer(ask("something else"), seed)
    random.seed(1)
    assert answer(dataclasses.replace(asked, id="another", cache_salt="x"), seed) == first


def test_another_seed_of_the_engine_or_the_request_gives_another_answer():
    assert answer(ask(), 1) != answer(ask(), 2)
    assert answer(ask(seed=1), 1) != answer(ask(seed=2), 1) != answer(ask(), 1)


# --- words -----------------------------------------------------------------------------------------------


@given(TEXTS, SEEDS)
def test_words_are_15_to_60_tokens_and_end_a_sentence(text, seed):
    said = answer(ask(text), seed)
    assert 15 <= len(said.pieces) <= 60
    assert said.finish == "stop"
    assert said.text()[0].isupper()
    assert said.text().endswith(".")
    assert ".." not in said.text()
    assert split(said.text()) == [piece.text for piece in said.pieces]


@given(TEXTS, st.integers(1, 200))
def test_a_limit_cuts_and_says_so(text, limit):
    whole = answer(ask(text), 0)
    said = answer(ask(text, max_tokens=limit), 0)
    assert said.pieces == whole.pieces[:limit]
    assert said.finish == ("length" if len(whole.pieces) > limit else "stop")


@given(TEXTS, st.integers(0, 200))
def test_an_answer_is_not_shorter_than_the_least(text, least):
    for asked in (ask(text), asks_for_tools(text), ask(text, schema={})):
        said = answer(dataclasses.replace(asked, min_tokens=least), 0)
        assert len(said.pieces) >= least
        assert all(arguments is not None for _, arguments in calls_of(said))


@pytest.mark.parametrize("operation", ["chat", "completion", "generate"])
@given(st.integers(1, 300), SEEDS, st.booleans(), st.booleans())
def test_a_forced_length_is_met_exactly(operation, length, seed, reasoning, separators):
    traits = Traits(reasoning=reasoning, line_separator_text=separators)
    for fields in ({}, {"tools": TOOLS, "tool_choice": "required"}, {"schema": {}}, {"stop": ("e",)}):
        asked = ask(operation=operation, max_tokens=length, min_tokens=length, ignore_eos=True, **fields)
        said = answer(asked, seed, traits)
        assert len(said.pieces) == length
        assert (said.finish, said.tools) == ("length", ())


def test_an_answer_that_cannot_stop_ends_somewhere():
    assert len(answer(ask(max_tokens=None, ignore_eos=True), 0).pieces) == 2048


def test_a_stop_string_ends_the_text_before_it():
    whole = answer(ask(), 0).text()
    stop = whole[20:23]
    said = answer(ask(stop=("not in it", stop)), 0)
    assert said.text() == whole[: whole.index(stop)]
    assert (said.finish, said.stop_text) == ("stop", stop)
    later = answer(ask(stop=(stop,), min_tokens=12), 0)
    assert stop in later.text() or len(later.text()) > 23


def test_a_stop_string_at_the_very_beginning_leaves_one_token_without_text():
    first = answer(ask(), 0).text()[0]
    said = answer(ask(stop=(first,)), 0)
    assert [piece.text for piece in said.pieces] == [""]


# --- tools -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
def test_a_chain_calls_tools_for_its_rounds_and_then_answers(rounds):
    asked = asks_with(rounds)
    for turn in range(rounds):
        said = answer(dataclasses.replace(asked, assistant_turns=turn, prompt_text=f"turn {turn}"), 0)
        assert said.finish == "tool_calls"
        assert 1 <= len(said.tools) <= 2
    for turn in (rounds, rounds + 1, 50):
        said = answer(dataclasses.replace(asked, assistant_turns=turn), 0)
        assert (said.finish, said.tools) == ("stop", ())
        assert said.text()


def test_the_number_of_rounds_varies_with_the_first_text_and_the_seed():
    assert {rounds_of(str(number), 0) for number in range(100)} == {1, 2, 3, 4}
    assert {rounds_of("the same", seed) for seed in range(100)} == {1, 2, 3, 4}


def test_sometimes_two_tools_are_called_at_once_unless_that_is_forbidden():
    counts = [len(answer(asks_for_tools(f"{n}"), 0).tools) for n in range(100)]
    assert 10 < counts.count(2) < 45
    alone = [len(answer(asks_for_tools(f"{n}", parallel_tool_calls=False), 0).tools) for n in range(100)]
    assert set(alone) == {1}


@given(TEXTS, SEEDS)
def test_arguments_conform_and_ids_are_distinct(text, seed):
    said = answer(asks_for_tools(text), seed)
    schemas = {tool.name: tool.parameters for tool in TOOLS}
    for name, arguments in calls_of(said):
        jsonschema.validate(arguments, schemas[name])
    ids = [use.id for use in said.tools]
    assert len(set(ids)) == len(ids) >= 1
    assert all(one.startswith("chatcmpl-tool-") and len(one) == 46 for one in ids)


def test_with_auto_some_words_come_before_the_call():
    said = answer(asks_for_tools(), 0)
    kinds = [piece.kind for piece in said.pieces]
    assert kinds == sorted(kinds)  # content, then tool
    assert said.text().endswith(".")
    assert 3 <= kinds.count("content") <= 12


def test_required_always_calls_a_tool_and_says_nothing_else():
    said = answer(asks_for_tools(tool_choice="required", assistant_turns=99), 0)
    assert said.tools
    assert said.text() == ""
    assert said.finish == "tool_calls"


def test_a_named_tool_is_called_and_finishes_with_stop():
    for number in range(10):
        said = answer(asks_for_tools(f"{number}", tool_choice="sql", named_tool=True, assistant_turns=9), 0)
        assert [use.name for use in said.tools] == ["sql"]
        assert said.finish == "stop"


def test_a_tool_that_is_called_like_a_word_of_the_protocol_is_no_choice():
    tools = (Tool("auto", {}), Tool("other", {}))
    names = {answer(ask(f"{n}", tools=tools, tool_choice="auto"), 0).tools[0].name for n in range(30)}
    assert names == {"auto", "other"}


def test_none_gives_words():
    assert answer(asks_for_tools(tool_choice="none"), 0).tools == ()


def test_a_tool_whose_schema_is_no_object_gets_an_empty_one():
    assert calls_of(answer(ask(tools=(Tool("f", {"type": "string"}),), tool_choice="required"), 0))[0] == ("f", {})


@given(st.integers(1, 60))
def test_a_limit_cuts_tool_calls_too(limit):
    whole = answer(asks_for_tools("x"), 0)
    said = answer(asks_for_tools("x", max_tokens=limit), 0)
    assert said.pieces == whole.pieces[:limit]
    begun = {piece.tool for piece in said.pieces if piece.kind == "tool"}
    assert len(said.tools) == len(begun)
    assert (said.finish == "length") == (limit < len(whole.pieces))


def test_the_first_piece_of_a_call_stands_for_its_name():
    said = answer(asks_for_tools(), 0)
    first = next(piece for piece in said.pieces if piece.kind == "tool")
    assert first.text == ""


# --- JSON ------------------------------------------------------------------------------------------------


def test_a_schema_gives_text_that_conforms():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    for seed in range(10):
        jsonschema.validate(json.loads(answer(ask(schema=schema), seed).text()), schema)


def test_any_json_object_will_do_where_no_schema_is_given():
    assert isinstance(json.loads(answer(ask(schema={}), 0).text()), dict)


def test_json_of_a_forced_length_is_followed_by_blanks():
    text = answer(ask(schema={}, max_tokens=100, ignore_eos=True), 0).text()
    assert json.loads(text)


# --- traits ----------------------------------------------------------------------------------------------


def test_reasoning_comes_first_and_counts():
    said = answer(ask(), 0, REASONING)
    kinds = [piece.kind for piece in said.pieces]
    assert kinds == sorted(kinds, reverse=True)  # reasoning, then content
    assert 8 <= kinds.count("reasoning") <= 24
    assert said.text("reasoning").endswith(".")


def test_reasoning_comes_before_tool_calls_too():
    said = answer(asks_for_tools(), 0, REASONING)
    assert said.pieces[0].kind == "reasoning"
    assert said.tools


def test_there_is_no_reasoning_outside_chats():
    assert answer(ask(operation="completion"), 0, REASONING).text("reasoning") == ""


def test_separators_are_in_the_text_but_not_in_arguments():
    traits = Traits(line_separator_text=True)
    text = answer(ask(), 0, traits).text()
    assert "\u2028" in text
    assert "\x85" in text
    said = answer(asks_for_tools(), 0, traits)
    assert calls_of(said)[0][1]
    assert "\u2028" not in said.text("tool")


# --- TGI -------------------------------------------------------------------------------------------------


def test_under_a_grammar_a_tool_call_has_no_words_before_it():
    assert answer(asks_for_tools(grammar_tools=True), 0).text() == ""


def test_under_a_grammar_words_cost_a_generation_that_is_thrown_away():
    assert answer(asks_for_tools(grammar_tools=True, assistant_turns=9), 0).hidden_tokens > 0
    assert answer(asks_for_tools(grammar_tools=True), 0).hidden_tokens == 0
    assert answer(ask(grammar_tools=True), 0).hidden_tokens == 0
    assert answer(asks_for_tools(assistant_turns=9), 0).hidden_tokens == 0
