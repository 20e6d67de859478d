"""TTFT and TPOT of one streamed call, from the arrivals of its chunks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

_FEWEST_GAPS = 3  # of which a median says something
_EVEN = 0.25  # how far apart two estimates of an even pace may be


def ttft_ns(times_us: Sequence[int]) -> int | None:
    """Time to first token: from the request's sending to the first chunk that bears output; None without one.

    Args:
        times_us: arrivals of the chunks that bear output, in microseconds after the sending.
    """
    return int(times_us[0]) * 1000 if times_us else None


def tpot_ns(times_us: Sequence[int], output_tokens: int | None) -> float | None:
    """Time per output token after the first arrival, in nanoseconds: (last - first) / (tokens - tokens in the first).

        tokens    1 2 3 4        5 6 7 8        9 10 11 12
        arrivals        |--------------|-----------------|      8 tokens in that time, not 11

    Dividing by tokens - 1, as is usual, is right only where the first arrival holds one token; with four per chunk it
    is 2.4% too small at 128 tokens. Output tokens are the engine's count, never the number of chunks.

    Returns:
        None below two tokens or two arrivals.
    """
    if output_tokens is None or output_tokens < 2 or len(times_us) < 2 or times_us[-1] <= times_us[0]:  # noqa: PLR2004
        return None
    return (times_us[-1] - times_us[0]) * 1000 / (output_tokens - tokens_in_first_arrival(times_us, output_tokens))


def tokens_in_first_arrival(times_us: Sequence[int], output_tokens: int) -> float:
    """How many tokens came at once with the first, usually 1.

    As many chunks as tokens: the chunks that share the first one's time. Fewer: an estimate from the rhythm. At an
    even pace a stream lasts as many median gaps as it has arrivals after the first, and each chunk holds tokens /
    chunks. One that pauses (a tool call held back until it is complete) lasts many more median gaps than it has
    arrivals, so that its first held fewer than that. Fewer than four arrivals have no rhythm.

    Args:
        times_us: at least two different times, in order.
        output_tokens: at least 2.
    """
    together = times_us.count(times_us[0])
    gaps = [after - before for before, after in pairwise(times_us) if after > before]
    if len(times_us) >= output_tokens or len(gaps) < _FEWEST_GAPS:
        return float(min(together, output_tokens - 1))
    even = output_tokens / (len(gaps) + 1)
    by_rhythm = output_tokens / ((times_us[-1] - times_us[0]) / median(gaps) + 1)
    if abs(by_rhythm - even) <= _EVEN * even:
        return min(together * output_tokens / len(times_us), output_tokens - 1.0)
    return min(max(float(together), by_rhythm), output_tokens - 1.0)
