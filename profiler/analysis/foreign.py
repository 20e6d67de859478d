"""Spans of other instrumentations, under our names, so that everything else works on them.

    spans  ->  adopt  ->  build_trace  ->  as for our own

Names and kinds are translated (`dialects.py`), a call that two layers record is made one (`twins.py`), node spans
become steps, an engine's own span below a call becomes its engine timing (`engine_spans.py`). What nobody recorded
stays missing, and `missing` says what that is. docs/foreign.md has the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from profiler import semconv as sc
from profiler.analysis import dialects
from profiler.analysis.dialects import AGENT, CALL, ENGINE, OTHER, TASK, TOOL
from profiler.analysis.engine_spans import joined, timed
from profiler.analysis.lineage import nearest, parents
from profiler.analysis.model import Repair, Span, Trace, Value
from profiler.analysis.tree import build_trace
from profiler.analysis.twins import merged

FOREIGN: Final = "foreign-"  # begins the kind of the repair that tells of an adoption: foreign-genai …

_OURS: Final = (sc.TASK_ID, sc.CALL_ORDINAL, sc.STEP_NODE)
_NO_SENDING = "when requests were sent (connecting counts as waiting for the engine)"
_NO_ENGINE = "engine timing"
NO_FIRST: Final = "first tokens"
_NO_CHUNKS = "chunks (no TPOT)"
_NO_TOKENS = "token counts"
_NO_STEPS = "steps of a graph"
_NO_CALLS = "calls"


class Adopted(NamedTuple):
    """Spans to build a trace of."""

    spans: Sequence[Span]  # none if the trace is of no run, such as the making of an agent
    convention: (
        str | None
    )  # genai, openinference, traceloop, or several joined by +; None for our own, and unknown ones
    missing: tuple[str, ...]  # what the instrumentation does not tell, in words
    repairs: tuple[Repair, ...] = ()


def trace_of(spans: Sequence[Span]) -> Trace | None:
    """One trace's spans as a tree, whoever recorded them; None if there is no root, or nothing of a run."""
    adopted = adopt(spans)
    trace = build_trace(adopted.spans)
    if trace is None:
        return None
    if adopted.convention is None:
        return replace(trace, repairs=(*adopted.repairs, *trace.repairs)) if adopted.repairs else trace
    told = Repair(FOREIGN + adopted.convention, trace.root.span_id, "; ".join(adopted.missing))
    return replace(trace, repairs=(told, *adopted.repairs, *trace.repairs))


def adopt(spans: Sequence[Span]) -> Adopted:
    """Translate one trace's spans; our own are handed back as they are, but for what engines' spans say of calls.

    Originals are never changed. Nothing that may stand in a span raises.
    """
    if not spans or _are_ours(spans):
        found, told = joined(spans)
        return Adopted(found, None, (), told)
    conventions = [dialects.convention_of(span.attributes) for span in spans]
    known = {name for name in conventions if name is not None}
    if not known:
        return Adopted(spans, None, ())
    if dialects.TRACELOOP in known:
        known.discard(dialects.GENAI)  # which it writes, too
    convention = "+".join(sorted(known))
    kinds = [
        dialects.kind_of(span) if name or dialects.engine_source(span.attributes) else OTHER
        for span, name in zip(spans, conventions, strict=True)
    ]
    if all(kind == OTHER for kind in kinds):
        return Adopted((), convention, ())
    found = [
        span._replace(
            attributes=(attributes := dialects.translated(span, kind)),
            failed=span.failed or (kind in (CALL, TOOL) and sc.ERROR_TYPE in attributes),
        )
        if name
        else span
        for span, name, kind in zip(spans, conventions, kinds, strict=True)
    ]
    repairs = merged(found, kinds, conventions)
    found = _with_engine_times(found, kinds)
    found = _with_steps(found, kinds)
    return Adopted(found, convention, _missing(found), tuple(repairs))


def _are_ours(spans: Sequence[Span]) -> bool:
    """Mostly told by the first or the last span, which of ours one is the root."""
    if sc.TASK_ID in spans[0].attributes or sc.TASK_ID in spans[-1].attributes:
        return True
    return any(name in span.attributes for span in spans for name in _OURS)


# --- the engine's own span -------------------------------------------------------------------------------


