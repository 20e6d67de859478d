"""Spans and traces, said briefly: an id is a name, a time a small integer."""

from hypothesis import strategies as st

from profiler import semconv as sc
from profiler.analysis.model import Span, Trace
from profiler.analysis.tree import build_trace


def span(name, start, end, parent="root", attributes=None, *, failed=False, trace_id="t1"):
    return Span(trace_id, name, parent, name, start, end, attributes or {}, failed)


def root(start, end, attributes=None, *, failed=False, trace_id="t1"):
    attributes = {sc.OPERATION: sc.OP_INVOKE_AGENT, **(attributes or {})}
    return span("root", start, end, None, attributes, failed=failed, trace_id=trace_id)


def step(name, start, end, parent="root", *, node="model", number=1, trace_id="t1"):
    attributes = {sc.STEP_NODE: node, sc.STEP_NUMBER: number, sc.STEP_PLACE: node}
    return span(name, start, end, parent, attributes, trace_id=trace_id)


def tool(name, start, end, parent="root", *, failed=False, trace_id="t1"):
    attributes = {sc.OPERATION: sc.OP_EXECUTE_TOOL, sc.TOOL_NAME: name}
    return span(name, start, end, parent, attributes, failed=failed, trace_id=trace_id)


def call(name, start, end, parent="root", attributes=None, *, failed=False, trace_id="t1"):
    attributes = {sc.OPERATION: sc.OP_CHAT, **(attributes or {})}
    return span(name, start, end, parent, attributes, failed=failed, trace_id=trace_id)


def attempt(name, start, end, parent="root", *, number, failed=False, ordinal=1):
    attributes = {sc.CALL_PLACE: "model", sc.CALL_ORDINAL: ordinal, sc.CALL_ATTEMPT: number, sc.SENT_NS: 0}
    return call(name, start, end, parent, attributes, failed=failed)


def engine_phase(name, start, end, parent):
    return span(f"{parent}/{name}", start, end, parent, {sc.PHASE: name})


def trace(*spans) -> Trace:
    built = build_trace(spans)
    assert built is not None
    return built


TIMES = st.integers(0, 30)


@st.composite
def trees(draw, max_spans=14):
    """Any tree with any times: children may lie outside of their parents, or last no time at all."""
    start = draw(TIMES)
    spans = [root(start, start + draw(TIMES))]
    for number in range(draw(st.integers(0, max_spans - 1))):
        parent = draw(st.sampled_from(spans)).span_id
        begin = draw(TIMES)
        spans.append(span(f"s{number}", begin, begin + draw(TIMES), parent))
    return trace(*spans)


@st.composite
def chains(draw, max_spans=14):
    """Any tree of steps, tools, attempts of calls, engine phases and spans of other libraries."""
    start = draw(TIMES)
    spans = [root(start, start + draw(st.integers(0, 60)))]
    for number in range(draw(st.integers(0, max_spans - 1))):
        parent = draw(st.sampled_from(spans))
        begin = draw(st.integers(0, 60))
        attributes = draw(_attributes(parent))
        failed = draw(st.booleans())
        spans.append(span(f"s{number}", begin, begin + draw(TIMES), parent.span_id, attributes, failed=failed))
    return trace(*spans)


@st.composite
def _attributes(draw, parent):
    kinds = ["step", "tool", "call", "call", "other"] + (["phase"] * 3 if parent.is_call else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "step":
        node = draw(st.sampled_from(["model", "tools"]))
        return {sc.STEP_NODE: node, sc.STEP_NUMBER: draw(st.integers(1, 3)), sc.STEP_PLACE: node}
    if kind == "tool":
        return {sc.OPERATION: sc.OP_EXECUTE_TOOL, sc.TOOL_NAME: "search"}
    if kind == "phase":
        return {sc.PHASE: draw(st.sampled_from(sc.ENGINE_PHASES))}
    if kind == "other":
        return {}
    attributes = {
        sc.OPERATION: draw(st.sampled_from([sc.OP_CHAT, sc.OP_TEXT_COMPLETION])),
        sc.CALL_PLACE: draw(st.sampled_from(["", "model"])),
        sc.CALL_ORDINAL: draw(st.integers(1, 2)),
        sc.CALL_ATTEMPT: draw(st.integers(1, 3)),
    }
    optional = {
        sc.SENT_NS: st.integers(0, 40),
        sc.ENGINE_SOURCE: st.just("vllm.metrics"),
        sc.OUTPUT_TOKENS: st.integers(0, 9),
        sc.INPUT_TOKENS: st.integers(0, 99),
        sc.CACHED_TOKENS: st.integers(0, 9),
        sc.CHUNK_TIMES_US: st.lists(st.integers(0, 99), max_size=4).map(lambda times: tuple(sorted(times))),
        sc.REQUEST_STREAM: st.booleans(),
    }
    for name in draw(st.sets(st.sampled_from(sorted(optional)))):
        attributes[name] = draw(optional[name])
    return attributes
