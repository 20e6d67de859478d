"""The HTML of a comparison: which chains are drawn, and where the file goes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profiler.compare.comparison import Comparison
    from profiler.report.comparison_html import Pair
    from profiler.store.reader import LoadedRun

BUDGET_BYTES = 3_000_000
_AT_ONCE = 50  # pairs of traces in memory


def write_comparison_html(
    base: LoadedRun,
    candidate: LoadedRun,
    comparison: Comparison,
    target: Path | None,
    *,
    force: bool,
    verdict: str = "",
    said: Sequence[str] = (),
) -> None:
    """Write it, and say where.

    Args:
        base: one run.
        candidate: the other.
        comparison: of both.
        target: the file; None for comparison.html in the candidate's folder.
        force: replace what is no report of ours.
        verdict: of a measurement in turns, above all else.
        said: what is to be known besides the comparison's own remarks.

    Raises:
        UsageError, StoreError: there is another file, or it cannot be written.
    """
    from profiler.cli.ending import note
    from profiler.cli.output import STDOUT, put
    from profiler.report.comparison_html import pairs_of, render_comparison_html
    from profiler.report.comparison_words import remarks, title_words

    target = candidate.spans_path.parent / "comparison.html" if target is None else target
    pairs = pairs_of(base.tables, candidate.tables)
    manifests = (base.manifest, candidate.manifest)
    page = render_comparison_html(
        comparison,
        [*said, *remarks(comparison, manifests)],
        pairs,
        title=title_words(*manifests),
        pictures=drawn_pairs(base, candidate, pairs),
        verdict=verdict,
    )
    put(page, target, force=force)
    if target != STDOUT:
        note(f"comparison written to {target}: open it in a browser")


def drawn_pairs(
    base: LoadedRun, candidate: LoadedRun, pairs: Sequence[Pair], budget: int = BUDGET_BYTES
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Trace id -> packed picture, of as many pairs as fit into the budget; and the names that these refer to."""
    from profiler.report.distributions import facts_of
    from profiler.report.picture import Packer, picture

    found: dict[str, dict[str, Any]] = {}
    packer = Packer()
    for begin in range(0, len(pairs), _AT_ONCE):
        some = pairs[begin : begin + _AT_ONCE]
        drawn = []
        for side, run in enumerate((base, candidate)):
            ids = [pair.ids[side] for pair in some]
            here = (table[table["trace_id"].isin(ids)] for table in (run.tables.calls, run.tables.tools))
            facts = facts_of(*here)
            drawn.append([packer.pack(picture(trace, facts)) for trace in run.read_traces(ids)])
        for pair, *both in zip(some, *drawn, strict=True):
            budget -= sum(len(json.dumps(each, separators=(",", ":"))) for each in both)
            if budget < 0:
                return found, packer.names
            found.update(zip(pair.ids, both, strict=True))
    return found, packer.names
