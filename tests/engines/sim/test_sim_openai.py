"""The OpenAI dialect as vLLM speaks it, read by the profiler's own protocol code where it can be."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_asks import SEARCH, SERVED, SPENT, SQL, TOOLS, ask, asks_for_tools, chunks, user

from profiler.engines.sim import openai
from profiler.engines.sim.openai_request import parse_chat, parse_completion
from profiler.engines.sim.request import BadRequest, Served, Spent
from profiler.engines.sim.speech import Answer, Piece, answer
from profiler.engines.sim.traits import Traits
from profiler.record.protocol import Reply
from profiler.record.sse import Decoder
from profiler.record.timing import vllm_timing

PLAIN = Traits()
CALL = (Piece("tool", ""), Piece("tool", '{"a'), Piece("tool", '": 1}'))


def words(*texts, finish="stop"):
    return Answer(tuple(Piece("content", text) for text in texts), finish=finish)


def stream_of(asked, said, traits=PLAIN, fingerprint=None):
    return openai.Stream(asked, said, created=7, fingerprint=fingerprint, traits=traits)


def whole(asked, said, traits=PLAIN, spent=SPENT):
    """All events, in chunks as the traits want them."""
    stream = stream_of(asked, said, traits)
    events = stream.opening()
    last, begin = len(said.pieces) - 1, 0
    for index in range(last + 1):
        if traits.completes_chunk(index, last):
            events += stream.tokens(begin, index + 1)
            begin = index + 1
    return events + stream.closing(spent)


def read(events):
    """What the profiler's recorder understands of the bytes."""
    reply = Reply()
    for event in Decoder().feed(b"".join(events)):
        if event.data == b"[DONE]":
            reply.done = True
        else:
            reply.take_chunk(orjson.loads(event.data), len(reply.token_times_ns))
    return reply


# --- streams, field by field -----------------------------------------------------------------------------


def test_a_stream_is_vllms_field_by_field():
    events = chunks(whole(ask(id="chatcmpl-9"), words("Hi", " there")))
    about = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    nothing = {"logprobs": None, "finish_reason": None}
    assert events == [
        {
            **about,
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, **nothing}],
            "prompt_token_ids": None,
            "prompt_text": None,
        },
        {**about, "choices": [{"index": 0, "delta": {"content": "Hi"}, **nothing, "token_ids": None}]},
        {
            **about,
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": " there"},
                    "logprobs": None,
                    "finish_reason": "stop",
                    "stop_reason": None,
                    "token_ids": None,
                }
            ],
        },
        "[DONE]",
    ]


def test_a_completion_stream_is_vllms_field_by_field():
    events = chunks(whole(ask(id="cmpl-9", operation="completion"), words("Hi", " there", finish="length")))
    about = {"id": "cmpl-9", "object": "text_completion", "created": 7, "model": "m"}
    rest = {"stop_reason": None, "prompt_token_ids": None, "token_ids": None}
    assert events == [
        {**about, "choices": [{"index": 0, "text": "Hi", "logprobs": None, "finish_reason": None, **rest}]},
        {**about, "choices": [{"index": 0, "text": " there", "logprobs": None, "finish_reason": "length", **rest}]},
        "[DONE]",
    ]


def test_the_usage_chunk_has_no_choices_and_vllms_own_timing():
    asked = ask(include_usage=True)
    last, done = chunks(stream_of(asked, words("a", "b", "c", "d")).closing(SPENT))
    prompt = len(asked.prompt)
    assert done == "[DONE]"
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": prompt,
        "total_tokens": prompt + 4,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    assert last["metrics"] == {
        "time_to_first_token_ms": 10.0,
        "generation_time_ms": 30.0,
        "queue_time_ms": 2.5,
        "mean_itl_ms": 10.0,
        "tokens_per_second": 100.0,
    }


def test_the_profiler_reads_the_timing_back_to_the_nanosecond():
    spent = Spent(queue_ns=123_456_789, prefill_ns=98_765_433, decode_ns=1_234_567_891)
    reply = read(whole(ask(include_usage=True), words("a", "b"), spent=spent))
    timing = vllm_timing(reply.metrics)
    assert (timing.queue_ns, timing.prefill_ns, timing.decode_ns) == (123_456_789, 98_765_433, 1_234_567_891)


