"""Wire traits over real HTTP: a correct decoder gets the same from all of them, and each is really on the wire."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from sim_server import chat, chunks, everything, forced, http, serving, streamed, text_of

from profiler.record.sse import Decoder

TRAITS = (
    "early-role",
    "tokens-per-chunk=4",
    "tool-deltas",
    "keep-alive=0.002",
    "split",
    "split=1",
    "join=3",
    "crlf",
)
SLOW = {"step_us": 8000.0}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {
    "what": {"type": "string"}}, "required": ["what"]}}}]  # fmt: skip


def http_chunks(sim, body):
    """What each chunk of HTTP held: a write of the server is one, and the bytes before them."""
    with closing(sim.connect()) as connection:
        connection.sendall(http(body, headers=["Connection: close"]))
        data, error = everything(connection)
    assert error is None
    _, _, rest = data.partition(b"\r\n\r\n")
    found = []
    while not rest.startswith(b"0\r\n"):
        size, _, rest = rest.partition(b"\r\n")
        found.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    assert rest == b"0\r\n\r\n"
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("plain"), changes=SLOW) as sim:
        return {body: found_in(http_chunks(sim, json.loads(body))) for body in BODIES}


def found_in(writes):
    """Text, tool calls and tokens that a correct decoder finds."""
    decoder = Decoder()
    events = [event for write in writes for event in decoder.feed(write) if event.data]
    assert decoder.rest() == b""
    assert events[-1].data == b"[DONE]"
    found = [json.loads(event.data) for event in events[:-1]]
    deltas = [choice["delta"] for chunk in found for choice in chunk["choices"]]
    said = "".join(delta.get("content") or "" for delta in deltas)
    arguments = "".join(
        call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", ()) if call["index"] == 0
    )
    return said, arguments, found[-1]["usage"]["completion_tokens"]


BODIES = [json.dumps(streamed(**forced(21))), json.dumps(streamed(tools=TOOLS, tool_choice="required"))]


@pytest.mark.parametrize("trait", TRAITS)
@pytest.mark.parametrize("body", BODIES, ids=["words", "tools"])
def test_a_correct_decoder_gets_the_same(tmp_path, plain, trait, body):
    with serving(tmp_path, traits=[trait], changes=SLOW) as sim:
        writes = http_chunks(sim, json.loads(body))
        truth = sim.truth()
    assert found_in(writes) == plain[body]
    assert len(writes) == len(truth.writes_ns)
    assert truth.written_tokens[-1] == truth.output_tokens == plain[body][2]


def writes_under(tmp_path, *traits, **fields):
    with serving(tmp_path, traits=traits, changes=SLOW) as sim:
        return http_chunks(sim, streamed(**forced(21), **fields)), sim.truth()


def test_without_traits_a_write_is_an_event_and_a_chunk_a_token(tmp_path):
    writes, truth = writes_under(tmp_path)
    assert len(writes) == 1 + 21 + 2
    assert all(write.count(b"\n\n") == 1 and write.endswith(b"\n\n") for write in writes)
    assert truth.written_tokens == [0, *range(1, 22), 21, 21]


def test_the_role_comes_long_before_the_first_token(tmp_path):
    with serving(tmp_path, traits=["early-role"], changes={"step_us": 300_000.0}) as sim:
        writes, truth = http_chunks(sim, streamed(**forced(1))), sim.truth()
    assert b'"role":"assistant"' in writes[0]
    assert truth.writes_ns[0] < truth.first_token_ns <= truth.writes_ns[1]


def test_without_it_the_role_comes_with_the_first_token(tmp_path):
    _, truth = writes_under(tmp_path)
    assert truth.first_token_ns <= truth.writes_ns[0]


def test_chunks_hold_several_tokens(tmp_path):
    writes, truth = writes_under(tmp_path, "tokens-per-chunk=4")
    assert truth.written_tokens == [0, 4, 8, 12, 16, 20, 21, 21, 21]
    assert len(writes) == 9


def test_events_are_split_inside(tmp_path):
    writes, truth = writes_under(tmp_path, "split=7")
    assert max(map(len, writes)) == 7
    assert writes[-1] == b"\n"
    assert truth.written_tokens == sorted(truth.written_tokens)


def test_events_share_a_write(tmp_path):
    writes, _ = writes_under(tmp_path, "join=4")
    assert [write.count(b"\n\n") for write in writes] == [4] * 6


def test_comments_come_in_the_silence_between_events(tmp_path):
    with serving(tmp_path, traits=["keep-alive=0.002"], changes={"step_us": 100_000.0}) as sim:
        writes, truth = http_chunks(sim, streamed(**forced(3))), sim.truth()
    comments = [write for write in writes if write.startswith(b":")]
    assert comments
    assert all(write == b": keep-alive\n\n" for write in comments)
    assert len(writes) - len(comments) == 1 + 3 + 2
    assert len(writes) == len(truth.writes_ns)
    assert b"[DONE]" in writes[-1]


def test_lines_end_with_cr_lf(tmp_path):
    writes, _ = writes_under(tmp_path, "crlf")
    assert all(write.endswith(b"\r\n\r\n") and write.count(b"\n") == 2 for write in writes)


def test_text_has_separators_that_end_no_line(tmp_path):
    writes, _ = writes_under(tmp_path, "line-separator-text")
    text = text_of(chunks(b"".join(writes)))
    assert "\u2028".encode() in b"".join(writes)
    assert "\u2028" in text
    assert "\x85" in text


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_comes_first_in_its_field(tmp_path, field):
    writes, _ = writes_under(tmp_path, f"reasoning={field}")
    deltas = [choice["delta"] for chunk in chunks(b"".join(writes)) if chunk != "[DONE]" for choice in chunk["choices"]]
    thought = [index for index, delta in enumerate(deltas) if delta.get(field)]
    said = [index for index, delta in enumerate(deltas) if delta.get("content")]
    assert thought
    assert said
    assert max(thought) < min(said)


def test_a_tool_call_comes_in_pieces_or_at_once(tmp_path):
    def pieces(name, *traits):
        folder = tmp_path / name
        folder.mkdir()
        with serving(folder, traits=traits) as sim:
            found = chunks(sim.post({**streamed(tools=TOOLS, tool_choice="required")}).content)
        deltas = [choice["delta"] for chunk in found if chunk != "[DONE]" for choice in chunk["choices"]]
        return [call for delta in deltas for call in delta.get("tool_calls", ()) if call["index"] == 0]

    whole, parts = pieces("whole"), pieces("parts", "tool-deltas")
    assert len(whole) == 1
    assert len(parts) > 2
    assert "".join(part["function"]["arguments"] for part in parts) == whole[0]["function"]["arguments"]
    assert [part["function"].get("name") for part in parts] == ["look"] + [None] * (len(parts) - 1)


def test_traits_do_not_touch_what_is_not_streamed(tmp_path):
    with serving(tmp_path, traits=["split", "crlf", "join=3", "tokens-per-chunk=4", "keep-alive=0.001"]) as sim:
        assert sim.post(chat()).json()["choices"][0]["message"]["content"]
