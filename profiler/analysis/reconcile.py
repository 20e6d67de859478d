"""Did everything that reached the engine end up in the trace? The embedded engine's log says what reached it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from profiler.analysis.model import Trace
from profiler.truth import OK, Truth


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Counts of requests and calls, joined by span id."""

    requests: int  # in the engine's log
    recorded: int  # of these, with a span
    unseen_failures: int  # of the recorded: spoilt or refused by the engine, and not failed in the trace
    unreached: int  # failed calls that never reached the engine, such as refused connections
    lost: int  # calls that did not fail and are in no log: must be 0


def reconcile(traces: Sequence[Trace], truths: Sequence[Truth]) -> Reconciled:
    """Join the calls of all chains, warm-up included, to the engine's log."""
    calls = {span.span_id: span for trace in traces for span in trace.spans if span.is_call}
    by_span = {truth.span_id: truth for truth in truths}
    without = [span for span_id, span in calls.items() if span_id not in by_span]
    recorded = [truth for truth in truths if truth.span_id in calls]
    return Reconciled(
        requests=len(truths),
        recorded=len(recorded),
        unseen_failures=sum(_failed(truth) and not calls[str(truth.span_id)].failed for truth in recorded),
        unreached=sum(span.failed for span in without),
        lost=sum(not span.failed for span in without),
    )


def _failed(truth: Truth) -> bool:
    """Whether a client must have noticed: a body that is too large on purpose is whole and valid all the same."""
    whole = truth.fault == "oversized" and not truth.stream and truth.said_all
    return truth.outcome != OK and not whole