def test_one_token_has_no_generation_time():
    asked, said = ask(include_usage=True), words("a")
    spent = Spent(queue_ns=1, prefill_ns=2, decode_ns=0)
    metrics = openai.metrics_of(asked, said, spent)
    assert metrics["generation_time_ms"] is None
    assert metrics["mean_itl_ms"] is None
    streamed = chunks(stream_of(asked, said).closing(spent))[0]["metrics"]
    assert "generation_time_ms" not in streamed
    assert vllm_timing(streamed).decode_ns == 0


def test_without_usage_asked_for_there_is_no_usage():
    assert not any("usage" in chunk for chunk in chunks(whole(ask(), words("a", "b")))[:-1])


def test_continuous_usage_counts_with_the_tokens():
    asked = ask(include_usage=True, continuous_usage=True)
    prompt = len(asked.prompt)
    counted = [chunk["usage"]["completion_tokens"] for chunk in chunks(whole(asked, words("a", "b", "c")))[:-1]]
    assert counted == [0, 1, 2, 3, 3]
    assert all(chunk["usage"]["prompt_tokens"] == prompt for chunk in chunks(whole(asked, words("a")))[:-1])


def test_the_fingerprint_is_in_the_final_chunk_only():
    def marked(asked):
        stream = stream_of(asked, words("a", "b"), fingerprint="fp")
        events = [*stream.opening(), *stream.tokens(0, 1), *stream.tokens(1, 2), *stream.closing(SPENT)]
        return ["system_fingerprint" in chunk for chunk in chunks(events)]

    assert marked(ask()) == [False, False, True, False]
    assert marked(ask(include_usage=True)) == [False, False, False, True, False]


def test_several_choices_say_the_same_and_have_no_timing():
    asked = ask(n=3, include_usage=True)
    events = chunks(whole(asked, words("a", "b")))
    assert [chunk["choices"][0]["index"] for chunk in events[:9]] == [0, 1, 2] * 3
    assert events[9]["usage"]["completion_tokens"] == 6
    assert "metrics" not in events[9]
    body = openai.body_of(asked, words("a", "b"), SPENT, created=7)
    assert [choice["message"]["content"] for choice in body["choices"]] == ["ab"] * 3
    assert body["metrics"] is None


def test_a_stop_string_is_named():
    said = Answer((Piece("content", "a"),), stop_text="END")
    assert chunks(whole(ask(), said))[1]["choices"][0]["stop_reason"] == "END"
    assert openai.body_of(ask(), said, SPENT, created=7)["choices"][0]["stop_reason"] == "END"


def test_lines_end_with_crlf_where_that_is_the_trait():
    for event in whole(ask(include_usage=True), words("a", "b"), Traits(crlf=True)):
        assert event.endswith(b"\r\n\r\n")
        assert event.count(b"\n") == 2


def test_odd_text_survives():
    odd = 'a "quote"\n\u2028\x85 ü 🙂 \\ \x00'
    reply = read(whole(ask(), words(odd, odd)))
    assert "".join(reply.content) == odd * 2


# --- tools and reasoning ---------------------------------------------------------------------------------


def test_a_tool_call_comes_at_once_when_it_is_complete():
    said = answer(asks_for_tools(), 0)
    events = chunks(whole(asks_for_tools(), said))[:-1]
    deltas = [chunk["choices"][0]["delta"] for chunk in events]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert len(calls) == len(said.tools)
    for index, (call, use) in enumerate(zip(calls, said.tools, strict=True)):
        function = {"name": use.name, "arguments": said.text("tool", index)}
        assert call == {"id": use.id, "type": "function", "index": index, "function": function}
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert "tool_calls" in deltas[-1]


def test_tokens_of_a_call_that_is_held_back_send_nothing():
    said = answer(asks_for_tools(parallel_tool_calls=False, tool_choice="required"), 0)
    stream = stream_of(asks_for_tools(), said)
    sent = [len(stream.tokens(index, index + 1)) for index in range(len(said.pieces))]
    assert sent == [0] * (len(sent) - 1) + [1]


def test_a_call_that_the_limit_cut_off_is_sent_as_far_as_it_got():
    said = answer(asks_for_tools(tool_choice="required", max_tokens=4), 0)
    reply = read(whole(asks_for_tools(), said))
    assert reply.finish_reasons == ["length"]
    assert reply.tool_calls[0]["arguments"] == said.text("tool")


