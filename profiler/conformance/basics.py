"""Chats, streams, and what is counted."""

from __future__ import annotations

from itertools import pairwise

from profiler.conformance.outcome import Seen, lacking, supported, unclear
from profiler.conformance.session import Session, brings_output, choices, count, finish_of, usage_of

_SAME_BLOCK_NS = 1_000_000
_MOST_IN_ONE = 0.5


def chat(session: Session) -> Seen:
    """An unstreamed chat is answered."""
    heard = session.whole
    if not heard.ok:
        return lacking(heard.says, "Nothing can be measured: no call is answered.")
    if not any(map(brings_output, choices(heard))):
        return lacking("an answer without words", "The model says nothing, so there is nothing to time.")
    return supported(f"answered, finish reason {finish_of(heard)}")


def stream(session: Session) -> Seen:
    """A streamed chat comes as events."""
    heard = session.stream
    if not heard.ok:
        return lacking(heard.says, "No first token can be seen: every call would be one block of time.")
    if heard.kind != "text/event-stream":
        means = "It does not stream: time to first token and time per token are unknown."
        return lacking(f"content type {heard.kind or 'missing'}", means)
    bearing = [at for at, data in heard.events if isinstance(data, dict) and any(map(brings_output, choices_of(data)))]
    if not bearing:
        return lacking("a stream without words", "The model says nothing, so there is nothing to time.")
    return supported(f"{len(bearing)} chunks with output")


def end_mark(session: Session) -> Seen:
    """A stream ends with [DONE]."""
    events = session.stream.events
    if not events:
        return unclear("no events")
    if events[-1][1] == "[DONE]":
        return supported("[DONE]")
    means = "The profiler takes the finish reason for the end; clients that wait for the mark wait for the connection."
    return lacking("no [DONE]", means)


def choices_of(data: dict[str, object]) -> list[dict[str, object]]:
    """Those of one chunk."""
    listed = data.get("choices")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def spread(session: Session) -> Seen:
    """Chunks come as they are made and not all at once."""
    heard = session.stream
    times = [at for at, data in heard.events if isinstance(data, dict) and any(map(brings_output, choices_of(data)))]
    if len(times) < 3:  # noqa: PLR2004 - two may well come together
        return unclear(f"{len(times)} chunks: too few to tell")
    waited = times[-1] - heard.sent_ns
    together = sum(later - at < _SAME_BLOCK_NS for at, later in pairwise(times)) / (len(times) - 1)
    if together > _MOST_IN_ONE and times[-1] - times[0] < waited / 20:
        means = "A proxy in between may hold the stream back: first token and time per token are those of the proxy."
        return lacking(f"{len(times)} chunks within {(times[-1] - times[0]) / 1e6:.1f} ms of the end", means)
    return supported(f"over {(times[-1] - times[0]) / 1e6:.0f} ms")


def role_chunk(session: Session) -> Seen:
    """No chunk without output comes before the first that has some."""
    first = next((chunk for chunk in session.stream.chunks if choices_of(chunk)), None)
    if first is None:
        return unclear("no chunks")
    if any(map(brings_output, choices_of(first))):
        return supported("the first chunk has output")
    means = "The profiler does not take it for the first token; other clients do."
    return lacking("an empty chunk opens the stream", means)


def tokens_per_chunk(session: Session) -> Seen:
    """Each chunk holds one token."""
    tokens = count(usage_of(session.stream), "completion_tokens")
    chunks = sum(any(map(brings_output, choices_of(chunk))) for chunk in session.stream.chunks)
    if not tokens or not chunks:
        return unclear("not known without usage" if chunks else "no chunks")
    found = f"{tokens} tokens in {chunks} chunks"
    means = "Times per token are spread over the tokens of a chunk; gaps between chunks are not gaps between tokens."
    return Seen(abs(tokens - chunks) <= 1, found, means)


def usage(session: Session) -> Seen:
    """An unstreamed answer counts its tokens."""
    return _counted(usage_of(session.whole), "Tokens of unstreamed calls are unknown, and so is their time per token.")


def stream_usage(session: Session) -> Seen:
    """A stream counts its tokens if asked to."""
    means = "Tokens of streamed calls can only be guessed from chunks: time per token and prompt lengths are missing."
    return _counted(usage_of(session.stream), means)


def _counted(found: dict[str, object] | None, means: str) -> Seen:
    prompt, output = count(found, "prompt_tokens"), count(found, "completion_tokens")
    if prompt is None or output is None:
        return lacking("no usage", means)
    return supported(f"{prompt} prompt and {output} output tokens")


def unasked_usage(session: Session) -> Seen:
    """A stream does not tell usage to those who did not ask."""
    if not session.plain_stream.ok:
        return unclear(session.plain_stream.says)
    if usage_of(session.plain_stream) is None:
        return supported("none")
    means = "Harmless: the profiler reads it and passes it on as it came."
    return lacking("usage comes unasked", means)


def client_defaults(session: Session) -> Seen:
    """What OpenAI's clients send by default is taken."""
    refused = []
    for shown, fields in (("top_p 1.0", {"top_p": 1.0}), ("temperature 1.0", {"temperature": 1.0})):
        heard = session.chat(tokens=1, **fields)
        if not heard.ok:
            refused.append(f"{shown} ({heard.says})")
    heard = session.wire.chat({**session.body(tokens=1), "stream_options": None})
    if not heard.ok:
        refused.append(f"stream_options null ({heard.says})")
    if not refused:
        return supported("taken")
    means = "The profiler leaves these out of what it sends, and lists that on each call; other clients fail."
    return lacking(f"refused: {'; '.join(refused)}", means)


def unknown_fields(session: Session) -> Seen:
    """A field that it does not know is left alone."""
    heard = session.chat(tokens=1, x_unknown_field=1)
    if heard.ok:
        return supported("ignored")
    means = "What only some servers know (min_tokens, ignore_eos, cache_salt) must not be sent: lengths are not forced."
    return lacking(heard.says, means)
