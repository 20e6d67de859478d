"""What chunks and responses say, in the words of the engines that send them."""

import json

import pytest

from profiler.record.api import api_of
from profiler.record.protocol import Reply, bears_token, error_text, parse_json
from profiler.record.timing import EngineTiming, vllm_timing


@pytest.mark.parametrize(
    ("method", "path", "api"),
    [
        ("POST", "/v1/chat/completions", "openai.chat"),
        ("POST", "/openai/deployments/x/chat/completions", "openai.chat"),
        ("POST", "/v1/completions", "openai.completions"),
        ("POST", "/generate", "tgi.generate"),
        ("POST", "/behind/a/proxy/generate_stream", "tgi.generate_stream"),
        ("POST", "/", "tgi.compatible"),
        ("POST", "/api/chat", "ollama.chat"),
        ("POST", "/ollama/api/generate", "ollama.generate"),
        ("POST", "/api/embed", None),
        ("POST", "/chat", None),
        ("GET", "/v1/chat/completions", None),
        ("POST", "/v1/embeddings", None),
        ("POST", "/v1/chat/completions/", None),
    ],
)
def test_an_api_is_known_by_method_and_path(method, path, api):
    found = api_of(method, path)
    assert (found and found.name) == api


@pytest.mark.parametrize(
    ("choice", "token"),
    [
        ({"delta": {"role": "assistant", "content": ""}}, False),
        ({"delta": {"role": "assistant"}}, False),
        ({"delta": {"role": "assistant", "content": None}}, False),
        ({"delta": {}, "finish_reason": "stop"}, False),
        ({"delta": {"content": None}}, False),
        ({"delta": None}, False),
        ({}, False),
        ({"delta": {"content": "a"}}, True),
        ({"delta": {"content": " "}}, True),
        ({"delta": {"role": "assistant", "content": "a"}}, True),
        ({"delta": {"content": ""}}, True),  # a token that does not make up a whole character yet
        ({"delta": {"content": ""}, "finish_reason": "stop"}, True),  # the end token, which is counted
        ({"delta": {"reasoning_content": "hm"}}, True),
        ({"delta": {"reasoning": "hm"}}, True),
        ({"delta": {"role": "assistant", "reasoning": "hm"}}, True),
        ({"delta": {"tool_calls": [{"index": 0}]}}, True),
        ({"delta": {"tool_calls": []}}, False),
        ({"delta": {"function_call": {"name": "f"}}}, True),
        ({"delta": {"refusal": None}}, False),
        ({"text": "a"}, True),
        ({"text": ""}, True),
    ],
)
def test_a_chunk_bears_a_token_if_it_brings_output(choice, token):
    assert bears_token(choice) is token


# --- replies ---------------------------------------------------------------------------------------------


def chunk(delta, **choice):
    return {"id": "r1", "model": "m", "choices": [{"index": 0, "delta": delta, **choice}]}


def test_times_of_tokens_are_those_of_the_chunks_that_bear_them():
    reply = Reply()
    borne = [
        reply.take_chunk(chunk({"role": "assistant", "content": ""}), 1),
        reply.take_chunk(chunk({"reasoning": "hm"}), 2),
        reply.take_chunk(chunk({"content": "a"}), 3),
        reply.take_chunk(chunk({"content": "b"}, finish_reason="stop"), 4),
        reply.take_chunk({"choices": [], "usage": {"completion_tokens": 3}}, 5),
    ]
    assert borne == [False, True, True, True, False]
    assert reply.token_times_ns == [2, 3, 4]
    assert (reply.response_id, reply.model, reply.finish_reasons) == ("r1", "m", ["stop"])
    assert ("".join(reply.content), reply.reasoning_chunks) == ("ab", 1)
    assert reply.output_tokens == 3