@given(st.text(max_size=10), st.integers(1, 9), st.booleans(), st.booleans())
def test_whatever_the_traits_the_recorder_reads_what_was_said(text, size, deltas, reasoning):
    traits = Traits(tokens_per_chunk=size, tool_deltas=deltas, reasoning=reasoning)
    for asked in (ask(text, include_usage=True), asks_for_tools(text, include_usage=True)):
        said = answer(asked, 0, traits)
        reply = read(whole(asked, said, traits))
        assert "".join(reply.content) == said.text()
        told = [(call["id"], call["name"], call["arguments"]) for call in reply.tool_calls.values()]
        assert told == [(use.id, use.name, said.text("tool", index)) for index, use in enumerate(said.tools)]
        assert reply.output_tokens == len(said.pieces)
        assert reply.input_tokens == len(asked.prompt)
        assert reply.cached_tokens == 64
        assert reply.finish_reasons == [said.finish]
        assert reply.done


def test_streamed_calls_bring_name_and_id_first():
    asked = asks_for_tools(parallel_tool_calls=False)
    said = answer(asked, 0)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(whole(asked, said, Traits(tool_deltas=True)))[1:-1]]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert calls[0]["function"] == {"name": said.tools[0].name, "arguments": ""}
    assert calls[0]["id"] == said.tools[0].id
    assert all(call.keys() == {"index", "function"} for call in calls[1:])
    assert len(deltas) == len(said.pieces)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_in_its_field_and_counted(field):
    traits = Traits(reasoning=True, reasoning_field=field)
    asked = ask(include_usage=True)
    said = answer(asked, 0, traits)
    events = chunks(whole(asked, said, traits))[1:-2]
    thought = "".join(chunk["choices"][0]["delta"].get(field, "") for chunk in events)
    assert thought == said.text("reasoning") != ""
    count = sum(piece.kind == "reasoning" for piece in said.pieces)
    assert read(whole(asked, said, traits)).reasoning_tokens == count
    assert openai.body_of(asked, said, SPENT, created=7, traits=traits)["choices"][0]["message"][field] == thought


def test_hidden_reasoning_is_counted_and_in_no_chunk():
    traits = Traits(reasoning=True, reasoning_field="hidden")
    asked = ask(include_usage=True)
    said = answer(asked, 0, traits)
    count = sum(piece.kind == "reasoning" for piece in said.pieces)
    reply = read(whole(asked, said, traits))
    assert (reply.reasoning_tokens, reply.reasoning_chunks) == (count, 0)
    assert len(reply.token_times_ns) == len(said.pieces) - count
    message = openai.body_of(asked, said, SPENT, created=7, traits=traits)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": said.text(), "refusal": None}


def test_a_chunk_may_hold_reasoning_and_words():
    said = Answer((Piece("reasoning", "hm"), Piece("content", "a"), Piece("content", "b")))
    traits = Traits(tokens_per_chunk=3, reasoning=True)
    delta = chunks(whole(ask(), said, traits))[1]["choices"][0]["delta"]
    assert delta == {"reasoning": "hm", "content": "ab"}


# --- bodies ----------------------------------------------------------------------------------------------


def test_a_body_says_what_a_stream_says():
    for asked in (ask(), asks_for_tools(), ask(operation="completion")):
        said = answer(asked, 0)
        body = openai.body_of(asked, said, SPENT, created=7, fingerprint="fp")
        reply = Reply()
        reply.take_body(body)
        streamed = read(whole(asked, said))
        assert "".join(reply.content) == "".join(streamed.content)
        assert list(reply.tool_calls.values()) == list(streamed.tool_calls.values())
        assert reply.finish_reasons == streamed.finish_reasons
        assert reply.output_tokens == len(said.pieces)
        assert vllm_timing(reply.metrics).prefill_ns == 10_000_000
        assert body["system_fingerprint"] == "fp"
        json.dumps(body)


def test_a_message_of_tools_alone_has_no_content():
    said = answer(asks_for_tools(tool_choice="required"), 0)
    message = openai.body_of(asks_for_tools(), said, SPENT, created=7)["choices"][0]["message"]
    assert message["content"] is None
    assert len(message["tool_calls"]) == len(said.tools)
    said = answer(ask(), 0)
    assert "tool_calls" not in openai.body_of(ask(), said, SPENT, created=7)["choices"][0]["message"]


