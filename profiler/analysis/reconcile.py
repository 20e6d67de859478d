"""Did everything that reached the engine end up in the trace? The embedded engine's log says what reached it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

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
