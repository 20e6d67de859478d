"""Ollama's own protocol: what it reads, what it does with a prompt that is too long, and its durations."""

from __future__ import annotations

import json

import pytest
from sim_asks import SEARCH, SERVED, user

from profiler.engines.sim import ollama
from profiler.engines.sim.ollama_request import WINDOW, parse_chat, parse_completion, parse_native
from profiler.engines.sim.prompt import render, tokenise
from profiler.engines.sim.request import BadRequest, Spent
from profiler.engines.sim.speech import Answer, Piece, ToolUse

WORDS = Answer((Piece("content", "Hi"), Piece("content", " there")))
CALL = Answer(
    (Piece("content", "So."), Piece("tool", ""), Piece("tool", '{"q":'), Piece("tool", "1}")),
    (ToolUse("chatcmpl-tool-0123456789abcdef", "search"),),
    finish="tool_calls",
)
SPENT = Spent(queue_ns=7, prefill_ns=11, decode_ns=13, load_ns=5, frontend_ns=3)
MINUTE = 60.0


def chat(messages=None, **fields):
    return parse_native("chat", {"model": "m", "messages": messages or [user("hi")], **fields}, SERVED)


def refused(body, operation="chat"):
    with pytest.raises(BadRequest) as caught:
        parse_native(operation, body, SERVED)
    return caught.value


def lines(ask, said, spent=SPENT):
    stream = ollama.Stream(ask, said, clock=lambda: 1_700_000_000_123_456_789)
    events = [*stream.opening()]
    for index in range(len(said.pieces)):
        events += stream.tokens(index, index + 1)
    return [json.loads(event) for event in (*events, *stream.closing(spent))]


def test_it_streams_unless_told_not_to():
    assert chat().stream
    assert not chat(stream=False).stream
    assert not parse_chat({"model": "m", "messages": [user("hi")]}, "id", SERVED).stream


def test_durations_add_up_to_the_total_and_the_queue_is_what_they_leave():
    last = lines(chat(), WORDS)[-1]
    known = last["load_duration"] + last["prompt_eval_duration"] + last["eval_duration"]
    assert last["total_duration"] - known == SPENT.queue_ns + SPENT.frontend_ns
    assert (last["eval_count"], last["prompt_eval_count"]) == (2, len(chat().prompt))


def test_what_is_zero_is_left_out():
    last = lines(chat(), WORDS, Spent(queue_ns=0, prefill_ns=11, decode_ns=0))[-1]
    assert "load_duration" not in last
    assert "eval_duration" not in last
    assert last["prompt_eval_duration"] == 11


def test_a_tool_call_comes_whole_with_arguments_that_are_an_object():
    found = lines(chat(tools=[SEARCH]), CALL)
    assert [line["message"].get("content") for line in found] == ["So.", "", ""]
    (call,) = found[1]["message"]["tool_calls"]
    assert call["function"] == {"index": 0, "name": "search", "arguments": {"q": 1}}
    assert (found[-1]["done"], found[-1]["done_reason"]) == (True, "stop")
    whole = ollama.body_of(chat(tools=[SEARCH]), CALL, SPENT)
    assert whole["message"]["tool_calls"][0]["function"]["arguments"] == {"q": 1}


def test_times_are_written_to_the_nanosecond():
    assert lines(chat(), WORDS)[0]["created_at"] == "2023-11-14T22:13:20.123456789Z"


def test_a_prompt_that_does_not_fit_loses_its_oldest_messages_and_not_the_systems():
    turns = [user("word " * 1500) for _ in range(6)]
    asked = chat([{"role": "system", "content": "Be brief."}, *turns, user("And now?")])
    assert 1000 < len(asked.prompt) <= WINDOW
    kept = render([{"role": "system", "content": "Be brief."}, *turns[-2:], user("And now?")])
    assert asked.prompt == tokenise(kept)


