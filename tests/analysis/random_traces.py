"""Random trees of spans: ties, touching and overlapping siblings, spans of no length, children out of their parents."""

from profiler.analysis.model import Span, Trace
from profiler.analysis.tree import build_trace


def random_trace(random) -> Trace:
    """Up to 14 spans with small integer times: small, so that ties and touching ends are common."""
    horizon = random.choice((4, 10, 30))
    root_start = random.randrange(4)
    spans = [_span("root", None, root_start, root_start + random.choice((horizon, random.randrange(horizon + 1))))]
    for number in range(random.randrange(14)):
        parent = random.choice(spans)
        spans.append(_span(f"s{number}", parent.span_id, *_times(random, spans, parent, horizon)))
    built = build_trace(spans)
    assert built is not None
    return built


def _times(random, spans, parent, horizon):
    form = random.randrange(5)
    if form == 0:  # anywhere
        start = random.randrange(horizon + 4)
        return start, start + random.randrange(horizon)
    if form == 1:  # where another ends
        start = random.choice(spans).end_ns
        return start, start + random.randrange(4)
    if form == 2:  # it outlives its parent
        start = random.randint(parent.start_ns, parent.end_ns)
        return start, parent.end_ns + random.randrange(4)
    start = random.randint(parent.start_ns, parent.end_ns)
    return start, random.randint(start, max(start, parent.end_ns))


def _span(name, parent, start, end):
    return Span("t1", name, parent, name, start, end)
