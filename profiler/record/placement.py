"""Where on the client's clock the engine's durations belong."""

from __future__ import annotations

from profiler.record.timing import EngineTiming

_TOLERANCE_NS = 100_000_000  # clocks that run apart, times that are cut off, an answer that came before its time


def is_credible(timing: EngineTiming, call_ns: int) -> bool:
    """Whether the engine can have spent what it tells within a call of this duration.

    It cannot where another one's answer was kept and given again, or where its clock or its unit is wrong.
    """
    return sum(duration for _, duration in timing.phases) <= call_ns * 1.1 + _TOLERANCE_NS


def place_phases(timing: EngineTiming, sent_ns: int, first_ns: int | None, last_ns: int) -> list[tuple[str, int, int]]:
    """Put the engine's durations onto the client's clock.

    In-band timing has no absolute times, so the phases go to the latest place that agrees with what the client
    saw: the first token cannot have been made after it arrived, nor the last one.

        sent                        first chunk                 last chunk
          |--- on its way ---|queue|prefill|------ decode ------|
        with a first chunk that was held back:
          |-- on its way -|queue|prefill|.......first.. decode ..|
        llama.cpp, which does not tell how long a request waited:
          |---- unaccounted ----|prefill|------ decode ----------|
        Ollama, which tells its total:
          |- on its way -|load|unaccounted|prefill|--- decode ---|

    Nothing begins before the sending; what would exceed the window is cut at its end.

    Returns:
        (name, start, end) for each phase that lasts, in nanoseconds; contiguous.
    """
    durations = timing.phases
    decode = timing.decode_ns or 0
    until_first = sum(duration for _, duration in durations) - decode
    start = last_ns - until_first - decode
    if first_ns is not None:
        start = min(start, first_ns - until_first)
    at = max(start, sent_ns)
    placed = [("unaccounted", sent_ns, at)] if timing.untold_ns is None and at > sent_ns else []
    for name, duration in durations:
        end = min(at + duration, last_ns)
        if end > at:
            placed.append((name, at, end))
        at = max(at, end)
    return placed
