"""TGI's two protocols, with the quirks that its clients have to live with."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_asks import SEARCH, SERVED, SPENT, SQL, asks_for_tools, chunks, user

from profiler.engines.sim import tgi
from profiler.engines.sim.request import BadRequest, Served, Spent
from profiler.engines.sim.speech import Answer, Piece, answer
from profiler.engines.sim.tgi_request import parse_chat, parse_generate
from profiler.engines.sim.traits import Traits

WORDS = Answer((Piece("content", "Hi"), Piece("content", " there")))
CUT = Answer(WORDS.pieces, finish="length")


def native(**fields):
    return parse_generate({"inputs": "Once upon", "parameters": fields}, SERVED, stream=True)


def chat(**fields):
    return parse_chat({"model": "tgi", "messages": [user("hi")], **fields}, SERVED)


def refused(body, parse=parse_chat, **options):
    with pytest.raises(BadRequest) as caught:
        parse(body, SERVED, **options)
    return caught.value


def all_events(stream, said):
    return chunks([*stream.opening(), *stream.tokens(0, len(said.pieces)), *stream.closing(SPENT)])


# --- its own protocol ------------------------------------------------------------------------------------


def test_a_native_stream_has_an_event_per_token_and_no_done():
    asked = native(details=True, seed=3)
    first, last = all_events(tgi.GenerateStream(asked, WORDS), WORDS)
    assert first["index"] == 1
    assert first["token"].keys() == {"id", "text", "logprob", "special"}
    assert first["token"]["text"] == "Hi"
    assert (first["generated_text"], first["details"]) == (None, None)
    assert last["index"] == 2
    assert last["generated_text"] == "Hi there"
    assert last["details"] == {
        "finish_reason": "eos_token",
        "generated_tokens": 2,
        "seed": 3,
        "input_length": len(asked.prompt),
    }


def test_details_come_only_if_asked_for():
    assert all_events(tgi.GenerateStream(native(), WORDS), WORDS)[-1]["details"] is None
    assert "details" not in tgi.generate_body(native(), WORDS)
    details = tgi.generate_body(native(details=True), CUT)["details"]
    assert details["finish_reason"] == "length"
    assert [token["text"] for token in details["tokens"]] == ["Hi", " there"]


def test_several_tokens_at_once_are_still_one_event_each():
    stream = tgi.GenerateStream(native(), WORDS, traits=Traits(tokens_per_chunk=2))
    assert len(stream.tokens(0, 2)) == 2
    assert len(tgi.ChatStream(chat(), WORDS, created=7, traits=Traits(tokens_per_chunk=2)).tokens(0, 2)) == 2


def test_the_prompt_is_repeated_if_asked_for():
    assert tgi.generate_body(native(return_full_text=True), WORDS)["generated_text"] == "Once uponHi there"


def test_a_stop_string_is_told_in_its_own_words():
    said = Answer(WORDS.pieces, stop_text="X")
    assert tgi.generate_body(native(details=True), said)["details"]["finish_reason"] == "stop_sequence"


def test_times_are_in_headers_in_whole_milliseconds_cut_off():
    headers = tgi.headers_of(native(), WORDS, SPENT)
    assert headers == {
        "x-compute-type": "sim",
        "x-compute-characters": "9",
        "x-compute-time": "0.044499999",
        "x-total-time": "44",
        "x-validation-time": "1",
        "x-queue-time": "2",
        "x-inference-time": "40",
        "x-time-per-token": "20",
        "x-prompt-tokens": str(len(native().prompt)),
        "x-generated-tokens": "2",
    }


def test_what_took_less_than_a_millisecond_is_0():
    headers = tgi.headers_of(native(), WORDS, Spent(queue_ns=999_999, prefill_ns=1_999_998, decode_ns=0))
    assert (headers["x-queue-time"], headers["x-inference-time"], headers["x-time-per-token"]) == ("0", "1", "0")


def test_a_stream_has_no_times_in_its_headers():
    assert tgi.stream_headers(native()).keys() == {"x-compute-type", "x-compute-characters"}


def test_a_native_request_is_read():
    asked = native(max_new_tokens=20, seed=5, stop=["a", "b"])
    assert (asked.operation, asked.stream, asked.max_tokens) == ("generate", True, 20)
    assert (asked.seed, asked.stop, asked.prompt_text) == (5, ("a", "b"), "Once upon")
    assert native().max_tokens == 100
    assert native(grammar={"type": "json", "value": {"type": "null"}}).schema == {"type": "null"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"top_p": 1.0}, "Input validation error: `top_p` must be > 0.0 and < 1.0"),
        ({"max_new_tokens": 0}, "Input validation error: `max_new_tokens` must be strictly positive"),
        ({"best_of": 2}, "Input validation error: `best_of` != 1 is not allowed for this endpoint"),
        ({"stop": list("abcde")}, "Input validation error: `stop` supports up to 4 stop sequences. Given: 5"),
        ({"decoder_input_details": True}, "`decoder_input_details` == true is not supported when streaming tokens"),
        ({"max_new_tokens": 9000}, "`inputs` tokens + `max_new_tokens` must be <= 8192. Given: 2 `inputs` tokens"),
        ({"details": 1}, "details must be true or false"),
    ],
)
def test_a_native_request_that_is_wrong_is_a_422(parameters, message):
    error = refused({"inputs": "Once upon", "parameters": parameters}, parse_generate, stream=True)
    assert (error.status, error.type) == (422, "validation")
    assert message in error.message


@pytest.mark.parametrize("body", [None, [], {}, {"inputs": 5}, {"inputs": None}, {"inputs": "a", "parameters": 1}])
def test_a_body_of_another_shape_is_a_422(body):
    assert refused(body, parse_generate, stream=False).status == 422


# --- chat ------------------------------------------------------------------------------------------------


def test_a_chat_stream_has_no_id_and_the_role_in_every_chunk():
    events = all_events(tgi.ChatStream(chat(), WORDS, created=7), WORDS)
    about = {"object": "chat.completion.chunk", "id": "", "created": 7, "model": "m"}
    about["system_fingerprint"] = tgi.FINGERPRINT
    said = [("Hi", None), (" there", "stop")]
    assert events == [
        *(
            {
                **about,
                "choices": [
                    {
                        "index": 0,
                        "delta": {"role": "assistant", "content": text},
                        "logprobs": None,
                        "finish_reason": reason,
                    }
                ],
                "usage": None,
            }
            for text, reason in said
        ),
        "[DONE]",
    ]


def test_usage_comes_in_a_last_chunk_without_choices_if_asked_for():
    asked = chat(stream=True, stream_options={"include_usage": True})
    *_, usage, done = all_events(tgi.ChatStream(asked, WORDS, created=7), WORDS)
    assert done == "[DONE]"
    assert usage["choices"] == []
    prompt = len(asked.prompt)
    assert usage["usage"] == {"prompt_tokens": prompt, "completion_tokens": 2, "total_tokens": prompt + 2}


def test_a_chat_body_has_no_id_and_its_times_in_headers():
    body = tgi.chat_body(chat(), CUT, created=7)
    assert (body["id"], body["object"]) == ("", "chat.completion")
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Hi there"}
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 2


def test_tool_calls_finish_with_stop():
    asked = chat(tools=[SEARCH, SQL], tool_choice="required")
    said = answer(asked, 0)
    choice = tgi.chat_body(asked, said, created=7)["choices"][0]
    assert choice["finish_reason"] == "stop"
    (call,) = choice["message"]["tool_calls"]
    assert call["id"] == "0"
    assert call["function"]["name"] == said.tools[0].name
    assert isinstance(json.loads(call["function"]["arguments"]), dict)
    events = all_events(tgi.ChatStream(asked, said, created=7), said)
    assert events[-2]["choices"][0]["finish_reason"] == "stop"


def test_streamed_tool_calls_bring_the_name_once_and_the_id_every_time():
    asked = chat(tools=[SEARCH, SQL], tool_choice="required")
    said = answer(asked, 0)
    deltas = [event["choices"][0]["delta"] for event in all_events(tgi.ChatStream(asked, said, created=7), said)[:-1]]
    calls = [delta["tool_calls"][0] for delta in deltas]
    assert [call["function"]["name"] for call in calls] == [said.tools[0].name] + [None] * (len(calls) - 1)
    assert {call["id"] for call in calls} == {"0"}
    assert "".join(call["function"]["arguments"] for call in calls) == said.text("tool")


def test_ids_of_streamed_calls_count_on_through_the_conversation():
    said = answer(asks_for_tools(grammar_tools=True, parallel_tool_calls=False), 0)
    asked = asks_for_tools(tool_calls=3)
    event = all_events(tgi.ChatStream(asked, said, created=7), said)[0]
    assert event["choices"][0]["delta"]["tool_calls"][0]["id"] == "3"


def test_there_is_one_tool_call_at_most():
    for number in range(50):
        asked = chat(messages=[user(str(number))], tools=[SEARCH, SQL], parallel_tool_calls=True)
        assert len(answer(asked, 0).tools) <= 1


def test_no_tool_costs_a_generation_that_is_thrown_away():
    history = [user("hi"), *[{"role": "assistant", "content": "a"}] * 4]
    said = answer(chat(messages=history, tools=[SEARCH]), 0)
    assert said.hidden_tokens > 0
    assert answer(chat(messages=history), 0).hidden_tokens == 0
    assert answer(chat(messages=history, tools=[SEARCH], tool_choice="none"), 0).hidden_tokens == 0


def test_a_call_that_was_cut_off_is_an_error_where_it_is_not_streamed():
    asked = chat(tools=[SEARCH], tool_choice="required", max_tokens=3)
    said = answer(asked, 0)
    with pytest.raises(BadRequest) as caught:
        tgi.chat_body(asked, said, created=7)
    assert (caught.value.status, caught.value.type) == (422, "tool_error")


def test_what_vllm_has_beyond_openai_is_not_looked_at():
    asked = chat(ignore_eos=True, min_tokens=50, max_tokens=50, n=3, cache_salt="x")
    assert (asked.forced_tokens, asked.min_tokens, asked.n, asked.cache_salt) == (None, 0, 1, "")
    assert asked.max_tokens == 50


def test_without_a_limit_the_rest_of_the_context_is_the_limit():
    assert chat().max_tokens == 8192 - len(chat().prompt)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"top_p": 1}, "`top_p` must be > 0.0 and < 1.0"),
        ({"top_p": 0}, "`top_p` must be > 0.0 and < 1.0"),
        ({"temperature": -1}, "`temperature` must be strictly positive"),
        ({"stream_options": None}, "stream_options: invalid type: null, expected struct StreamOptions"),
        ({"max_tokens": 9000}, "must be <= 8192"),
        ({"messages": [user("word " * 9000)]}, "`inputs` must have less than 8191 tokens"),
        ({"messages": [{"role": "user", "content": 5}]}, "Template error"),
        ({"messages": None}, "missing field `messages`"),
        ({"tools": [SEARCH], "tool_choice": {"function": {"name": "other"}}}, "does not match any"),
        ({"tools": [{}]}, "each tool must be a function"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_a_chat_that_is_wrong_is_a_422(fields, message):
    body = {"messages": [user("hi")], **fields}
    if body["messages"] is None:
        del body["messages"]
    error = refused(body)
    assert error.status == 422
    assert message in error.message


def test_the_model_is_tgi_or_the_served_one():
    assert chat(model="tgi").model == "m"
    assert chat(model="m").model == "m"
    assert chat(model=None).model == "m"
    error = refused({"model": "gpt-4o", "messages": []})
    assert error.status == 404
    assert "LoRA" in error.message


def test_where_any_model_will_do_its_name_is_given_back():
    asked = parse_chat({"model": "gpt-4o", "messages": []}, Served("m", 100, any_model=True))
    assert asked.model == "gpt-4o"


# --- errors and facts ------------------------------------------------------------------------------------


def test_overload_is_a_429():
    error = tgi.overloaded()
    assert error.status == 429
    assert tgi.error_of(error) == {"error": "Model is overloaded", "error_type": "overloaded"}


def test_a_failed_generation_is_a_424():
    error = tgi.generation_failed("out of memory")
    assert (error.status, error.type) == (424, "generation")


def test_an_error_inside_a_200_differs_by_protocol():
    error = BadRequest("Input validation error: no", status=422, type="validation")
    assert chunks(tgi.error_events(error, chat=False)) == [
        {"error": "Input validation error: no", "error_type": "validation"}
    ]
    assert chunks(tgi.error_events(error, chat=True)) == [
        {"error": {"message": "Input validation error: no", "http_status_code": 422}},
        "[DONE]",
    ]


def test_lines_end_with_crlf_where_that_is_the_trait():
    traits = Traits(crlf=True)
    native_events = tgi.GenerateStream(native(), WORDS, traits=traits).tokens(0, 2)
    chat_stream = tgi.ChatStream(chat(), WORDS, created=7, traits=traits)
    errors = tgi.error_events(tgi.overloaded(), chat=True, traits=traits)
    for event in (*native_events, *chat_stream.tokens(0, 2), *chat_stream.closing(SPENT), *errors):
        assert event.endswith(b"\r\n\r\n")


def test_info_and_models_name_the_model():
    info = tgi.info_of(SERVED)
    assert (info["model_id"], info["max_total_tokens"], info["max_concurrent_requests"]) == ("m", 8192, 128)
    assert info["version"].startswith("3.3")
    assert tgi.models_of(SERVED)["data"][0]["id"] == "m"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (  # noqa: SIM905 - as text it can be read
    "messages model max_tokens seed stop stream stream_options tools tool_choice response_format temperature top_p "
    "inputs parameters"
).split()


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6) | JSON)
def test_any_json_is_read_or_refused_and_what_is_read_is_answered(body):
    for parse, options in ((parse_chat, {}), (parse_generate, {"stream": True})):
        try:
            asked = parse(body, SERVED, **options)
        except BadRequest as error:
            orjson.dumps(tgi.error_of(error))
        else:
            said = answer(asked, 0)
            all_events(tgi.ChatStream(asked, said, created=7), said)
            all_events(tgi.GenerateStream(asked, said), said)
