"""TGI's and Ollama's own APIs at the wire: answers as their documentation has them, in pieces of any size."""

from __future__ import annotations

import json

import httpx2
import pytest
from recording import recorded

from profiler import semconv as sc
from profiler.record import ndjson
from profiler.record.servers import server_of
from profiler.record.sse import MAX_EVENT_BYTES, EventTooLarge
from profiler.record.wire import watch_wire
from profiler.script import Script, ScriptedCall, TaskScript, ToolCall

TGI = "http://engine"
TOKENS = ["The", " mill", " turns", "."]
TGI_EVENTS = [
    {
        "index": index,
        "token": {"id": index, "text": text, "logprob": -0.5, "special": False},
        "generated_text": "The mill turns." if index == 4 else None,
        "details": {"finish_reason": "length", "generated_tokens": 4, "seed": 7, "input_length": 12}
        if index == 4
        else None,
    }
    for index, text in enumerate(TOKENS, 1)
]
OLLAMA_LINES = [
    *({"model": "m", "created_at": f"…{n}", "message": {"role": "assistant", "content": text}, "done": False}
      for n, text in enumerate(TOKENS)),
    {"model": "m", "created_at": "…", "message": {"role": "assistant", "content": ""}, "done": True,
     "done_reason": "stop", "total_duration": 900_000, "load_duration": 100_000, "prompt_eval_count": 12,
     "prompt_eval_duration": 200_000, "eval_count": 4, "eval_duration": 500_000},
]  # fmt: skip
CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
SEARCH = ToolCall(name="search", arguments={"query": "mills"})


def sse(events):
    return b"".join(b"data:" + json.dumps(event).encode() + b"\n\n" for event in events)


def lines(objects):
    return b"".join(json.dumps(each).encode() + b"\n" for each in objects)


def answered(path, body, said, *, kind, size=10**6, status=200, headers=None, **options):
    """One request, answered in blocks of a size: the call's span, and the bytes that the agent got."""
    sent = []

    def serve(request):
        sent.append(json.loads(request.content))
        blocks = [said[at : at + size] for at in range(0, len(said), size)]
        return httpx2.Response(status, headers={"content-type": kind, **(headers or {})}, stream=Blocks(blocks))

    with recorded(**options) as recording, httpx2.Client(transport=httpx2.MockTransport(serve)) as client:
        got = client.post(f"{TGI}{path}", json=body).content
    (call,) = recording.calls()
    return call, got, sent[0], recording


class Blocks(httpx2.SyncByteStream):
    def __init__(self, blocks):
        self.blocks = blocks

    def __iter__(self):
        yield from self.blocks


def scripted(*calls):
    return Script(tasks={"t": TaskScript(calls=calls)})


@pytest.mark.parametrize("size", [1, 7, 64, 10**6])
def test_a_stream_of_tgi_is_read_in_pieces_of_any_size_and_reaches_the_agent(size):
    body = {"inputs": "Tell me.", "parameters": {"details": True}}
    said = sse(TGI_EVENTS)
    call, got, _, _ = answered("/generate_stream", body, said, kind="text/event-stream", size=size)
    assert got == said
    get = call.attributes.get
    assert (get(sc.INPUT_TOKENS), get(sc.OUTPUT_TOKENS), len(get(sc.CHUNK_TIMES_US))) == (12, 4, 4)
    assert get(sc.RESPONSE_FINISH_REASONS) == ("length",)
    assert (get(sc.OPERATION), get(sc.CALL_API)) == ("text_completion", "tgi.generate_stream")
    assert not call.failed
    assert sc.CALL_TRUNCATED not in call.attributes


def test_details_that_the_agent_did_not_ask_for_are_not_shown_to_it():
    call, got, sent, _ = answered("/generate_stream", {"inputs": "x"}, sse(TGI_EVENTS), kind="text/event-stream")
    assert sent["parameters"]["details"] is True
    assert json.loads(got.split(b"data:")[-1])["details"] is None
    assert call.attributes[sc.OUTPUT_TOKENS] == 4


