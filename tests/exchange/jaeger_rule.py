"""Jaeger's critical path, from its published description: an implementation of its own, in whole microseconds.

Of a span, the child that finished last is on the path, with what is on it below; what is left between that child's end
and the span's end is the span's own. Before the child, the one that finished last *before its start* follows, strictly.
Children that stick out of their parents are cut, those outside of them are left out, and PRODUCER and CONSUMER spans
with all below them are not waited for. Spans come as Jaeger's interface has them: see `spans_of`.
"""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    name: str
    start: int  # µs
    end: int  # µs
    parent: str | None
    blocking: bool
    phase: str | None


def spans_of(trace):
    """Spans of one trace of Jaeger's JSON by id."""
    found = {}
    for raw in trace["spans"]:
        tags = {tag["key"]: tag["value"] for tag in raw["tags"]}
        parents = [each["spanID"] for each in raw["references"] if each["refType"] == "CHILD_OF"]
        found[raw["spanID"]] = Span(
            raw["operationName"],
            raw["startTime"],
            raw["startTime"] + raw["duration"],
            parents[0] if parents else None,
            tags.get("span.kind") not in ("producer", "consumer"),
            tags.get("profiler.phase"),
        )
    return found


def path_times(trace):
    """Phase, or else name, of the spans on the path: microseconds that each is itself waited for."""
    spans = fitted(spans_of(trace))
    below = {}
    for identity, span in spans.items():
        if span.parent in spans:
            below.setdefault(span.parent, []).append(identity)
    root = next(identity for identity, span in spans.items() if span.parent is None)
    spent = {}
    waiting = [root]
    while waiting:
        identity = waiting.pop()
        span = spans[identity]
        at, limit = span.end, None
        while True:
            ended = [each for each in below.get(identity, ()) if limit is None or spans[each].end < limit]
            last = max(ended, key=lambda each: spans[each].end, default=None)
            until = span.start if last is None else spans[last].end
            key = span.phase or span.name
            spent[key] = spent.get(key, 0) + at - until
            if last is None:
                break
            waiting.append(last)
            at = limit = spans[last].start
    return spent


def fitted(spans):
    """Without what is not waited for, children within their parents."""
    kept = {}
    order = [identity for identity, span in spans.items() if span.parent is None]
    for parent in order:  # grows while it is walked
        order += [identity for identity, span in spans.items() if span.parent == parent]
    for identity in order:
        span = spans[identity]
        if span.parent is None:
            kept[identity] = span
            continue
        above = kept.get(span.parent)
        if above is None or not span.blocking or span.start >= above.end or span.end <= above.start:
            continue
        kept[identity] = span._replace(start=max(span.start, above.start), end=min(span.end, above.end))
    return kept
