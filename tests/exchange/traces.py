"""Traces for the tests of exports and imports: as OTLP JSON, made by hand or by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from profiler import semconv as sc
from profiler.exchange.documents import Item, canonical, wrapped

BASE = 1_800_000_000_000_000_000
TRACE = "0123456789abcdef0123456789abcdef"


def item(name, start, end, parent=None, *, trace=TRACE, service="agent", base=BASE, kind=1, **attributes):
    """A span called `name`, whose id is made of its name; times are nanoseconds after BASE, None for unknown."""
    span = {
        "traceId": trace,
        "spanId": span_id(name),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(0 if start is None else base + start),
        "endTimeUnixNano": str(0 if end is None else base + end),
    }
    if parent is not None:
        span["parentSpanId"] = span_id(parent)
    if attributes:
        span["attributes"] = [{"key": key, "value": wrapped(value)} for key, value in attributes.items()]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return Item(resource, {"name": "profiler", "version": "1"}, canonical(span))


def span_id(name):
    return f"{abs(hash_of(name)):016x}"


def hash_of(name):
    return int.from_bytes(name.encode()[-8:].rjust(8, b"\x01"), "big") or 1


def call(start=0, end=1_000_000, queue=100_000, prefill=400_000, *, parent="root", name="chat", provider="vllm"):
    """A call with touching phases: queue, prefill and decode, decode up to the end."""
    chat = {sc.OPERATION: "chat", sc.PROVIDER: provider}
    first, second = start + queue, start + queue + prefill
    return [
        item(name, start, end, parent, kind=3, **chat),
        item(f"{name}q", start, first, name, **{sc.PHASE: "queue"}),
        item(f"{name}p", first, second, name, **{sc.PHASE: "prefill"}),
        item(f"{name}d", second, end, name, **{sc.PHASE: "decode"}),
    ]


def chain():
    """A root with a call and a tool that touch."""
    root = item("root", 0, 2_000_000, **{sc.OPERATION: "invoke_agent", sc.TASK_ID: "t1"})
    tool = item("tool", 1_000_000, 1_500_000, "root", **{sc.OPERATION: "execute_tool"})
    return [root, *call(), tool]


TEXTS = st.text(max_size=8)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def traces(draw, least=1, most=7):
    """Trees of spans with any times, some unknown, siblings that often touch."""
    size = draw(st.integers(least, most))
    times = st.integers(0, 12).map(lambda number: number * 700)  # ns: often less than a µs apart
    found = []
    for number in range(size):
        start = draw(st.none() | times) if number else 0
        end = draw(st.none() | times) if number else 9_000
        parent = f"s{draw(st.integers(0, number - 1))}" if number else None
        attributes = draw(st.dictionaries(st.sampled_from(["a", "b", "profiler.phase"]), VALUES, max_size=2))
        attributes |= draw(st.sampled_from([{}, {sc.PROVIDER: "vllm"}]))
        found.append(item(f"s{number}", start, end, parent, **attributes))
    return found