def test_a_special_token_is_no_output():
    end = {"index": 5, "token": {"id": 2, "text": "</s>", "logprob": 0, "special": True}}
    events = [*TGI_EVENTS[:3], {**TGI_EVENTS[3], "generated_text": None, "details": None}]
    events.append({**end, "generated_text": "The mill turns.", "details": TGI_EVENTS[3]["details"]})
    call, _, _, _ = answered("/generate_stream", {"inputs": "x"}, sse(events), kind="text/event-stream")
    assert len(call.attributes[sc.CHUNK_TIMES_US]) == 4


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error": "Request failed during generation", "error_type": "generation"}, "engine_error"),
        ({"error": "Model is overloaded", "error_type": "overloaded"}, "429"),
    ],
)
def test_an_error_inside_a_stream_of_tgi_is_a_failed_call(error, kind):
    said = sse([TGI_EVENTS[0], error])
    call, got, _, _ = answered("/generate_stream", {"inputs": "x"}, said, kind="text/event-stream")
    assert call.failed
    assert (call.attributes[sc.ERROR_TYPE], call.message) == (kind, error["error"])
    assert got.endswith(sse([error]))


def test_an_unstreamed_answer_of_tgi_has_its_counts_and_times_in_headers():
    headers = {"x-prompt-tokens": "6", "x-generated-tokens": "20", "x-queue-time": "2", "x-inference-time": "30"}
    call, _, sent, _ = answered(
        "/generate", {"inputs": "x"}, b'{"generated_text":"word"}', kind="application/json", headers=headers
    )
    get = call.attributes.get
    assert (get(sc.INPUT_TOKENS), get(sc.OUTPUT_TOKENS)) == (6, 20)
    assert (get(sc.ENGINE_QUEUE_NS), get(sc.ENGINE_INFERENCE_NS)) == (2_000_000, 30_000_000)
    assert sent == {"inputs": "x"}, "nothing needs to be asked for"


def test_a_request_to_another_servers_generate_is_not_tgis():
    with recorded() as recording:
        transport = httpx2.MockTransport(lambda request: httpx2.Response(200, content=request.content))
        with httpx2.Client(transport=transport) as client:
            got = client.post(f"{TGI}/generate", json={"text": "x", "sampling_params": {}}).json()
            assert client.post(f"{TGI}/", json={"jsonrpc": "2.0"}).json() == {"jsonrpc": "2.0"}
    assert got == {"text": "x", "sampling_params": {}}
    assert recording.calls() == []


@pytest.mark.parametrize("size", [1, 7, 64, 10**6])
def test_a_stream_of_ollama_is_read_in_pieces_of_any_size_and_reaches_the_agent(size):
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    said = lines(OLLAMA_LINES)
    call, got, sent, _ = answered("/api/chat", body, said, kind="application/x-ndjson", size=size)
    assert got == said
    assert sent == body
    get = call.attributes.get
    assert (get(sc.INPUT_TOKENS), get(sc.OUTPUT_TOKENS), len(get(sc.CHUNK_TIMES_US))) == (12, 4, 4)
    assert (get(sc.ENGINE_LOAD_NS), get(sc.ENGINE_PREFILL_NS), get(sc.ENGINE_DECODE_NS)) == (100_000, 200_000, 500_000)
    assert get(sc.REQUEST_STREAM) is True, "it streams unless told not to"
    assert get(sc.RESPONSE_FINISH_REASONS) == ("stop",)


def test_a_whole_tool_call_of_ollama_is_one_chunk_that_bears_output():
    message = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}
    said = lines([{**OLLAMA_LINES[0], "message": message}, OLLAMA_LINES[-1]])
    call, _, _, recording = answered("/api/chat", CHAT, said, kind="application/x-ndjson")
    assert len(call.attributes[sc.CHUNK_TIMES_US]) == 1
    (spoken,) = recording.chain.spoken()
    assert [(tool.name, tool.arguments) for tool in spoken.tool_calls] == [("f", {"a": 1})]


def test_an_error_inside_a_stream_of_ollama_is_a_failed_call():
    said = lines([OLLAMA_LINES[0], {"error": "an error was encountered while running the model"}])
    call, got, _, _ = answered("/api/chat", CHAT, said, kind="application/x-ndjson")
    assert got == said
    assert (call.failed, call.attributes[sc.ERROR_TYPE]) == (True, "engine_error")


def test_what_is_no_json_in_a_stream_of_ollama_reaches_the_agent_and_is_counted():
    said = lines(OLLAMA_LINES[:1]) + b"oops\n" + lines(OLLAMA_LINES[1:])
    call, got, _, _ = answered("/api/chat", CHAT, said, kind="application/x-ndjson")
    assert got == said
    assert call.attributes[sc.ODD_CHUNKS] == 1
    assert not call.failed