def _with_engine_times(spans: Sequence[Span], kinds: list[int]) -> list[Span]:
    """The span `llm_request` of vLLM as the timing of the call above it, with a span for each phase.

        call         |---------------------------------|
        llm_request      |---------------------------|
        phases           | queue | prefill | decode |       ends with the last token, backwards from there

    One that is below no call is a call itself: nobody recorded the client. Of several below one call it is not known
    which the answer came from: the call stays without engine timing.
    """
    engines = [at for at, kind in enumerate(kinds) if kind == ENGINE]
    if not engines:
        return list(spans)
    found = list(spans)
    lineage = parents(spans)
    above = nearest(lineage, kinds, (CALL,))
    below: dict[int, list[int]] = {}
    for at in engines:
        below.setdefault(above[at], []).append(at)
    for call, requests in below.items():
        if call < 0:
            for at in requests:
                attributes = {sc.OPERATION: sc.OP_CHAT, **dialects.translated(spans[at], CALL)}
                found[at] = spans[at]._replace(attributes=attributes)
                found += timed(found, at, at)
        elif len(requests) == 1:
            holder = _holder(found, lineage, requests[0], call)
            found[requests[0]] = found[requests[0]]._replace(parent_id=found[holder].span_id)
            found += timed(found, call, requests[0])
    return found


def _holder(spans: Sequence[Span], above: Sequence[int], request: int, call: int) -> int:
    """The span that is to be the request's parent: the nearest above it that lasts as long.

    An HTTP client's span of a stream ends with the headers: most of the request would be outside of it. Durations are
    compared, because the engine's clock may be another.
    """
    at = above[request]
    while at != call and spans[at].duration_ns < spans[request].duration_ns:
        at = above[at]
    return at


# --- steps -----------------------------------------------------------------------------------------------


def _with_steps(spans: Sequence[Span], kinds: Sequence[int]) -> list[Span]:
    """Node spans as steps: of spans that are part of one execution of a node, the outermost."""
    kinds = [*kinds, *[OTHER] * (len(spans) - len(kinds))]  # phases have been added at the end
    nodes = [dialects.node_of(span.attributes) for span in spans]
    above = parents(spans)
    busy = _with_something_below(above, kinds)
    found = list(spans)
    unnumbered: dict[int, list[int]] = {}
    for at, (span, kind) in enumerate(zip(spans, kinds, strict=True)):
        node = nodes[at]
        if node is not None and kind != AGENT and not _within(at, above, nodes):
            found[at] = _as_step(span, node.name, node.number)
            if node.number is None:
                unnumbered.setdefault(above[at], []).append(at)
        elif node is None and kind == TASK and at in busy:
            name = dialects.text(span.attributes.get("traceloop.entity.name"))
            if name:
                found[at] = _as_step(span, name, None)
                unnumbered.setdefault(above[at], []).append(at)
    for siblings in unnumbered.values():
        _number(found, siblings)
    return found


def _as_step(span: Span, node: str, number: int | None) -> Span:
    attributes: dict[str, Value] = {**span.attributes, sc.STEP_NODE: node, sc.STEP_PLACE: node}
    if number is not None:
        attributes[sc.STEP_NUMBER] = number
    return span._replace(attributes=attributes)


def _within(at: int, above: Sequence[int], nodes: Sequence[dialects.Node | None]) -> bool:
    """Whether the span is inside of another span of the same execution."""
    parent = above[at]
    return parent >= 0 and nodes[parent] == nodes[at]


def _with_something_below(above: Sequence[int], kinds: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for at, kind in enumerate(kinds):
        if kind in (CALL, TOOL):
            parent = above[at]
            while parent >= 0 and parent not in found:
                found.add(parent)
                parent = above[parent]
    return found


def _number(found: list[Span], siblings: Iterable[int]) -> None:
    """Supersteps by time, where they are not told: what overlaps is one."""
    number, latest = 0, -1
    for at in sorted(siblings, key=lambda at: found[at].start_ns):
        span = found[at]
        if span.start_ns >= latest:
            number += 1
        latest = max(latest, span.end_ns)
        found[at] = span._replace(attributes={**span.attributes, sc.STEP_NUMBER: number})


# --- what is not told ------------------------------------------------------------------------------------


def _missing(spans: Sequence[Span]) -> tuple[str, ...]:
    calls = [span.attributes for span in spans if span.is_call and not span.failed]
    steps = () if any(span.is_step for span in spans) else (_NO_STEPS,)
    if not calls:
        return (_NO_CALLS, *steps)
    never = ((_NO_SENDING, sc.SENT_NS), (_NO_ENGINE, sc.ENGINE_SOURCE), (NO_FIRST, sc.RESPONSE_TTFC))
    found = [words for words, name in never if not _any(calls, name)]
    found += [_NO_CHUNKS] if not _any(calls, sc.CHUNK_TIMES_US) else []
    found += [_NO_TOKENS] if not _any(calls, sc.INPUT_TOKENS) and not _any(calls, sc.OUTPUT_TOKENS) else []
    return (*found, *steps)


def _any(calls: Iterable[Mapping[str, Value]], name: str) -> bool:
    return any(name in attributes for attributes in calls)
