"""Which chains the HTML report draws one by one: all of them if they fit, else the telling ones first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from profiler.analysis.explain import Explanation
    from profiler.store.reader import LoadedRun

BUDGET_BYTES = 3_000_000
_AT_ONCE = 100  # traces in memory
_MOST_TRIED = 5000


def pictures_of(
    run: LoadedRun, explanation: Explanation, budget: int = BUDGET_BYTES
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Trace id -> packed picture, as many as fit into the budget; and the names that these refer to."""
    from profiler.report.distributions import facts_of
    from profiler.report.picture import Packer, picture

    found: dict[str, dict[str, Any]] = {}
    packer = Packer()
    left = budget
    order = list(telling_first(run.tables.chains, explanation))[:_MOST_TRIED]
    for begin in range(0, len(order), _AT_ONCE):
        ids = order[begin : begin + _AT_ONCE]
        here = (table[table["trace_id"].isin(ids)] for table in (run.tables.calls, run.tables.tools))
        facts = facts_of(*here)
        for trace in run.read_traces(ids):
            drawn = packer.pack(picture(trace, facts))
            size = len(json.dumps(drawn, separators=(",", ":")))
            if size <= left:
                left -= size
                found[trace.trace_id] = drawn
        if left < budget // 50:
            break
    return found, packer.names


def telling_first(chains: pd.DataFrame, explanation: Explanation) -> Iterator[str]:
    """Ids of chains: slowest, median, fastest; those of findings; the three of each task; failed ones; all others."""
    by_time = chains[~chains["warmup"]].sort_values("e2e_ns", ascending=False, kind="stable")
    good, failed = by_time[~by_time["failed"]], by_time[by_time["failed"]]
    evidence = [each.trace_id for finding in explanation.findings for each in finding.evidence]
    known = set(by_time["trace_id"])
    order = [*_three(good), *(trace_id for trace_id in evidence if trace_id in known)]
    for _, task in good.groupby("task_id", sort=False):
        order += _three(task)
    order += [*failed["trace_id"][:20], *good["trace_id"], *failed["trace_id"]]
    return iter(dict.fromkeys(order))


def _three(chains: pd.DataFrame) -> list[str]:
    """The slowest, the median one and the fastest, of chains by time."""
    ids = chains["trace_id"].tolist()
    return [ids[0], ids[(len(ids) - 1) // 2], ids[-1]] if ids else []
