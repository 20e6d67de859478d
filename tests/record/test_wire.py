"""Calls at the wire: real clients, real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import pairwise

import httpx
import httpx2
import openai
import pytest
from loopback import METRICS, Behaviour, serve
from recording import recorded

from profiler import semconv as sc
from profiler.script import Script, ScriptedCall, TaskScript, ToolCall

MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = {"model": "test-model", "messages": MESSAGES}


def script(*calls: ScriptedCall) -> Script:
    return Script(tasks={"t": TaskScript(calls=calls)})


def plain_get(library, url, body):
    with library.Client() as client:
        return client.post(f"{url}/chat/completions", json=body)


def plain_stream(library, url, body):
    with library.Client() as client, client.stream("POST", f"{url}/chat/completions", json=body) as response:
        return b"".join(response.iter_bytes())


async def plain_stream_async(library, url, body):
    async with (
        library.AsyncClient() as client,
        client.stream("POST", f"{url}/chat/completions", json=body) as response,
    ):
        return b"".join([block async for block in response.aiter_bytes()])


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_both_clients_are_recorded_sync_and_async_streaming_and_not(library):
    with serve() as (url, _), recorded() as recording:
        plain_get(library, url, CHAT)
        plain_stream(library, url, {**CHAT, "stream": True})
        asyncio.run(plain_stream_async(library, url, {**CHAT, "stream": True}))
    calls = recording.calls()
    assert [span.attributes[sc.REQUEST_STREAM] for span in calls] == [False, True, True]
    assert all(span.attributes[sc.OUTPUT_TOKENS] == 3 for span in calls)
    assert [len(span.attributes.get(sc.CHUNK_TIMES_US, ())) for span in calls] == [0, 3, 3]
    assert all(not span.failed for span in calls)


def test_a_call_without_streaming_has_no_first_token():
    with serve() as (url, _), recorded() as recording:
        plain_get(httpx2, url, CHAT)
    (call,) = recording.calls()
    assert sc.CHUNK_TIMES_US not in call.attributes
    assert sc.RESPONSE_TTFC not in call.attributes


def test_the_traceparent_sent_is_the_chat_span():
    with serve() as (url, does), recorded() as recording:
        plain_get(httpx2, url, CHAT)
    (call,) = recording.calls()
    assert does.headers[0]["traceparent"] == f"00-{call.trace_id}-{call.span_id}-01"


def test_an_agent_that_did_not_ask_for_usage_does_not_get_the_usage_chunk():
    with serve() as (url, does), recorded() as recording:
        text = plain_stream(httpx2, url, {**CHAT, "stream": True})
    assert does.requests[0]["stream_options"] == {"include_usage": True}
    assert b"usage" not in text
    assert text.endswith(b"data: [DONE]\n\n")
    assert recording.calls()[0].attributes[sc.OUTPUT_TOKENS] == 3


def test_an_agent_that_asked_for_usage_gets_every_byte_of_the_server():
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    with serve() as (url, _):
        bare = plain_stream(httpx2, url, body)
        with recorded():
            watched = plain_stream(httpx2, url, body)
    assert watched == bare


def test_engine_phases_become_spans_that_touch():
    with serve() as (url, _), recorded() as recording:
        plain_stream(httpx2, url, {**CHAT, "stream": True})
    (call,) = recording.calls()
    phases = recording.trace.children[call.span_id]
    assert [span.name for span in phases] == ["queue", "prefill", "decode"]
    assert call.attributes[sc.ENGINE_QUEUE_NS] == round(METRICS["queue_time_ms"] * 1e6)
    assert all(later.start_ns == before.end_ns for before, later in pairwise(phases))


def test_a_server_without_metrics_leaves_the_phases_unknown():
    with serve(Behaviour(metrics=False)) as (url, _), recorded() as recording:
        plain_stream(httpx2, url, {**CHAT, "stream": True})
    (call,) = recording.calls()
    assert call.span_id not in recording.trace.children
    assert sc.ENGINE_SOURCE not in call.attributes


def test_other_traffic_passes_untouched():
    with serve() as (url, _), recorded() as recording:
        assert httpx2.get(f"{url}/models").json()["data"][0]["id"] == "test-model"
        assert httpx2.post(f"{url}/completions/other", json={"model": "x"}).status_code == 404
    assert recording.calls() == []


def test_an_error_status_is_a_failed_call_and_its_body_reaches_the_agent():
    with serve(Behaviour(fail_first=1, status=503)) as (url, _), recorded() as recording:
        response = plain_get(httpx2, url, CHAT)
    assert response.json()["error"]["message"] == "on purpose"
    (call,) = recording.calls()
    assert (call.failed, call.attributes[sc.ERROR_TYPE], call.message) == (True, "503", "on purpose")


def test_an_error_inside_a_200_stream_is_a_failed_call():
    with serve(Behaviour(error_in_stream=True)) as (url, _), recorded() as recording:
        plain_stream(httpx2, url, {**CHAT, "stream": True})
    (call,) = recording.calls()
    assert (call.failed, call.message) == (True, "out of memory in mid-stream")


def test_a_connection_cut_in_mid_stream_is_a_failed_call_with_what_had_come():
    with serve(Behaviour(cut_after=3)) as (url, _), recorded() as recording:
        with pytest.raises(httpx2.RemoteProtocolError):
            plain_stream(httpx2, url, {**CHAT, "stream": True})
    (call,) = recording.calls()
    assert call.attributes[sc.ERROR_TYPE] == "RemoteProtocolError"
    assert len(call.attributes[sc.CHUNK_TIMES_US]) == 2


def test_a_refused_connection_is_a_failed_call():
    with recorded() as recording, pytest.raises(httpx2.ConnectError):
        plain_get(httpx2, "http://127.0.0.1:9/v1", CHAT)
    assert recording.calls()[0].attributes[sc.ERROR_TYPE] == "ConnectError"


def test_a_client_that_stops_reading_leaves_a_truncated_call_that_did_not_fail():
    with serve() as (url, _), recorded() as recording, httpx2.Client() as client:
        with client.stream("POST", f"{url}/chat/completions", json={**CHAT, "stream": True}) as response:
            next(response.iter_bytes())
    (call,) = recording.calls()
    assert call.attributes[sc.CALL_TRUNCATED] is True
    assert not call.failed


def test_retries_of_the_openai_client_are_attempts_of_one_call():
    with serve(Behaviour(fail_first=2)) as (url, _), recorded() as recording:
        client = openai.OpenAI(base_url=url, api_key="x", max_retries=2)
        client.chat.completions.create(**CHAT)
        client.close()
    calls = recording.calls()
    assert [span.attributes[sc.CALL_ATTEMPT] for span in calls] == [1, 2, 3]
    assert [span.attributes[sc.CALL_ORDINAL] for span in calls] == [1, 1, 1]
    assert [span.failed for span in calls] == [True, True, False]


def test_the_same_question_asked_twice_is_two_calls_and_no_retry():
    with serve() as (url, _), recorded() as recording:
        plain_get(httpx2, url, CHAT)
        plain_get(httpx2, url, CHAT)
    assert [span.attributes[sc.CALL_ORDINAL] for span in recording.calls()] == [1, 2]
    assert [span.attributes[sc.CALL_ATTEMPT] for span in recording.calls()] == [1, 1]


def scripted_call(**changes) -> ScriptedCall:
    said = {"content": "thinking", "tool_calls": (ToolCall(name="add", arguments={"a": 1}),), "output_tokens": 7}
    return ScriptedCall(**{**said, **changes})


@pytest.mark.parametrize("stream", [False, True])
def test_a_scripted_call_generates_the_scripted_length_and_says_the_scripted_words(stream):
    with serve() as (url, does), recorded(script=script(scripted_call())) as recording:
        client = openai.OpenAI(base_url=url, api_key="x")
        tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
        if stream:
            with client.chat.completions.stream(**CHAT, tools=tools) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(**CHAT, tools=tools).choices[0].message
        client.close()
    assert message.content == "thinking"
    assert json.loads(message.tool_calls[0].function.arguments) == {"a": 1}
    sent = does.requests[0]
    assert (sent["min_tokens"], sent["max_tokens"], sent["ignore_eos"]) == (7, 7, True)
    assert sent["tool_choice"] == "none"
    (call,) = recording.calls()
    assert call.attributes[sc.OUTPUT_TOKENS] == 7
    assert call.attributes[sc.RESPONSE_FINISH_REASONS] == ("tool_calls",)
    assert "min_tokens" in call.attributes[sc.CALL_ADAPTED]


def test_a_failed_attempt_does_not_use_up_its_scripted_call():
    said = [scripted_call(content="first", tool_calls=()), scripted_call(content="second", tool_calls=())]
    with serve(Behaviour(fail_first=1)) as (url, _), recorded(script=script(*said)) as recording:
        client = openai.OpenAI(base_url=url, api_key="x")
        answers = [client.chat.completions.create(**CHAT).choices[0].message.content for _ in range(2)]
        client.close()
    assert answers == ["first", "second"]
    assert len(recording.calls()) == 3


def test_a_call_that_the_script_lacks_is_refused_without_retries_and_named():
    with serve() as (url, does), recorded(script=script(scripted_call())) as recording:
        client = openai.OpenAI(base_url=url, api_key="x")
        client.chat.completions.create(**CHAT)
        with pytest.raises(openai.BadRequestError, match="asked for call 2, the script has 1"):
            client.chat.completions.create(**CHAT)
        client.close()
        assert "task 't'" in recording.chain.mismatch.message
    assert len(does.requests) == 1
    assert recording.trace.root.attributes[sc.ERROR_TYPE] == "ScriptMismatch"


def test_streaming_on_the_agents_behalf_gives_it_the_response_it_asked_for():
    with serve() as (url, does), recorded(force_stream=True) as recording:
        client = openai.OpenAI(base_url=url, api_key="x")
        answer = client.chat.completions.create(**CHAT)
        client.close()
    assert does.requests[0]["stream"] is True
    assert answer.choices[0].message.content == "one two three"
    assert answer.usage.completion_tokens == 3
    assert len(recording.calls()[0].attributes[sc.CHUNK_TIMES_US]) == 3


def test_content_is_recorded_only_when_asked_for():
    with serve() as (url, _):
        with recorded() as without:
            plain_get(httpx2, url, CHAT)
        with recorded(capture_content=True) as with_content:
            plain_get(httpx2, url, CHAT)
    assert "hello" not in str(without.calls()[0].attributes)
    assert "hello" in with_content.calls()[0].attributes[sc.INPUT_MESSAGES]
    assert "one two three" in with_content.calls()[0].attributes[sc.OUTPUT_MESSAGES]


def test_keys_are_never_recorded():
    secret = "sk-verysecretkey123"
    with serve(Behaviour(fail_first=1, status=401)) as (url, _), recorded(capture_content=True) as recording:
        client = openai.OpenAI(base_url=url, api_key=secret, max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(**CHAT)
        client.close()
    assert secret not in repr(recording.trace)


def test_the_transports_are_as_before_after_a_recording():
    before = [vars(library.HTTPTransport)["handle_request"] for library in (httpx, httpx2)]
    with recorded():
        assert vars(httpx.HTTPTransport)["handle_request"] is not before[0]
    assert [vars(library.HTTPTransport)["handle_request"] for library in (httpx, httpx2)] == before


def test_text_completions_are_recorded_and_scripted():
    body = {"model": "test-model", "prompt": "once"}
    with serve() as (url, does), recorded(script=script(scripted_call(tool_calls=()))) as recording:
        with httpx2.Client() as client:
            answer = client.post(f"{url}/completions", json=body).json()
    assert answer["choices"][0]["text"] == "thinking"
    assert does.requests[0]["max_tokens"] == 7
    assert recording.calls()[0].operation == sc.OP_TEXT_COMPLETION


def test_an_in_process_transport_is_recorded_too():
    def handler(request):
        return httpx2.Response(200, json={"model": "m", "choices": [], "usage": {"completion_tokens": 1}})

    with recorded() as recording, httpx2.Client(transport=httpx2.MockTransport(handler)) as client:
        client.post("http://engine/v1/chat/completions", json=CHAT)
    assert recording.calls()[0].attributes[sc.OUTPUT_TOKENS] == 1


def test_a_call_to_another_server_is_recorded_as_it_is():
    with serve() as (url, _), serve() as (other, does):
        port = int(url.split(":")[2].split("/")[0])
        with recorded(engine=("127.0.0.1", port), script=script(scripted_call()), salt="s", seed=1) as recording:
            plain_get(httpx2, other, CHAT)
            plain_get(httpx2, url.replace("127.0.0.1", "localhost"), CHAT)
    assert does.requests == [CHAT]
    assert [span.attributes[sc.CALL_SCRIPTED] for span in recording.calls()] == [False, True]


def test_an_agent_that_asks_for_several_choices_gets_as_many_in_a_replay():
    with serve() as (url, _), recorded(script=script(scripted_call(tool_calls=()))) as recording:
        client = openai.OpenAI(base_url=url, api_key="x")
        answer = client.chat.completions.create(**CHAT, n=3)
        client.close()
    assert [choice.message.content for choice in answer.choices] == ["thinking"] * 3
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert recording.calls()[0].attributes[sc.CALL_ADAPTED].count("n") == 1


@pytest.mark.parametrize("odd", [[None], {"a": 1}, [{"delta": "text"}], [{"delta": {"tool_calls": [None]}}]])
def test_a_chunk_that_is_not_of_the_protocol_reaches_the_agent_as_it_came(odd):
    event = b"data: " + json.dumps({"choices": odd}).encode() + b"\n\n"

    def handler(request):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=event + b"data: [DONE]\n\n")

    with recorded() as recording, httpx2.Client(transport=httpx2.MockTransport(handler)) as client:
        assert client.post("http://engine/v1/chat/completions", json=CHAT).content == event + b"data: [DONE]\n\n"
    assert [span.attributes[sc.ODD_CHUNKS] for span in recording.calls()] == [1]


def test_a_compressed_answer_is_understood_and_replayed():
    body = {"model": "m", "choices": [{"index": 0, "message": {"content": "x"}}], "usage": {"completion_tokens": 7}}

    def handler(request):
        return httpx2.Response(
            200,
            headers={"content-type": "application/json", "content-encoding": "gzip"},
            content=gzip.compress(json.dumps(body).encode()),
        )

    with (
        recorded(script=script(scripted_call(tool_calls=()))) as recording,
        httpx2.Client(transport=httpx2.MockTransport(handler)) as client,
    ):
        answer = client.post("http://engine/v1/chat/completions", json=CHAT).json()
    assert answer["choices"][0]["message"]["content"] == "thinking"
    assert recording.calls()[0].attributes[sc.OUTPUT_TOKENS] == 7


def test_a_stream_that_is_left_early_ends_when_its_last_bytes_came():
    with serve() as (url, _), recorded() as recording, httpx2.Client() as client:
        response = client.send(
            client.build_request("POST", f"{url}/chat/completions", json={**CHAT, "stream": True}), stream=True
        )
        next(response.iter_bytes())
        left_ns = recording.recorder.clock.now_ns()
        plain_get(httpx2, url, CHAT)
        response.close()
    assert recording.calls()[0].end_ns <= left_ns


def test_parallel_calls_with_one_prompt_keep_their_retries_apart():
    def ask(client):
        return client.chat.completions.create(**CHAT)

    with serve(Behaviour(fail_first=2)) as (url, _), recorded() as recording:
        client = openai.OpenAI(base_url=url, api_key="x", max_retries=4)
        with ThreadPoolExecutor(3) as pool:
            contexts = [copy_context() for _ in range(3)]
            list(pool.map(lambda context: context.run(ask, client), contexts))
        client.close()
    calls = recording.calls()
    good = [span for span in calls if not span.failed]
    assert sorted(span.attributes[sc.CALL_ORDINAL] for span in good) == [1, 2, 3]
    assert sum(span.attributes[sc.CALL_ATTEMPT] - 1 for span in good) == 2
