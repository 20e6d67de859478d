"""One call that two layers record is one call: a framework's instrumentation above, an SDK's below or beside it.

    chat           |----------------------|       chat          |----------------------|
      ChatCompletion   |---------------|            ChatCompletion  |---------------|   beside it: the
                                                                                        framework's was not current

Either way the outer one is the call, from the framework's entry to its end; the inner one is a part of it, and what
only the inner one tells (tokens, the first token) is taken over. A sibling is a twin only if another layer wrote it
(another convention or another name), the model and the tokens agree, and it lies within the other; each call has one
at most.

A call that holds several calls is none: a loop of a library's own, or a wrapper that tries again. They are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from profiler import semconv as sc
from profiler.analysis.dialects import AGENT, CALL, TASK, TOOL
from profiler.analysis.lineage import downwards, nearest, parents
from profiler.analysis.model import Repair, Span, Value

MERGED: Final = "merged-layer"
WRAPPER: Final = "wrapper-call"
_PART: Final = 0  # kind of a span that is a part of another: OTHER
_TAKEN_OVER: Final = (
    sc.PROVIDER, sc.REQUEST_MODEL, sc.REQUEST_STREAM, sc.RESPONSE_MODEL, sc.RESPONSE_ID, sc.RESPONSE_FINISH_REASONS,
    sc.INPUT_TOKENS, sc.OUTPUT_TOKENS, sc.CACHED_TOKENS, sc.REASONING_TOKENS, sc.SERVER_ADDRESS, sc.SERVER_PORT,
)  # fmt: skip
_SAME: Final = (sc.INPUT_TOKENS, sc.OUTPUT_TOKENS)
_MOST_RUNNING: Final = 64  # calls at the same time that are looked at
_SLIP_NS: Final = 1_000_000  # two layers read the clock one after the other


def merged(spans: list[Span], kinds: list[int], conventions: Sequence[str | None]) -> list[Repair]:
    """Make one of every call and tool that is recorded twice; `spans` and `kinds` are changed in place.

    Returns:
        what was found, for the trace's repairs.
    """
    repairs: list[Repair] = []
    _reparent_siblings(spans, kinds, conventions, parents(spans))
    _merge_nested(spans, kinds, parents(spans), repairs)
    return repairs


def _reparent_siblings(
    spans: list[Span], kinds: Sequence[int], conventions: Sequence[str | None], above: Sequence[int]
) -> None:
    families: dict[int, list[int]] = {}
    for at, kind in enumerate(kinds):
        if kind == CALL and above[at] >= 0:
            families.setdefault(above[at], []).append(at)
    layer = [(name, span.name) for name, span in zip(conventions, spans, strict=True)]
    for family in families.values():
        if len({layer[at] for at in family}) < 2:  # noqa: PLR2004 - a twin is of another layer
            continue
        running: list[int] = []  # that have no twin yet, by start
        for inner in sorted(family, key=lambda at: (spans[at].start_ns, -spans[at].end_ns)):
            outer = _begun_last(running, inner, spans, layer)
            if outer is None:
                running.append(inner)
            else:
                running.remove(outer)
                spans[inner] = spans[inner]._replace(parent_id=spans[outer].span_id)


def _begun_last(running: list[int], inner: int, spans: Sequence[Span], layer: Sequence[object]) -> int | None:
    """The call whose twin it is; calls that have ended are taken out of `running` on the way."""
    now = spans[inner].start_ns
    for at in running[: -_MOST_RUNNING - 1 : -1]:
        if spans[at].end_ns < now:
            running.remove(at)
        elif layer[at] != layer[inner] and _is_twin(spans[at], spans[inner]):
            return at
    return None


def _is_twin(outer: Span, inner: Span) -> bool:
    if inner.end_ns > outer.end_ns + _SLIP_NS:
        return False
    models = [_model(span) for span in (outer, inner)]
    if None not in models and models[0] != models[1]:
        return False
    told = [(outer.attributes.get(name), inner.attributes.get(name)) for name in _SAME]
    return all(one is None or other is None or one == other for one, other in told)


def _model(span: Span) -> Value:
    return span.attributes.get(sc.REQUEST_MODEL) or span.attributes.get(sc.RESPONSE_MODEL)


def _merge_nested(spans: list[Span], kinds: list[int], above: Sequence[int], repairs: list[Repair]) -> None:
    inside = nearest(above, kinds, (CALL, TOOL, TASK, AGENT))
    held: dict[int, list[int]] = {}
    for at, outer in enumerate(inside):
        if outer < 0 or kinds[outer] != kinds[at]:
            continue
        of_one_tool = spans[at].attributes.get(sc.TOOL_NAME) == spans[outer].attributes.get(sc.TOOL_NAME)
        if kinds[at] == CALL or (kinds[at] == TOOL and of_one_tool):
            held.setdefault(outer, []).append(at)
    for outer in reversed(downwards(above)):  # the innermost first: three layers are one call, too
        inner = held.get(outer, ())
        if len(inner) == 1:
            detail = f"span {spans[inner[0]].span_id} records again what span {spans[outer].span_id} does: a part of it"
            repairs.append(Repair(MERGED, spans[inner[0]].span_id, detail))
            spans[outer] = _with_what_is_told(spans[outer], spans[inner[0]])
            _demote(spans, kinds, inner[0])
        elif inner and kinds[outer] == CALL:
            detail = f"span {spans[outer].span_id} holds {len(inner)} calls: they are counted, it is not"
            repairs.append(Repair(WRAPPER, spans[outer].span_id, detail))
            _demote(spans, kinds, outer)


def _demote(spans: list[Span], kinds: list[int], at: int) -> None:
    attributes = {name: value for name, value in spans[at].attributes.items() if name != sc.OPERATION}
    spans[at] = spans[at]._replace(attributes=attributes)
    kinds[at] = _PART


def _with_what_is_told(outer: Span, inner: Span) -> Span:
    taken = {name: inner.attributes[name] for name in _TAKEN_OVER if name in inner.attributes}
    first_s = inner.attributes.get(sc.RESPONSE_TTFC)
    if first_s is not None:
        taken[sc.RESPONSE_TTFC] = first_s + (inner.start_ns - outer.start_ns) / 1e9
    if inner.attributes.get(sc.REQUEST_STREAM):
        taken[sc.REQUEST_STREAM] = True
    return outer._replace(attributes={**taken, **outer.attributes})
