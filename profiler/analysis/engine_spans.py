"""An engine's own spans of requests, below the calls that they answer: their timing, or a second witness of it.

    call         |---------------------------------|
    llm_request      |---------------------------|
    phases           | queue | prefill | decode |       ends with the last token, backwards from there

A call of ours mostly has the engine's timing already, from the answer itself (in-band). Then the span is compared with
it: both are of the same moments on the engine, so what differs by more than a millisecond is told. Of several requests
below one call it is not known which the answer came from: none is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from profiler import semconv as sc
from profiler.analysis import dialects
from profiler.analysis.lineage import nearest, parents
from profiler.analysis.model import Repair, Span, Value

DISAGREES: Final = "timing-disagrees"  # the kind of repair that tells of it; nothing is changed
AGREE_NS: Final = 1_000_000
JOIN: Final = "+"  # between the sources of a call's timing; the first is the one that is used

_BETWEEN_NS: Final = 1000  # Jaeger skips a sibling that begins exactly where another ends
_CALL, _REQUEST, _OTHER = 1, 2, 0
_CLAIMS: Final = (sc.OPERATION, sc.STEP_NODE, sc.TASK_ID)  # what only the recorder's own spans may say
_COMPARED: Final = (
    (sc.ENGINE_QUEUE_NS, "queue"),
    (sc.ENGINE_DECODE_NS, "decode"),
    (sc.ENGINE_INFERENCE_NS, "inference"),
)


def joined(spans: Sequence[Span]) -> tuple[Sequence[Span], tuple[Repair, ...]]:
    """One of our traces with what the engine's spans in it say; as it is where there are none."""
    if len({span.service for span in spans}) <= 1:  # asked of every chain, and mostly so
        return spans, ()
    mine = _recorder(spans)
    found = [span if span.service == mine else _without_claims(span) for span in spans]
    kinds = [_kind(span) for span in found]
    lineage = parents(found)
    repairs: list[Repair] = []
    for call, requests in _requests(lineage, kinds).items():
        if call < 0 or len(requests) != 1:
            continue
        engine = found[requests[0]].attributes
        source, above = dialects.engine_source(engine), found[call].attributes.get(sc.ENGINE_SOURCE)
        if not isinstance(above, str):
            found += timed(found, call, requests[0])
        elif source not in above.split(JOIN):
            repairs += _compared(found[call], dialects.engine_times(engine))
            told = {**found[call].attributes, sc.ENGINE_SOURCE: f"{above}{JOIN}{source}"}
            found[call] = found[call]._replace(attributes=told)
    return found, tuple(repairs)


def _recorder(spans: Sequence[Span]) -> str:
    """The service that recorded the chain: of the span with the task, else of the first call."""
    told = (span.service for span in spans if sc.TASK_ID in span.attributes or sc.CALL_ORDINAL in span.attributes)
    return next(told, spans[0].service)


def _without_claims(span: Span) -> Span:
    """A gateway or an engine may call its own span a chat: the call is the client's, and counted once."""
    attributes = span.attributes
    if not any(name in attributes for name in _CLAIMS):
        return span
    return span._replace(attributes={name: value for name, value in attributes.items() if name not in _CLAIMS})


def _kind(span: Span) -> int:
    if span.is_call:
        return _CALL
    return _REQUEST if dialects.engine_source(span.attributes) else _OTHER


def _requests(lineage: list[int], kinds: Sequence[int]) -> Mapping[int, list[int]]:
    """Call -> requests below it. Of one request's spans that all tell its timing the outermost counts."""
    above = nearest(lineage, kinds, (_CALL,))
    within = nearest(lineage, kinds, (_CALL, _REQUEST))
    below: dict[int, list[int]] = {}
    for at, kind in enumerate(kinds):
        if kind == _REQUEST and (within[at] < 0 or kinds[within[at]] == _CALL):
            below.setdefault(above[at], []).append(at)
    return below


def _compared(call: Span, times: Mapping[str, int]) -> Iterator[Repair]:
    differences = differences_ns(call.attributes, times)
    precision = call.attributes.get(sc.ENGINE_PRECISION_NS, 0)  # headers of TGI are cut off to milliseconds
    beyond = {name: value for name, value in differences.items() if abs(value) > AGREE_NS + precision}
    if beyond and not call.failed:
        words = " and ".join(f"{name} by {value / 1e6:+.3f} ms" for name, value in beyond.items())
        yield Repair(
            DISAGREES, call.span_id, f"span {call.span_id}: the engine's span differs from its answer: {words}"
        )


def differences_ns(call: Mapping[str, Value], times: Mapping[str, int]) -> dict[str, int]:
    """By how much a span's durations are longer than the call's in-band ones, where both tell them."""
    return {
        words: times[name] - call[name]
        for name, words in _COMPARED
        if name in times and isinstance(call.get(name), int)
    }


def timed(found: list[Span], call: int, request: int) -> list[Span]:
    """Give the call the timing of the engine's span below it; the spans of its phases, to be added."""
    engine = found[request]
    times = dialects.engine_times(engine.attributes)
    told = dialects.translated(engine, dialects.CALL)
    counts = {name: told[name] for name in (sc.INPUT_TOKENS, sc.OUTPUT_TOKENS, sc.CACHED_TOKENS) if name in told}
    source = dialects.engine_source(engine.attributes)
    timing = {**counts, **times, **found[call].attributes, sc.ENGINE_SOURCE: source}
    found[call] = found[call]._replace(attributes=timing)
    made = []
    end = dialects.engine_end_ns(engine)
    for phase, name in dialects.PHASES_BACKWARDS:
        start = max(end - times.get(name, 0), engine.start_ns)
        if name in times and start < end:
            made.append(
                Span(
                    engine.trace_id,
                    f"{engine.span_id}-{phase}",
                    engine.span_id,
                    phase,
                    start,
                    end,
                    {sc.PHASE: phase},
                    service=engine.service,
                )
            )
            end = start - _BETWEEN_NS
    return made
