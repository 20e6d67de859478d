"""An agent that replays a script gets the script's words, whatever the engine says and in how many chunks."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from profiler.record.protocol import CHAT, TEXT, bears_token
from profiler.record.replay import StreamRewriter, Terms, adapt_request, body_from_stream, call_ids, rewrite_body
from profiler.script import ScriptedCall, ToolCall

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
TOOLS = st.builds(ToolCall, name=WORDS, arguments=st.dictionaries(WORDS, JSON_VALUES, max_size=3))
FINISHES = st.sampled_from([None, "stop", "length", "tool_calls", "content_filter"])
SCRIPTS = st.builds(
    ScriptedCall,
    place=st.sampled_from(["", "model", "model/search[1]"]),
    content=WORDS,
    tool_calls=st.lists(TOOLS, max_size=3).map(tuple),
    output_tokens=st.integers(1, 12),
    finish_reason=FINISHES,
)


def chunk_of(*choices, **more):
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": None, "logprobs": None, **choice} for choice in choices],
        **more,
    }


DELTAS = st.sampled_from(
    [
        {"content": "word"},
        {"content": ""},
        {"content": None},
        {"reasoning_content": "hm", "content": None},
        {"tool_calls": [{"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": "{"}}]},
        {"tool_calls": [{"index": 3, "function": {"arguments": "}"}}]},
        {},
    ]
)
LAST = st.sampled_from([{}, {"content": ""}, {"content": "end"}, {"content": None}])


@st.composite
def chat_streams(draw):
    """What an engine may stream: a role first or not, any number of tokens, choices beside the first, usage last."""
    chunks = []
    if draw(st.booleans()):
        chunks.append(chunk_of({"delta": {"role": "assistant", "content": ""}}))
    several = draw(st.booleans())
    for delta in draw(st.lists(DELTAS, max_size=16)):
        choices = [{"delta": delta}]
        if several:
            choices.insert(draw(st.integers(0, 1)), {"index": 1, "delta": {"content": "another"}})
        chunks.append(chunk_of(*choices))
    chunks.append(chunk_of({"delta": draw(LAST), "finish_reason": draw(st.sampled_from(["stop", "length"]))}))
    if draw(st.booleans()):
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        chunks.append(chunk_of(usage=usage))
    return chunks


def rewritten(scripted, chunks, operation=CHAT, ordinal=1):
    rewriter = StreamRewriter(scripted, ordinal, operation)
    return [rewriter.rewrite(chunk, token=any(map(bears_token, chunk["choices"]))) for chunk in chunks]


def heard(chunks):
    """What a client makes of a stream: content, tool calls as (id, name, arguments), finish reasons."""
    content, calls, finishes = "", {}, []
    for raw in chunks:
        chunk = ChatCompletionChunk.model_validate(raw, strict=True)
        for choice in chunk.choices:
            assert choice.index == 0
            content += choice.delta.content or ""
            if choice.finish_reason:
                finishes.append(choice.finish_reason)
            for call in choice.delta.tool_calls or ():
                if call.index not in calls:
                    assert call.type == "function"
                    calls[call.index] = [call.id, call.function.name, ""]
                else:
                    assert (call.id, call.function.name) == (None, None)
                calls[call.index][2] += call.function.arguments
    return content, [tuple(calls[index]) for index in sorted(calls)], finishes


def scripted_calls(scripted, ordinal=1):
    ids = call_ids(scripted, ordinal)
    return [
        (call_id, call.name, json.dumps(call.arguments, ensure_ascii=False))
        for call_id, call in zip(ids, scripted.tool_calls, strict=True)
    ]


@settings(max_examples=90, deadline=None)
@given(SCRIPTS, chat_streams())
def test_a_client_hears_exactly_the_script_however_the_engine_cuts_it(scripted, chunks):
    before = copy.deepcopy(chunks)
    content, calls, finishes = heard(rewritten(scripted, chunks))
    assert content == scripted.content
    assert calls == scripted_calls(scripted)
    assert [json.loads(arguments) for _, _, arguments in calls] == [call.arguments for call in scripted.tool_calls]
    assert finishes == [scripted.finish]
    assert chunks == before, "the engine's chunks are not changed"


@settings(max_examples=36, deadline=None)
@given(SCRIPTS, chat_streams())
def test_what_is_not_said_in_a_choice_is_left_as_it_is(scripted, chunks):
    for given_chunk, sent in zip(chunks, rewritten(scripted, chunks), strict=True):
        assert {**sent, "choices": None} == {**given_chunk, "choices": None}
        roles = [choice["delta"].get("role") for choice in sent["choices"]]
        first = [choice for choice in given_chunk["choices"] if not choice.get("index")] or given_chunk["choices"]
        assert roles == [choice["delta"].get("role") for choice in first[:1]]


@settings(max_examples=36, deadline=None)
@given(SCRIPTS, st.integers(1, 20))
def test_after_the_kth_of_n_tokens_the_agent_has_k_nths_of_the_characters(scripted, tokens):
    chunks = rewritten(scripted, [chunk_of({"delta": {"content": "x"}}) for _ in range(tokens)])
    total = len(scripted.content) + sum(len(arguments) for _, _, arguments in scripted_calls(scripted))
    for number in range(1, tokens + 1):
        content, calls, finishes = heard(chunks[:number])
        said = len(content) + sum(len(arguments) for _, _, arguments in calls)
        assert said == total * min(number, scripted.output_tokens) // scripted.output_tokens
        assert finishes == []


@settings(max_examples=36, deadline=None)
@given(SCRIPTS, st.lists(st.text(max_size=3), max_size=14))
def test_a_text_completion_brings_the_scripts_content(scripted, texts):
    chunks = [{"id": "c", "choices": [{"index": 0, "text": text, "finish_reason": None}]} for text in texts]
    chunks.append({"id": "c", "choices": [{"index": 0, "text": "end", "finish_reason": "length"}]})
    before = copy.deepcopy(chunks)
    sent = rewritten(scripted, chunks, TEXT)
    assert "".join(chunk["choices"][0]["text"] for chunk in sent) == scripted.content
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in sent]
    assert reasons == [None] * len(texts) + [scripted.finish]
    assert chunks == before


def test_a_chunk_that_says_nothing_yet_still_has_content():
    # Some clients take a delta without content for the end.
    scripted = ScriptedCall(content="a", output_tokens=10)
    assert rewritten(scripted, [chunk_of({"delta": {"content": "x"}})])[0]["choices"][0]["delta"] == {"content": ""}


def test_the_engines_other_words_do_not_reach_the_agent():
    scripted = ScriptedCall(content="script", output_tokens=1)
    delta = {"content": "engine", "reasoning_content": "engine", "reasoning": "engine", "refusal": "engine"}
    sent = rewritten(scripted, [chunk_of({"delta": delta}), chunk_of({"delta": {}, "finish_reason": "length"})])
    assert "engine" not in json.dumps(sent)


# --- ids -------------------------------------------------------------------------------------------------


def test_ids_are_nine_letters_or_digits_and_depend_on_the_place_alone():
    tools = (ToolCall(name="a"), ToolCall(name="b"))
    one = ScriptedCall(place="model", content="x", tool_calls=tools, output_tokens=1)
    same = ScriptedCall(place="model", content="y", tool_calls=tools, output_tokens=9)
    elsewhere = ScriptedCall(place="other", tool_calls=tools, output_tokens=1)
    ids = call_ids(one, 1)
    assert all(len(one_id) == 9 and one_id.isascii() and one_id.isalnum() for one_id in ids)
    assert call_ids(same, 1) == ids
    assert len({*ids, *call_ids(one, 2), *call_ids(elsewhere, 1)}) == 6


# --- requests --------------------------------------------------------------------------------------------


def adapted(body, scripted=None, **options):
    given_body = copy.deepcopy(body)
    found = adapt_request(body, scripted, Terms(**options))
    assert body == given_body, "the agent's request is not changed"
    return found


SAYS_HI = ScriptedCall(content="hi", output_tokens=7)


def test_a_request_that_needs_nothing_is_sent_as_it_is():
    body = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
    found = adapted(body)
    assert (found.body, found.changed, found.usage_wanted) == (body, (), True)
    unstreamed = adapted({"model": "m", "messages": []})
    assert (unstreamed.body, unstreamed.changed, unstreamed.usage_wanted) == ({"model": "m", "messages": []}, (), False)


def test_a_stream_is_made_to_tell_its_usage():
    found = adapted({"stream": True, "stream_options": {"include_usage": False, "other": 1}})
    assert found.body["stream_options"] == {"include_usage": True, "other": 1}
    assert (found.changed, found.usage_wanted) == (("stream_options",), False)


@pytest.mark.parametrize("options", [None, {}])
def test_empty_stream_options_are_made_to_tell_the_usage(options):
    found = adapted({"stream": True, "stream_options": options})
    assert found.body["stream_options"] == {"include_usage": True}
    assert (found.changed, found.usage_wanted) == (("stream_options",), False)


@pytest.mark.parametrize("asked", [{}, {"stream": False}, {"stream": None}])
def test_streaming_can_be_forced(asked):
    found = adapted(asked, force_stream=True)
    assert found.body == {"stream": True, "stream_options": {"include_usage": True}}
    assert found.changed == ("stream", "stream_options")


def test_a_script_asks_for_exactly_its_number_of_tokens():
    found = adapted({"model": "m", "max_tokens": 100}, scripted=SAYS_HI)
    assert found.body == {"model": "m", "max_tokens": 7, "min_tokens": 7, "ignore_eos": True}
    assert found.changed == ("ignore_eos", "max_tokens", "min_tokens")
    newer = adapted({"model": "m", "max_completion_tokens": 100}, scripted=SAYS_HI)
    assert newer.body == found.body, "the name that every server knows"
    assert newer.changed == ("ignore_eos", "max_completion_tokens", "max_tokens", "min_tokens")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stop", ["x"]),
        ("stop_token_ids", [1]),
        ("response_format", {"type": "json_object"}),
        ("structured_outputs", {}),
        ("n", 2),
        ("best_of", 2),
        ("logit_bias", {"5": 1}),
    ],
)
def test_what_could_end_the_output_early_is_taken_out_and_named(name, value):
    found = adapted({name: value}, scripted=SAYS_HI)
    assert name not in found.body
    assert name in found.changed
    unscripted = adapted({name: value})
    assert (unscripted.body, unscripted.changed) == ({name: value}, ())


def test_tools_stay_in_the_prompt_and_are_not_to_be_chosen():
    tools = [{"type": "function", "function": {"name": "f"}}]
    found = adapted({"tools": tools, "tool_choice": "auto"}, scripted=SAYS_HI)
    assert (found.body["tools"], found.body["tool_choice"]) == (tools, "none")
    assert "tool_choice" in found.changed
    assert "tool_choice" not in adapted({"tools": []}, scripted=SAYS_HI).body


def test_a_field_that_has_the_wanted_value_already_is_not_named():
    body = {"max_tokens": 7, "min_tokens": 7, "ignore_eos": True, "tools": [{}], "tool_choice": "none"}
    found = adapted(body, scripted=SAYS_HI)
    assert (found.body, found.changed) == (body, ())


def test_the_agents_own_salt_and_seed_stay():
    found = adapted({"cache_salt": "mine", "seed": 0}, cache_salt="run", seed=5)
    assert (found.body, found.changed) == ({"cache_salt": "mine", "seed": 0}, ())
    found = adapted({"seed": None}, cache_salt="run", seed=5)
    assert (found.body, found.changed) == ({"cache_salt": "run", "seed": 5}, ("cache_salt", "seed"))


BODIES = st.dictionaries(
    st.sampled_from(
        [
            "model",
            "messages",
            "stream",
            "stream_options",
            "max_tokens",
            "max_completion_tokens",
            "min_tokens",
            "stop",
            "n",
            "tools",
            "tool_choice",
            "seed",
            "cache_salt",
            "response_format",
            "ignore_eos",
            "temperature",
        ]
    ),
    st.sampled_from([None, True, 5]),
    max_size=8,
).filter(lambda body: not isinstance(body.get("stream_options"), bool | int))


@settings(max_examples=60, deadline=None)
@given(BODIES, st.none() | st.just(SAYS_HI), st.booleans(), st.none() | st.just("s"))
def test_the_fields_that_are_named_are_those_that_differ(body, scripted, force, salt):
    found = adapted(body, scripted, force_stream=force, cache_salt=salt, seed=None)
    differ = {name for name in {*body, *found.body} if body.get(name) != found.body.get(name)}
    assert found.changed == tuple(sorted(differ))


# --- whole bodies ----------------------------------------------------------------------------------------

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


@settings(max_examples=36, deadline=None)
@given(SCRIPTS, st.integers(1, 3))
def test_a_whole_answer_has_the_scripts_words_in_one_choice(scripted, choices):
    said = {"role": "assistant", "content": "engine", "reasoning_content": "engine"}
    body = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": index, "message": said, "finish_reason": "length"} for index in range(choices)],
        "usage": USAGE,
        "metrics": {"queue_time_ms": 1},
    }
    before = copy.deepcopy(body)
    sent = rewrite_body(body, scripted, 1, CHAT)
    assert body == before
    assert {**sent, "choices": None} == {**body, "choices": None}
    (choice,) = ChatCompletion.model_validate(sent, strict=True).choices
    assert choice.message.content == (scripted.content or None)
    calls = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls or ()]
    assert calls == scripted_calls(scripted)
    assert choice.finish_reason == scripted.finish


def test_a_whole_text_completion_has_the_scripts_words():
    body = {
        "id": "c1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "text": "engine", "finish_reason": "length", "logprobs": None}],
    }
    (choice,) = Completion.model_validate(rewrite_body(body, SAYS_HI, 1, TEXT), strict=True).choices
    assert (choice.text, choice.finish_reason) == ("hi", "stop")


@pytest.mark.parametrize("body", [{"error": {"message": "x"}}, {"choices": []}, {}])
def test_a_body_without_choices_is_left_as_it_is(body):
    assert rewrite_body(body, SAYS_HI, 1, CHAT) == body


@settings(max_examples=36, deadline=None)
@given(SCRIPTS)
def test_a_streamed_and_an_unstreamed_replay_say_the_same(scripted):
    chunks = [chunk_of({"delta": {"content": "x"}}), chunk_of({"delta": {}, "finish_reason": "length"})]
    content, calls, (finish,) = heard(rewritten(scripted, chunks))
    numbered = [dict(zip(("id", "name", "arguments"), call, strict=True)) for call in calls]
    assembled = body_from_stream(chunks[-1], content, numbered, finish, USAGE)
    ChatCompletion.model_validate(assembled, strict=True)
    whole = rewrite_body({**assembled, "choices": [{"index": 0, "logprobs": None}]}, scripted, 1, CHAT)
    assert assembled == whole
