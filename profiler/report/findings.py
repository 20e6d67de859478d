"""Findings and what belongs to them, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from profiler.analysis.explain import Explanation, OnPath
from profiler.analysis.finding import Finding
from profiler.report.text import count, duration, percent, plural, safe

FIRST = 5
_MOST_PLACES = 5
_LEAST_SHARE = 0.01  # of the mean chain
_ALWAYS = 0.995  # a share that would be printed as 100%


def finding_table(findings: Sequence[Finding], *, everything: bool = False) -> Table:
    """The ranked list: gain, title and remedy; with `everything` all of them, and what they rest on."""
    together = " (gains overlap: they do not add up)" if len(findings) > 1 else ""
    table = Table(
        title=f"Findings{together}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        show_header=bool(findings),
    )
    if not findings:
        table.add_row("no single cause stands out of the noise")
        return table
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("gain", justify="right", no_wrap=True)
    table.add_column("of chain", justify="right", no_wrap=True)
    table.add_column("what it is, and what to do", ratio=1)
    shown = findings if everything else findings[:FIRST]
    for rank, finding in enumerate(shown, start=1):
        gain = duration(finding.gain_ns), percent(finding.share)
        table.add_row(str(rank), *gain, Text(safe(finding.title, 400)))
        for text in [_remedy(finding), *(_grounds(finding) if everything else ())]:
            table.add_row("", "", "", Text(safe(text, 600), style="dim"))
    if len(shown) < len(findings):
        table.add_row("", "", "", Text(f"and {len(findings) - len(shown)} more with --all", style="dim"))
    return table


def _remedy(finding: Finding) -> str:
    """What to do, with the place if the title does not name it."""
    named = finding.where.lower() in finding.title.lower()
    return finding.remedy if named else f"{finding.where[0].upper()}{finding.where[1:]}: {finding.remedy}"


def gain_words(finding: Finding) -> str:
    """What a chain gains in the mean."""
    if finding.gain_ns is None:
        return "gain not known"
    share = "" if finding.share is None else f" ({percent(finding.share)})"
    return f"gain {duration(finding.gain_ns)} per chain{share}"


def _grounds(finding: Finding) -> list[str]:
    told = [finding.detail]
    if finding.condition:
        told.append(f"Holds if: {finding.condition}")
    for each in finding.evidence:
        span = f", span {each.span_id}" if each.span_id else ""
        told.append(f"See trace {each.trace_id}{span}{f': {each.note}' if each.note else ''}")
    return [text for text in told if text]


def seldom_on_path(explanation: Explanation) -> list[str]:
    """What the chains wait for only sometimes, or never: a faster one is worth less than its time, or nothing."""
    summary = explanation.summary
    least = _LEAST_SHARE * summary.total_ns / max(summary.chains - summary.failed, 1)
    sometimes = [row for row in explanation.on_path if 0 < row.share < _ALWAYS and row.drag_ns >= least]
    lines = [_sometimes(row) for row in sorted(sometimes, key=lambda row: -row.drag_ns)[:_MOST_PLACES]]
    never = [row for row in explanation.on_path if not row.share]
    if never:
        named = [f"{_place(row)} ({duration(row.slack_ns)})" for row in never[:_MOST_PLACES]]
        more = f" and {plural(len(never) - _MOST_PLACES, 'other')}" if len(never) > _MOST_PLACES else ""
        told = f"Never what the chains wait for (and how much longer it may take for free): {', '.join(named)}{more}"
        lines.append(told)
    return lines


def _place(row: OnPath) -> str:
    return f"step {row.position}'s {safe(row.name, 60)}" if row.name else f"call {row.position}"


def _sometimes(row: OnPath) -> str:
    """`Step 2's search is on the critical path in 5 of the 6 chains that run it`, with what it is worth there."""
    place = _place(row)
    return (
        f"{place[0].upper()}{place[1:]} is on the critical path in {on_path_in(row)} that run it: without it they "
        f"would gain {duration(row.drag_ns)} in the mean"
    )


def on_path_in(row: OnPath) -> str:
    """`2 of the 3 chains`."""
    return f"{count(round(row.share * row.chains))} of the {plural(row.chains, 'chain')}"


def repair_sentence(explanation: Explanation) -> str | None:
    """How many traces' defects were mended, by kind."""
    if not explanation.repairs:
        return None
    kinds = ", ".join(f"{safe(kind)} {number}" for kind, number in explanation.repairs)
    total = sum(number for _, number in explanation.repairs)
    return f"{plural(total, 'repair')} of the traces before they could be read: {kinds}"