def test_a_script_on_ollama_spreads_its_text_and_brings_a_tool_call_whole():
    script = scripted(ScriptedCall(content="I look.", tool_calls=(SEARCH,), output_tokens=4))
    body = {**CHAT, "options": {"stop": ["\n"], "temperature": 0}}
    call, got, sent, _ = answered(
        "/api/chat", body, lines(OLLAMA_LINES), kind="application/x-ndjson", script=script, server=server_of("ollama")
    )
    heard = [json.loads(line) for line in got.splitlines()]
    assert "".join(each["message"]["content"] for each in heard) == "I look."
    calls = [tool for each in heard for tool in each["message"].get("tool_calls", ())]
    assert calls == [{"function": {"name": "search", "arguments": {"query": "mills"}}}]
    assert [bool(each["message"].get("tool_calls")) for each in heard] == [False, False, False, True, False]
    assert sent["options"] == {"temperature": 0, "num_predict": 4}
    assert call.attributes[sc.CALL_ADAPTED] == ("options.num_predict", "options.stop")
    assert heard[-1]["eval_count"] == 4, "the engine's own figures stay"


def test_a_stream_on_the_agents_behalf_gives_it_ollamas_whole_answer():
    body = {**CHAT, "stream": False}
    call, got, sent, _ = answered(
        "/api/chat", body, lines(OLLAMA_LINES), kind="application/x-ndjson", force_stream=True
    )
    assert sent["stream"] is True
    assert json.loads(got) == {**OLLAMA_LINES[-1], "message": {"role": "assistant", "content": "The mill turns."}}
    assert len(call.attributes[sc.CHUNK_TIMES_US]) == 4


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (
            "/api/chat",
            {**CHAT, "stream": False},
            {"message": {"role": "assistant", "content": "", "thinking": "Hm, mills.", "tool_calls": [
                {"id": "call_7", "function": {"name": "f", "arguments": {"a": 1}}}]}},
        ),
        ("/api/generate", {"model": "m", "prompt": "x", "stream": False}, {"response": "", "thinking": "Hm, mills."}),
    ],
)  # fmt: skip
def test_a_stream_on_the_agents_behalf_loses_no_thinking_and_no_id_of_ollamas(path, body, said):
    last = {name: value for name, value in OLLAMA_LINES[-1].items() if name != "message"}
    head, inner = {"model": "m", "done": False}, said.get("message", said)
    parts = [{**inner, "thinking": "Hm, ", "tool_calls": []}, {**inner, "thinking": "mills."}, {"content": ""}]
    objects = [{**base, **({"message": part} if "message" in said else part)}
               for base, part in zip((head, head, last), parts, strict=True)]  # fmt: skip
    _, got, _, _ = answered(path, body, lines(objects), kind="application/x-ndjson", force_stream=True)
    assert {name: json.loads(got)[name] for name in said} == said


@pytest.mark.parametrize(
    ("path", "body", "kind", "encoded", "error"),
    [
        ("/api/chat", {**CHAT, "stream": False}, "application/x-ndjson", lines, {"error": "boom"}),
        ("/v1/chat/completions", CHAT, "text/event-stream", sse, {"error": {"message": "boom", "code": 500}}),
    ],
)
def test_an_error_in_a_stream_on_the_agents_behalf_has_the_engines_own_form(path, body, kind, encoded, error):
    call, got, _, _ = answered(path, body, encoded([error]), kind=kind, force_stream=True)
    assert json.loads(got) == error
    assert call.failed


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_no_stream_is_asked_for_where_probabilities_are_wanted(path):
    body = {**CHAT, "stream": False, "logprobs": True}
    _, _, sent, _ = answered(path, body, b"{}", kind="application/json", force_stream=True)
    assert sent["stream"] is False


