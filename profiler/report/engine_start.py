"""What an engine told of itself in spans: its start, and how many of its requests are in the run."""

from __future__ import annotations

from collections.abc import Sequence

from profiler.report.text import count, duration, plural, safe
from profiler.store.manifest import EngineSpans, LoadingSpan, Manifest

_SHOWN = 5


def loading_sentence(manifest: Manifest) -> str | None:
    """What the engine's start took longest for; None if it told nothing of it."""
    spans = manifest.loading
    if not spans:
        return None
    longest = sorted(zip(spans, own_seconds(spans), strict=True), key=lambda each: -each[1])
    told = ", ".join(f"{safe(span.name, 60)} {_seconds(own)}" for span, own in longest[:_SHOWN])
    more = f" and {len(spans) - _SHOWN} more" if len(spans) > _SHOWN else ""
    whole = max(span.start_s + span.seconds for span in spans)
    ready = manifest.engine.get("startup_s")
    until = f"ready after {_seconds(ready)}, of which " if isinstance(ready, int | float) else ""
    return f"{until}{_seconds(whole)} in its own spans: {told}{more} (each without what is inside of it)"


def own_seconds(spans: Sequence[LoadingSpan]) -> list[float]:
    """Of each its duration without those directly inside of it; spans stand in order of start, parents first."""
    own = [span.seconds for span in spans]
    open_ones: list[int] = []
    for at, span in enumerate(spans):
        while open_ones and not _is_in(span, spans[open_ones[-1]]):
            open_ones.pop()
        if open_ones:
            own[open_ones[-1]] = max(0.0, own[open_ones[-1]] - span.seconds)
        open_ones.append(at)
    return own


def _is_in(inner: LoadingSpan, outer: LoadingSpan) -> bool:
    slip = 1e-6
    return inner.depth > outer.depth and inner.start_s + inner.seconds <= outer.start_s + outer.seconds + slip


def spans_sentence(spans: EngineSpans | None) -> str | None:
    """How many spans of the engine the run has; None if none were asked for."""
    if spans is None:
        return None
    over = " and ".join({"grpc": "gRPC", "http": "HTTP"}.get(name, safe(name, 20)) for name in sorted(spans.requests))
    said = f"{count(spans.kept)} kept, of {count(spans.joined)} of {plural(spans.calls, 'call')}"
    return said + (f", over {over}" if over else "")


def _seconds(value: float) -> str:
    return duration(value * 1e9)