def test_errors_have_vllms_shape():
    error = BadRequest("no", param="top_p")
    assert openai.error_of(error) == {
        "error": {"message": "no", "type": "BadRequestError", "param": "top_p", "code": 400}
    }
    events = openai.error_events("boom")
    assert chunks(events) == [
        {"error": {"message": "boom", "type": "InternalServerError", "param": None, "code": 500}},
        "[DONE]",
    ]
    assert read(events).error == "boom"


def test_models_and_version():
    models = openai.models_of(SERVED, created=7)
    assert models["data"][0]["id"] == "m"
    assert models["data"][0]["max_model_len"] == 8192
    assert openai.version()["version"]


# --- requests --------------------------------------------------------------------------------------------


def chat(**fields):
    return parse_chat({"model": "m", "messages": [user("hi")], **fields}, "r1", SERVED)


def refused(parse, body):
    with pytest.raises(BadRequest) as caught:
        parse(body, "r1", SERVED)
    return caught.value


def test_a_chat_is_read():
    asked = chat(
        stream=True,
        max_tokens=9,
        min_tokens=9,
        ignore_eos=True,
        seed=4,
        stop="END",
        n=2,
        cache_salt="s",
        stream_options={"include_usage": True, "continuous_usage_stats": True},
    )
    assert asked.id == "chatcmpl-r1"
    assert (asked.operation, asked.model, asked.stream) == ("chat", "m", True)
    assert (asked.max_tokens, asked.min_tokens, asked.forced_tokens) == (9, 9, 9)
    assert (asked.seed, asked.stop, asked.n, asked.cache_salt) == (4, ("END",), 2, "s")
    assert asked.include_usage
    assert asked.continuous_usage
    assert asked.first_user_text == "hi"
    assert (asked.assistant_turns, asked.last_role) == (0, "user")
    assert len(asked.prompt) > 3


def test_nulls_are_as_good_as_absent():
    names = ["max_tokens", "seed", "stop", "stream", "stream_options", "tools", "tool_choice", "n", "response_format"]
    names += ["temperature", "top_p", "min_tokens", "ignore_eos", "parallel_tool_calls", "cache_salt", "model"]
    assert chat(**dict.fromkeys(names)) == chat()


def test_max_completion_tokens_wins_over_max_tokens():
    assert chat(max_completion_tokens=5, max_tokens=9).max_tokens == 5


def test_without_a_limit_the_rest_of_the_context_is_the_limit():
    asked = chat()
    assert asked.max_tokens == 8192 - len(asked.prompt)
    assert chat(max_tokens=10**9).max_tokens == asked.max_tokens


def test_a_conversation_is_summed_up():
    call = {"id": "1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "first"}]},
        {"role": "assistant", "content": None, "tool_calls": [call, call]},
        {"role": "tool", "tool_call_id": "1", "content": "28"},
    ]
    asked = chat(messages=messages, tools=[SEARCH, SQL])
    assert (asked.assistant_turns, asked.tool_calls) == (1, 2)
    assert (asked.first_user_text, asked.last_role) == ("first", "tool")
    assert (asked.tools, asked.tool_choice) == (TOOLS, "auto")


@pytest.mark.parametrize(
    ("choice", "read_as"),
    [
        (None, ("auto", False)),
        ("none", ("none", False)),
        ("required", ("required", False)),
        ({"type": "function", "function": {"name": "sql"}}, ("sql", True)),
    ],
)
def test_a_tool_choice_is_read(choice, read_as):
    asked = chat(tools=[SEARCH, SQL], tool_choice=choice)
    assert (asked.tool_choice, asked.named_tool) == read_as


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {}),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "integer"}}}, {"type": "integer"}),
    ],
)
def test_a_response_format_is_read(wanted, schema):
    assert chat(response_format=wanted).schema == schema


def test_vllms_own_structured_outputs_are_read():
    assert chat(structured_outputs={"json": {"type": "null"}}).schema == {"type": "null"}


def test_another_model_is_not_there_unless_any_will_do():
    error = refused(parse_chat, {"model": "x", "messages": []})
    assert (error.status, error.type) == (404, "NotFoundError")
    assert error.message == "The model `x` does not exist."
    assert refused(parse_completion, {"model": "x", "prompt": "a"}).status == 404
    assert parse_chat({"model": "x", "messages": []}, "r", Served("m", 100, any_model=True)).model == "x"


def test_a_prompt_beyond_the_context_is_refused_as_vllm_does():
    error = refused(parse_chat, {"messages": [user("word " * 9000)]})
    assert error.status == 400
    assert error.message.startswith("This model's maximum context length is 8192 tokens. However, your prompt contains")
    assert error.param == "input_tokens"


