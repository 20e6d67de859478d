"""Do two accounts of the same requests agree?

`reconcile`: did everything that reached the engine end up in the trace? The embedded engine's log says what reached it.
`cross_check`: does the engine say the same of a request in its answer and in its own span?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from profiler import semconv as sc
from profiler.analysis import dialects
from profiler.analysis.engine_spans import JOIN, differences_ns
from profiler.analysis.model import Trace
from profiler.truth import OK, Truth

_ELSEWHERE = r"@[^@/]+:\d+$"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Counts of requests and calls, joined by span id."""

    requests: int  # in the engine's log
    recorded: int  # of these, with a span
    unseen_failures: int  # of the recorded: spoilt or refused by the engine, or left by a client, and not told so
    unreached: int  # failed calls that never reached the engine, such as refused connections
    lost: int  # calls that did not fail and are in no log: must be 0


def reconcile(calls: pd.DataFrame, truths: Sequence[Truth]) -> Reconciled:
    """Join the table of calls, those of all chains with warm-up included, to the engine's log.

    Calls to other servers are none of its business; their place names the server.
    """
    calls = calls[~calls["place"].str.contains(_ELSEWHERE, regex=True, na=False)]
    failed = dict(zip(calls["span_id"], calls["failed"], strict=True))
    given_up = set(calls["span_id"][calls["truncated"]])
    by_span = {truth.span_id for truth in truths}
    without = [each for span_id, each in failed.items() if span_id not in by_span]
    recorded = [truth for truth in truths if truth.span_id in failed]
    return Reconciled(
        requests=len(truths),
        recorded=len(recorded),
        unseen_failures=sum(
            _failed(truth) and not failed[truth.span_id] and truth.span_id not in given_up for truth in recorded
        ),
        unreached=int(sum(without)),
        lost=len(without) - int(sum(without)),
    )


def _failed(truth: Truth) -> bool:
    """Whether a client must have noticed: a body that is too large on purpose is whole and valid all the same."""
    whole = truth.fault == "oversized" and not truth.stream and truth.said_all
    return truth.outcome != OK and not whole


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """Calls that did not fail, by where the engine's timing of them is from."""

    calls: int
    by_source: Mapping[str, int]
    compared: int  # calls with timing in the answer and in a span of the engine
    most_ns: Mapping[str, int]  # queue, decode: the largest difference between the two, whichever is longer


def cross_check(traces: Iterable[Trace]) -> CrossCheck:
    """Compare what the engine says of each call in-band with its own span of it."""
    calls = compared = 0
    by_source: dict[str, int] = {}
    most: dict[str, int] = {}
    for trace in traces:
        spans = trace.spans
        for span in spans:
            if span.is_call and not span.failed:
                calls += 1
                for source in filter(None, str(span.attributes.get(sc.ENGINE_SOURCE) or "").split(JOIN)):
                    by_source[source] = by_source.get(source, 0) + 1
        for at, span in enumerate(spans):
            if dialects.engine_source(span.attributes) is None:
                continue
            above = trace.parents[at]
            while above >= 0 and not spans[above].is_call:
                above = trace.parents[above]
            if above < 0 or spans[above].failed or JOIN not in str(spans[above].attributes.get(sc.ENGINE_SOURCE)):
                continue
            compared += 1
            told = differences_ns(spans[above].attributes, dialects.engine_times(span.attributes))
            for name, difference in told.items():
                most[name] = max(most.get(name, 0), abs(difference))
    return CrossCheck(calls, by_source, compared, most)
