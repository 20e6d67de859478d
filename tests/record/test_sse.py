"""The decoder of server-sent events, against the standard, other decoders, and every way to cut a stream."""

import re

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from profiler.record import sse
from profiler.record.sse import Decoder, Event, EventTooLarge, encode

PIECES = [b"\n", b"\r", b"\r\n", b"\n\n", b"data: x", b"data:y", b"data", b"data: ", b"data : z", b"datax: z"]
PIECES += [b":", b": note", b" ", b"event: e", b"id: 1", b"retry: 5", b"a", b"\xe2\x80\xa8", b"\xff", b"data: a\n\n"]
STREAMS = st.lists(st.sampled_from(PIECES), max_size=16).map(b"".join)


def decode(blocks):
    decoder = Decoder()
    events = [event for block in blocks for event in decoder.feed(block)]
    return events, decoder.rest()


def data_of(events):
    return [event.data for event in events if event.data]


@st.composite
def cut(draw, streams=STREAMS):
    """A stream, and the same stream in blocks."""
    stream = draw(streams)
    at = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return stream, [stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True)]


def by_the_standard(stream):
    """The data of a stream's events: all lines at once, each taken as the standard says."""
    # A CR at the very end may be the first half of a CRLF: its line is not over yet.
    *lines, _ = re.split(rb"\r\n|\r|\n", stream.removesuffix(b"\r"))
    found, data = [], []
    for line in lines:
        name, _, value = line.partition(b":")
        if not line:
            found.append(b"\n".join(data))
            data = []
        elif name == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
    return [data for data in found if data]


@settings(max_examples=90, deadline=None)
@given(cut())
def test_events_are_those_of_the_standard_however_the_stream_is_cut(both):
    stream, blocks = both
    assert data_of(decode(blocks)[0]) == by_the_standard(stream)


@settings(max_examples=60, deadline=None)
@given(cut())
def test_raw_events_and_the_rest_join_to_the_input(both):
    stream, blocks = both
    events, rest = decode(blocks)
    assert b"".join(event.raw for event in events) + rest == stream


@settings(max_examples=60, deadline=None)
@given(STREAMS)
def test_a_stream_byte_by_byte_has_the_same_events_as_at_once(stream):
    assert data_of(decode([stream[at : at + 1] for at in range(len(stream))])[0]) == data_of(decode([stream])[0])


VALUES = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=("Cs",)), min_size=1, max_size=12)


@st.composite
def well_formed(draw):
    """(stream, data of its events), as a server would write them."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text, expected = "", []
    for values in draw(st.lists(st.lists(VALUES, min_size=1, max_size=3), max_size=5)):
        if draw(st.booleans()):
            text += ": a comment" + end
        space = " " if draw(st.booleans()) or values[0].startswith(" ") else ""
        for value in values:
            text += f"data:{space or ' ' * value.startswith(' ')}{value}{end}"
        text += end
        expected.append("\n".join(values))
    return (text + ": the end").encode(), expected


@settings(max_examples=60, deadline=None)
@given(well_formed())
def test_the_openai_client_reads_the_same_data(both):
    stream, expected = both
    theirs = [event.data for event in SSEDecoder().iter_bytes(iter([stream])) if event.data]
    assert [data.decode() for data in data_of(decode([stream])[0])] == theirs == expected


@settings(max_examples=60, deadline=None)
@given(well_formed())
def test_httpx2_reads_the_same_data(both):
    stream, expected = both
    response = httpx2.Response(
        200,
        headers={"content-type": "text/event-stream; charset=utf-8"},
        content=stream,
        request=httpx2.Request("GET", "http://x"),
    )
    theirs = [event.data for event in httpx2.EventSource(response) if event.data]
    assert [data.decode() for data in data_of(decode([stream])[0])] == theirs == expected


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data: a\r\n\r\n", [b"a"]),
        (b"data: a\r\r:", [b"a"]),
        (b"data: a\n\r\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\ndata: a\n\n", [b"\na"]),
        (b"data: a\ndata\n\n", [b"a\n"]),
        (b"data: a\ndata:\ndata: b\n\n", [b"a\n\nb"]),
        (b": comment\n\n", []),
        (b": comment\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 1\nretry: 2\n\n", []),
        (b"event: x\ndata: a\n\n", [b"a"]),
        (b"Data: a\n\n", []),
        (b"data: a\xe2\x80\xa8b\n\n", [b"a\xe2\x80\xa8b"]),
        (b"data: a\x0b\x0c\x1c\x85b\n\n", [b"a\x0b\x0c\x1c\x85b"]),
        (b"\n\n\ndata: a\n\n", [b"a"]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"", []),
    ],
)
def test_lines_are_taken_as_the_standard_says(stream, data):
    assert data_of(decode([stream])[0]) == data


def test_an_event_keeps_its_comments_and_other_fields_in_its_raw_bytes():
    events, rest = decode([b": hi\nevent: x\ndata: a\n\ndata: b"])
    assert events == [Event(b"a", b": hi\nevent: x\ndata: a\n\n")]
    assert rest == b"data: b"


def test_an_event_comes_with_the_block_that_ends_it():
    decoder = Decoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\n") == [Event(b"a", b"data: a\n\n")]
    assert decoder.feed(b"data: b\n\ndata: c\n\nda") == [Event(b"b", b"data: b\n\n"), Event(b"c", b"data: c\n\n")]
    assert decoder.feed(b"") == []
    assert decoder.rest() == b"da"


def test_what_was_handed_over_is_forgotten():
    decoder = Decoder()
    decoder.feed(b"data: a\n")
    assert decoder.rest() == b"data: a\n"
    assert decoder.rest() == b""
    assert decoder.feed(b"\ndata: b\n\n")[-1].data == b"b"


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_an_event_without_an_end_is_bounded_and_its_bytes_can_be_had_back(monkeypatch, newline):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 20)
    decoder = Decoder()
    assert data_of(decoder.feed(b"data: x" + newline * 2)) == [b"x"]
    decoder.feed(b"data: 0123456789" + newline)
    with pytest.raises(EventTooLarge, match="exceeds 20 bytes"):
        decoder.feed(b"more")
    assert decoder.rest() == b"data: 0123456789" + newline


def test_the_bound_allows_the_largest_event():
    decoder = Decoder()
    decoder.feed(b"x" * sse.MAX_EVENT_BYTES)
    with pytest.raises(EventTooLarge):
        decoder.feed(b"x")


@given(st.binary(max_size=50).filter(lambda data: not set(data) & {10, 13}))
@settings(max_examples=30, deadline=None)
def test_what_is_encoded_is_decoded(data):
    assert decode([encode(data)]) == ([Event(data, b"data: " + data + b"\n\n")], b"")