def test_a_stream_of_openais_on_the_agents_behalf_loses_nothing_that_was_said():
    deltas = [{"role": "assistant", "reasoning_content": "H"}, {"reasoning_content": "m."}, {"refusal": "N"},
              {"refusal": "o."}, {}]  # fmt: skip
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "fp"}
    events = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]}
              for delta in deltas]  # fmt: skip
    _, got, _, _ = answered("/v1/chat/completions", CHAT, sse(events), kind="text/event-stream", force_stream=True)
    body = json.loads(got)
    assert (body["system_fingerprint"], body["object"]) == ("fp", "chat.completion")
    assert body["choices"][0]["message"] == {
        "role": "assistant", "content": None, "reasoning_content": "Hm.", "refusal": "No."
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/generate", {"model": "m", "keep_alive": 0}), ("/api/chat", {"model": "m", "messages": []})],
)
def test_having_ollama_load_a_model_is_no_call_and_takes_nothing_of_the_script(path, body):
    script, not_followed = scripted(ScriptedCall(content="Hi.", output_tokens=4)), []
    with recorded(script=script, server=server_of("ollama")) as recording:
        transport = httpx2.MockTransport(lambda request: httpx2.Response(200, content=request.content))
        with (
            watch_wire(recording.chain.begin_call, lambda: not_followed.append(path)),
            httpx2.Client(transport=transport) as client,
        ):
            assert client.post(f"{TGI}{path}", json=body).json() == body
    assert (recording.calls(), not_followed) == ([], [])


def test_a_line_that_is_too_large_loses_nothing_of_what_was_held():
    decoder, begun, block = ndjson.Decoder(), b'{"a', b'": 1}\n' + bytes(MAX_EVENT_BYTES + 1)
    assert decoder.feed(begun) == []
    with pytest.raises(EventTooLarge):
        decoder.feed(block)
    assert decoder.rest() == begun


@pytest.mark.parametrize(
    ("path", "body", "said", "kind", "headers", "source"),
    [
        (
            "/api/chat",
            CHAT,
            lines([*OLLAMA_LINES[:-1], {**OLLAMA_LINES[-1], "load_duration": 10**12}]),
            "application/x-ndjson",
            {},
            "ollama.durations",
        ),
        (
            "/generate",
            {"inputs": "x"},
            b'{"generated_text":"word"}',
            "application/json",
            {"x-queue-time": "0", "x-inference-time": "999999"},
            "tgi.headers",
        ),
    ],
)
def test_durations_that_no_call_of_that_length_can_have_had_are_left_out(path, body, said, kind, headers, source):
    call, _, _, recording = answered(path, body, said, kind=kind, headers=headers)
    assert call.attributes[sc.ENGINE_NOT_BELIEVED] == source
    assert sc.ENGINE_SOURCE not in call.attributes
    assert recording.trace.children.get(call.span_id, []) == []
    assert recording.chain.timings_not_believed == 1


def test_a_second_generation_of_tgi_is_known_by_an_answer_in_words_to_a_request_with_tools():
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    message = {"role": "assistant", "content": "No tool."}
    said = {"id": "", "model": "m", "usage": usage, "choices": [{"index": 0, "message": message}]}
    headers = {"x-queue-time": "0", "x-inference-time": "1"}
    for tools, hidden in (([{"type": "function"}], True), ([], False)):
        call, _, _, recording = answered(
            "/v1/chat/completions",
            {"model": "m", "messages": [], "tools": tools},
            json.dumps(said).encode(),
            kind="application/json",
            headers=headers,
            server=server_of("tgi"),
        )
        assert call.attributes.get(sc.CALL_HIDDEN, False) is hidden
        phases = [span.name for span in recording.trace.children.get(call.span_id, ())]
        assert ("unaccounted" in phases) <= hidden, "its headers tell of the second alone"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"inputs": "x", "parameters": "many"}),
        ("/generate_stream", {"inputs": ["x"], "parameters": [1]}),
        ("/api/chat", {"model": "m", "messages": "x", "options": [1]}),
        ("/api/generate", {"model": 7, "prompt": "x", "options": "x"}),
        ("/v1/chat/completions", {"model": "m", "messages": 7, "stream": True, "stream_options": "x"}),
    ],
)
def test_a_request_that_no_server_takes_reaches_it_and_the_agent_gets_its_refusal(path, body):
    said = b'{"error":"no"}'
    call, got, sent, _ = answered(path, body, said, kind="application/json", status=422)
    assert got == said
    assert {**sent, "stream_options": None} == {**body, "stream_options": None}
    assert (call.failed, call.attributes[sc.ERROR_TYPE], call.message) == (True, "422", "no")