def test_a_single_message_that_is_too_long_loses_its_middle():
    asked = chat([user("word " * 9000)])
    assert len(asked.prompt) == WINDOW
    whole = tokenise(render([user("word " * 9000)]))
    assert asked.prompt[:4] == whole[:4]
    assert asked.prompt[4:] == whole[4 - WINDOW :]


def test_the_window_can_be_set_and_truncation_be_forbidden():
    text = [user("word " * 100)]
    assert len(chat(text, options={"num_ctx": 50}).prompt) == 50
    error = refused({"model": "m", "messages": text, "options": {"num_ctx": 50}, "truncate": False})
    assert (error.status, "exceeds the context length" in error.message) == (400, True)


def test_a_limit_of_0_or_less_is_none():
    room = SERVED.context_tokens - len(chat().prompt)
    assert [chat(options={"num_predict": limit}).max_tokens for limit in (5, 5.0, 0, -1)] == [5, 5, room, room]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"messages": []}, 400, "model is required"),
        ({"model": "other", "messages": [user("hi")]}, 404, "model 'other' not found"),
        ({"model": "m", "messages": [user("hi")], "options": {"seed": "x"}}, 500, 'option "seed" must be of type'),
        ({"model": "m", "messages": [user("hi")], "options": {"stop": 1}}, 500, 'option "stop" must be of type'),
        ({"model": "m", "messages": [user("hi")], "format": "xml"}, 500, 'invalid format: "xml"'),
        ({"model": "m", "messages": [user("hi")], "keep_alive": "soon"}, 400, 'invalid duration "soon"'),
        ({"model": "m", "messages": "hi"}, 400, "messages must be a list"),
        ([], 400, "JSON object"),
    ],
)
def test_what_is_wrong_is_refused_with_the_servers_status(body, status, said):
    error = refused(body)
    assert (error.status, said in error.message) == (status, True), error.message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (0, 0), (30, 30), ("5m", 5 * MINUTE), ("1h30m", 90 * MINUTE), ("-1m", -MINUTE), ("300ms", 0.3)],
)
def test_how_long_the_model_stays_is_a_number_of_seconds_or_a_duration(value, seconds):
    found = chat(keep_alive=value).keep_alive_s
    assert found == seconds or found == pytest.approx(seconds)


@pytest.mark.parametrize(("keep_alive", "only"), [(None, "load"), ("5m", "load"), (0, "unload")])
def test_without_anything_to_say_the_model_is_loaded_or_let_go(keep_alive, only):
    body = {"model": "m", "keep_alive": keep_alive}
    for operation in ("chat", "generate"):
        ask = parse_native(operation, body, SERVED)
        assert ask.only == only
        assert ollama.only_of(ask)["done_reason"] == only


def test_a_tag_of_latest_goes_without_saying():
    assert chat(model="m:latest").model == "m:latest"
    assert refused({"model": "m:7b", "messages": [user("hi")]}).status == 404


def test_raw_prompts_are_not_rendered():
    body = {"model": "m", "prompt": "Hi there", "system": "Be brief."}
    assert parse_native("generate", {**body, "raw": True}, SERVED).prompt == tokenise("Hi there")
    assert parse_native("generate", body, SERVED).prompt_text.startswith("<|im_start|>system\nBe brief.")


def test_under_v1_what_it_does_not_know_is_not_looked_at():
    body = {"model": "m", "messages": [user("hi")], "tools": [SEARCH], "tool_choice": "none", "min_tokens": 90}
    ask = parse_chat({**body, "ignore_eos": True}, "id", SERVED)
    assert (ask.tool_choice, ask.min_tokens, ask.ignore_eos) == ("auto", 0, False)


def test_under_v1_a_message_without_content_or_calls_is_refused():
    with pytest.raises(BadRequest, match="invalid message content type: <nil>"):
        parse_chat({"model": "m", "messages": [{"role": "user", "content": None}]}, "id", SERVED)


def test_under_v1_completions_are_cut_to_the_window_too():
    assert len(parse_completion({"model": "m", "prompt": "word " * 9000}, "id", SERVED).prompt) == WINDOW