DEEP = {"a": 1}
for _ in range(600):
    DEEP = {"a": DEEP}

WRONG = [
    [],
    "text",
    None,
    {},
    {"messages": "hi"},
    {"messages": ["hi"]},
    {"messages": [{"role": "user", "content": 1}]},
    {"messages": [{"role": "user", "content": ["a"]}]},
    {"messages": [{"role": "assistant", "tool_calls": 5}]},
    {"messages": [], "model": 5},
    {"messages": [], "max_tokens": 0},
    {"messages": [], "max_tokens": "5"},
    {"messages": [], "max_tokens": True},
    {"messages": [], "max_tokens": 5, "min_tokens": 6},
    {"messages": [], "min_tokens": -1},
    {"messages": [], "n": 0},
    {"messages": [], "n": 1000},
    {"messages": [], "seed": 2**63},
    {"messages": [], "seed": 1.5},
    {"messages": [], "temperature": -1},
    {"messages": [], "temperature": 3},
    {"messages": [], "temperature": "hot"},
    {"messages": [], "top_p": 0},
    {"messages": [], "top_p": 1.1},
    {"messages": [], "stop": 5},
    {"messages": [], "stop": [5]},
    {"messages": [], "stream": "yes"},
    {"messages": [], "stream_options": {"include_usage": True}},
    {"messages": [], "stream": True, "stream_options": 1},
    {"messages": [], "stream": True, "stream_options": {"include_usage": "yes"}},
    {"messages": [], "tools": []},
    {"messages": [], "tools": [{}]},
    {"messages": [], "tools": [{"type": "function", "function": {"name": ""}}]},
    {"messages": [], "tools": ["search"]},
    {"messages": [], "tool_choice": "auto"},
    {"messages": [], "tools": [SEARCH], "tool_choice": "sometimes"},
    {"messages": [], "tools": [SEARCH], "tool_choice": {"function": {"name": "other"}}},
    {"messages": [], "tools": [SEARCH], "tool_choice": {"function": {}}},
    {"messages": [], "tools": [{"function": {"name": "f", "parameters": DEEP}}]},
    {"messages": [], "response_format": {"type": "json_schema"}},
    {"messages": [], "response_format": {"type": "json_schema", "json_schema": {"schema": DEEP}}},
    {"messages": [], "structured_outputs": {"json": DEEP}},
    {"messages": [], "cache_salt": ""},
    {"messages": [], "cache_salt": 1},
]


@pytest.mark.parametrize("body", WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_a_400_that_says_what(body):
    error = refused(parse_chat, body)
    assert error.status == 400
    assert error.message
    assert error.param


@pytest.mark.parametrize(
    ("prompt", "count"), [("some text here", 3), (["some text here"], 3), ([5, 6, 7, 8], 4), ([[5, 6]], 2)]
)
def test_a_completion_takes_one_prompt_in_any_spelling(prompt, count):
    asked = parse_completion({"model": "m", "prompt": prompt}, "r1", SERVED)
    assert len(asked.prompt) == count
    assert (asked.id, asked.operation) == ("cmpl-r1", "completion")
    assert asked.max_tokens == 16


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": ""},
        {"prompt": []},
        {"prompt": ["a", "b"]},
        {"prompt": [[1], [2]]},
        {"prompt": [1, "a"]},
        {"prompt": [-1]},
        {"prompt": [True]},
        {"prompt": 5},
        {"prompt": "a", "echo": True},
        {"prompt": "a", "suffix": "b"},
        {"prompt": "a", "max_tokens": 0},
    ],
)
def test_a_completion_that_cannot_be_served_is_refused(fields):
    error = refused(parse_completion, {"model": "m", **fields})
    assert (error.status, bool(error.message)) == (400, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (  # noqa: SIM905 - as text it can be read
    "messages model max_tokens max_completion_tokens min_tokens n seed stop stream stream_options tools tool_choice "
    "response_format structured_outputs cache_salt ignore_eos parallel_tool_calls prompt temperature top_p"
).split()


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6) | JSON)
def test_any_json_is_read_or_refused_and_what_is_read_is_answered(body):
    for parse in (parse_chat, parse_completion):
        try:
            asked = parse(body, "r1", SERVED)
        except BadRequest as error:
            orjson.dumps(openai.error_of(error))
        else:
            whole(asked, answer(asked, 0))