def test_tool_calls_are_put_together_from_their_deltas():
    reply = Reply()
    deltas = [
        [{"index": 0, "id": "a", "type": "function", "function": {"name": "search", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"q":'}}],
        [
            {"index": 0, "function": {"arguments": '"x"}'}},
            {"index": 1, "id": "b", "function": {"name": "get", "arguments": None}},
        ],
        [{"index": 1, "id": "ignored", "function": {"name": None, "arguments": "{}"}}],
        [{"index": 1}],
    ]
    for delta in deltas:
        reply.take_chunk(chunk({"tool_calls": delta}), 0)
    assert reply.tool_calls == {
        0: {"id": "a", "name": "search", "arguments": '{"q":"x"}'},
        1: {"id": "b", "name": "get", "arguments": "{}"},
    }


def test_a_whole_body_says_the_same_as_its_stream():
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    streamed, whole = Reply(), Reply()
    numbered = [{"index": number, **call} for number, call in enumerate(calls)]
    streamed.take_chunk(chunk({"content": "hi", "tool_calls": numbered}, finish_reason="tool_calls"), 0)
    message = {"role": "assistant", "content": "hi", "tool_calls": calls}
    whole.take_body(
        {"id": "r1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    )
    assert whole.tool_calls == streamed.tool_calls
    assert whole.content == streamed.content == ["hi"]
    assert whole.finish_reasons == streamed.finish_reasons
    assert (whole.done, whole.token_times_ns) == (True, [])


def test_a_text_completion_is_read_from_chunks_and_bodies():
    for take in (lambda reply, body: reply.take_chunk(body, 1), lambda reply, body: reply.take_body(body)):
        reply = Reply()
        take(reply, {"choices": [{"index": 0, "text": "abc", "finish_reason": "length"}]})
        assert (reply.content, reply.finish_reasons) == (["abc"], ["length"])


def test_only_the_first_choice_is_kept_and_all_bear_tokens():
    reply = Reply()
    choices = [{"index": 1, "delta": {"content": "two"}}, {"index": 0, "delta": {"content": "one"}}]
    assert reply.take_chunk({"choices": choices}, 7)
    assert reply.take_chunk({"choices": choices[:1]}, 8)
    assert (reply.content, reply.token_times_ns) == (["one"], [7, 8])


def test_counts_are_the_engines_own_and_missing_where_it_gave_none():
    reply = Reply()
    names = ("output_tokens", "input_tokens", "cached_tokens", "reasoning_tokens")
    assert [getattr(reply, name) for name in names] == [None] * 4
    reply.take_chunk(
        {
            "usage": {
                "completion_tokens": 5,
                "prompt_tokens": 0,
                "prompt_tokens_details": {"cached_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 2},
            }
        },
        0,
    )
    assert [getattr(reply, name) for name in names] == [5, 0, 3, 2]


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"completion_tokens": None, "prompt_tokens": "5"},
        {"prompt_tokens_details": None, "completion_tokens_details": None},
        {"prompt_tokens_details": []},
        {"completion_tokens": 1.5},
    ],
)
def test_a_count_that_is_no_integer_is_missing(usage):
    reply = Reply()
    reply.take_body({"usage": usage, "choices": []})
    counts = (reply.output_tokens, reply.input_tokens, reply.cached_tokens, reply.reasoning_tokens)
    assert counts == (None,) * 4


def test_the_last_usage_of_a_stream_counts():
    reply = Reply()
    for tokens in (1, 2, 3):
        reply.take_chunk({**chunk({"content": "a"}), "usage": {"completion_tokens": tokens}}, tokens)
    reply.take_chunk(chunk({"content": "a"}), 4)
    assert reply.output_tokens == 3


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"message": "too long", "type": "BadRequest"}}, "too long"),
        ({"error": {"type": "BadRequest"}}, "BadRequest"),
        ({"error": {"code": 7}}, "{'code': 7}"),
        ({"error": "plain"}, "plain"),
        ({"object": "error", "message": "old vLLM"}, "old vLLM"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"msg": "field required"}]}, "[{'msg': 'field required'}]"),
        ({"error": None}, None),
        ({}, None),
    ],
)
def test_an_error_is_found_in_each_usual_shape(body, text):
    assert error_text(body) == text


def test_an_error_object_inside_a_good_response_is_an_error_and_no_token():
    body = {"error": {"message": "out of memory"}, "choices": [{"delta": {"content": "x"}}]}
    streamed, whole = Reply(), Reply()
    assert streamed.take_chunk(body, 1) is False
    whole.take_body(body)
    for reply in (streamed, whole):
        assert (reply.error, reply.content, reply.token_times_ns, reply.done) == ("out of memory", [], [], False)


# --- engine timing ---------------------------------------------------------------------------------------

FULL = {"queue_time_ms": 1.5, "time_to_first_token_ms": 20, "generation_time_ms": 300.25}


def test_engine_timing_is_in_nanoseconds():
    assert vllm_timing(FULL) == EngineTiming("vllm.metrics", 1_500_000, 20_000_000, 300_250_000)


def test_other_fields_of_the_metrics_do_not_matter():
    assert vllm_timing({**FULL, "mean_itl_ms": None, "new": "x"}) == vllm_timing(FULL)


@pytest.mark.parametrize("generation", [{}, {"generation_time_ms": None}, {"generation_time_ms": 0}])
def test_a_reply_of_one_token_has_no_decode(generation):
    metrics = {"queue_time_ms": 0, "time_to_first_token_ms": 20, **generation}
    assert vllm_timing(metrics) == EngineTiming("vllm.metrics", 0, 20_000_000, 0)


@pytest.mark.parametrize("name", sorted(FULL))
@pytest.mark.parametrize("value", [-1, -0.001, "20", [], {}, True, float("nan"), float("inf")], ids=repr)
def test_timing_that_makes_no_sense_is_none(name, value):
    assert vllm_timing({**FULL, name: value}) is None


@pytest.mark.parametrize(
    "metrics",
    [
        None,
        {},
        {"queue_time_ms": 1},
        {"generation_time_ms": 1, "queue_time_ms": 1},
        {"time_to_first_token_ms": 1},
        [1, 2],
        "fast",
    ],
    ids=repr,
)
def test_timing_that_lacks_something_is_none(metrics):
    assert vllm_timing(metrics) is None


@pytest.mark.parametrize(
    "data", [b"", b"[1]", b"5", b"null", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"[DONE]"], ids=len
)
def test_what_is_no_json_object_is_none(data):
    assert parse_json(data) is None


def test_a_json_object_is_read():
    value = {"a": [1, 2.5, None, "\u2028 caf\u00e9 \U0001f41b"]}
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value
