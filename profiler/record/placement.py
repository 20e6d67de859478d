"""Where on the client's clock the engine's durations belong."""

from __future__ import annotations

from profiler import semconv as sc
from profiler.record.protocol import EngineTiming

GAP_NS = 1_000  # Jaeger's critical path skips a sibling that begins exactly where the last one ends


def place_phases(timing: EngineTiming, sent_ns: int, first_ns: int | None, last_ns: int) -> list[tuple[str, int, int]]:
    """Put the engine's durations onto the client's clock.

    In-band timing has no absolute times, so the phases go to the latest place that agrees with what the client
    saw: the first token cannot have been made after it arrived, nor the last one.

        sent                        first chunk                 last chunk
          |--- on its way ---|queue|prefill|------ decode ------|
        with a first chunk that was held back:
          |-- on its way -|queue|prefill|.......first.. decode ..|

    Nothing begins before the sending; what would exceed the window is cut at its end.

    Returns:
        (name, start, end) for each of queue, prefill, decode that lasts; contiguous, in nanoseconds.
    """
    until_first = timing.queue_ns + timing.prefill_ns
    start = last_ns - until_first - timing.decode_ns
    if first_ns is not None:
        start = min(start, first_ns - until_first)
    at = max(start, sent_ns)
    placed = []
    durations = (timing.queue_ns, timing.prefill_ns, timing.decode_ns)
    for name, duration in zip(sc.ENGINE_PHASES, durations, strict=True):
        end = min(at + duration, last_ns)
        if end > at:
            placed.append((name, at, end))
        at = max(at, end)
    return placed
