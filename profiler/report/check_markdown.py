"""What a check came to, for a pull request or a step summary: what is not well at the top, the rest folded away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from profiler.compare.budgets import Judged
from profiler.report.check import Checked, ordered, value_words
from profiler.report.markdown import folded, inert, table
from profiler.report.text import plural
from profiler.stats.paired import Verdict

MARK = "<!-- agent-chain-profiler check -->"  # by which a bot finds its own comment again
_SIGNS = {Verdict.REGRESSED: "🔴", Verdict.CANNOT_TELL: "🟡", Verdict.NOT_REGRESSED: "🟢"}
_FEW = 3


def render_check_markdown(checked: Checked) -> str:
    """Verdict, what is not well and what explains it; what is well, and remarks, behind a click."""
    judged = ordered(checked.judged)
    bad = [each for each in judged if each.verdict is not Verdict.NOT_REGRESSED]
    good = judged[len(bad) :]
    lines = [MARK, f"### {_SIGNS[checked.verdict]} Latency: {checked.verdict.value}{_of(checked, bad)}", ""]
    lines += [f"{inert(checked.told.title, 300)}  "] if checked.told.title else []
    measured = f": {inert(checked.told.measured)}" if checked.told.measured else ""
    against = f" against {inert(checked.against)}" if checked.against else ""
    lines += [f"{inert(checked.run)}{against}{measured}"]
    lines += ["", *_table(checked, bad)] if bad else []
    if bad and checked.verdict is Verdict.CANNOT_TELL:
        lines += ["", f"*Cannot tell* lets this check {checked.cannot_tell} (`cannot-tell`)."]
    if checked.explained:
        lines += ["", "**Where more time goes**", ""]
        lines += [f"{rank}. {inert(each, 600)}" for rank, each in enumerate(checked.explained, start=1)]
    if good:
        rows = list(_table(checked, good))
        lines += ["", *(folded(f"🟢 Not regressed ({len(good)})", rows) if bad else rows)]
    if checked.remarks:
        said = [f"- {inert(each, 600)}" for each in checked.remarks]
        lines += ["", *folded(f"Before you believe it ({len(said)})", said)]
    return "\n".join(lines) + "\n"


def _of(checked: Checked, bad: Sequence[Judged]) -> str:
    """What is as bad as the whole: ` (prompt_tokens, cache_hits)`."""
    names = [each.name for each in bad if each.verdict is checked.verdict]
    more = f" and {plural(len(names) - _FEW, 'other')}" if len(names) > _FEW else ""
    return f" ({inert(', '.join(names[:_FEW]))}{more})" if names else ""


def _table(checked: Checked, judged: Sequence[Judged]) -> Iterable[str]:
    why = any(each.reason for each in judged)
    rows = []
    for each in judged:
        size = checked.size(each)
        measured = f"{value_words(each)}{f'<br>{size}' if size else ''}"
        row = (f"{_SIGNS[each.verdict]} {each.verdict.value}", inert(each.name), measured, inert(each.bound))
        rows.append((*row, inert(each.reason, 600)) if why else row)
    return table(("verdict", "metric", "measured", "allowed", *(["why"] if why else [])), rows)
