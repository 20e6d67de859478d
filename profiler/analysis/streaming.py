"""TTFT and TPOT of one streamed call, from the arrivals of its chunks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

FROM_CHUNKS: Final = "chunks"
FROM_ENGINE: Final = "engine"

_STRAY = 100  # one chunk in so many tokens may lack: that of a token whose bytes make no character yet, or of the last
_FEW = 20  # tokens among which one makes too much of a difference
_FEWEST_GAPS = 3  # of which a median says something
_EVEN = 0.25  # how far a stream's length may be from that of an even pace
_LARGEST_CHUNK = 16  # tokens that a server puts into each chunk; more at once were held back
_MOST_S = 1e9  # seconds that a span's attribute is believed
_SAME_PACE = 0.1  # how far the client's figure may be from the engine's own if both are of the same tokens


class Tpot(NamedTuple):
    """Time per output token in nanoseconds, and whose figure it is: `FROM_CHUNKS` or `FROM_ENGINE`."""

    ns: float
    source: str


def ttft_ns(times_us: Sequence[int], told_s: float | None = None) -> int | None:
    """Time to first token: from the request's sending to the first chunk that bears output; None without one.

    Args:
        times_us: arrivals of the chunks that bear output, in microseconds after the sending.
        told_s: what the span tells where it has no arrivals, in seconds: another instrumentation's figure, which may
            run from the call's start and to a chunk that bears nothing.
    """
    if times_us:
        return int(times_us[0]) * 1000
    told = isinstance(told_s, int | float) and 0 <= told_s < _MOST_S
    return round(told_s * 1e9) if told_s is not None and told else None


def tpot(
    times_us: Sequence[int], output_tokens: int | None, *, unseen_tokens: int = 0, decode_ns: int | None = None
) -> Tpot | None:
    """Time per output token after the first arrival: (last - first) / (tokens - tokens in the first arrival).

        tokens    1 2 3 4        5 6 7 8        9 10 11 12
        arrivals        |--------------|-----------------|      8 tokens in that time, not 11

    Dividing by tokens - 1, as is usual, is right only where the first arrival holds one token. With four per chunk it
    is 2.4% too small at 128 tokens, with tool calls held back until they are complete by half or more. How many tokens
    the first arrival holds is known if there is a chunk for each token, and if all chunks hold as many and come at an
    even pace. Otherwise a call may have been held back, or the server may keep reasoning to itself: then the engine's
    own time from the first token to the last is divided by tokens - 1.

    Args:
        times_us: arrivals of the chunks that bear output, in order, in microseconds after the sending.
        output_tokens: the engine's count, never the number of chunks.
        unseen_tokens: those of them that came in no chunk, such as reasoning that is counted and not sent.
        decode_ns: the engine's time from the first token (an unseen one, too) to the last.

    Returns:
        None below two tokens, or where neither the chunks nor the engine can tell.
    """
    if output_tokens is None or output_tokens < 2:  # noqa: PLR2004 - a difference takes two
        return None
    by_engine = decode_ns / (output_tokens - 1) if decode_ns is not None and times_us else None
    held = _tokens_in_first_arrival(times_us, output_tokens, unseen_tokens)
    if held is not None:
        tokens, first, certain = held
        by_chunks = (times_us[-1] - times_us[0]) * 1000 / (tokens - first)
        if certain or by_engine is None or abs(by_chunks - by_engine) <= _SAME_PACE * by_engine:
            return Tpot(by_chunks, FROM_CHUNKS)
    return None if by_engine is None else Tpot(by_engine, FROM_ENGINE)


def _tokens_in_first_arrival(times_us: Sequence[int], output_tokens: int, unseen: int) -> tuple[int, int, bool] | None:
    """Tokens that the client saw, how many of them came at once with the first, and whether that is certain.

    None if it cannot be known, or if all came at once.
    """
    chunks = len(times_us)
    if chunks < 2 or times_us[-1] <= times_us[0]:  # noqa: PLR2004
        return None
    together = times_us.count(times_us[0])
    for tokens in (output_tokens, output_tokens - unseen):
        stray = max(1, tokens // _STRAY) if tokens >= _FEW else 0
        if together < tokens and chunks >= tokens - stray:
            return tokens, together, chunks >= tokens
    size = _even_chunk(times_us, output_tokens)
    if size is None or size * together >= output_tokens:
        return None
    return output_tokens, size * together, False


def _even_chunk(times_us: Sequence[int], tokens: int) -> int | None:
    """How many tokens each chunk holds, if that is the same for all but the last and they come at an even pace.

    At an even pace a stream lasts as many median gaps as it has arrivals after the first.
    """
    chunks = len(times_us)
    size = -(-tokens // chunks)
    gaps = [after - before for before, after in pairwise(times_us) if after > before]
    if not 1 < size <= _LARGEST_CHUNK or -(-tokens // size) != chunks or len(gaps) < _FEWEST_GAPS:
        return None
    lasts = (times_us[-1] - times_us[0]) / median(gaps)
    return size if abs(lasts - len(gaps)) <= _EVEN * len(gaps) else None
