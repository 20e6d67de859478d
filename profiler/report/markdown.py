"""The report in Markdown, short enough for a comment under a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from profiler.analysis.explain import Explanation
from profiler.analysis.finding import Finding
from profiler.analysis.summary import StepRow, Summary
from profiler.report.findings import FIRST, gain_words, seldom_on_path
from profiler.report.terminal import compounding_sentence, head_lines, title, trajectory
from profiler.report.text import count, duration, ends_of, percent, safe
from profiler.store.manifest import Manifest

MARK = "<!-- agent-chain-profiler report -->"  # by which a bot finds its own comment again
_ACTIVE = re.compile(r"([\\`*_\[\]<>#|~$&])")
_OF_WORDS = ("phase", "node", "step", "of a chain", "verdict", "metric", "why")
_LINKING = re.compile(r"([@]|://|\bwww\.)")


def render_markdown(
    explanation: Explanation,
    manifest: Manifest | None,
    caveats: Sequence[str],
    *,
    source: str,
    everything: bool = False,
) -> str:
    """Findings, head figures and phases; steps and caveats folded away. `everything`: all findings, with grounds."""
    summary = explanation.summary
    lines = [MARK, f"### {inert(title(manifest, source), 300)}", ""]
    if manifest is not None:
        lines += [f"Trajectory {inert(trajectory(manifest), 300)}  "]
    lines += [f"**{head.strip()}**: {inert(text, 300)}  " for head, text in head_lines(summary)]
    if summary.total_ns:
        lines += ["", *_findings(explanation.findings, everything=everything), "", *_phases(summary)]
        lines += ["", *folded("Steps", _steps(summary))]
        told = [] if summary.compounding is None else [compounding_sentence(summary.compounding)]
        lines += ["", *(f"{inert(line, 400)}  " for line in [*told, *seldom_on_path(explanation)])]
    if caveats:
        lines += ["", *folded(f"Caveats ({len(caveats)})", [f"- {inert(caveat, 600)}" for caveat in caveats])]
    return "\n".join(lines).rstrip() + "\n"


def inert(text: str, limit: int = 200) -> str:
    """Foreign text that Markdown shows as it is: no markup, no HTML, no link, and nobody is mentioned."""
    escaped = _ACTIVE.sub(r"\\\1", safe(text, limit))
    return _LINKING.sub(lambda found: f"{found[1][:1]}<!-- -->{found[1][1:]}", escaped).replace(r"\#", r"\#<!-- -->")


def _findings(findings: Sequence[Finding], *, everything: bool) -> Iterable[str]:
    if not findings:
        yield "No single cause stands out of the noise."
        return
    shown = findings if everything else findings[:FIRST]
    for rank, finding in enumerate(shown, start=1):
        yield f"{rank}. **{inert(finding.title, 400)}** ({inert(gain_words(finding))})  "
        told = finding.where and finding.where.lower() in finding.title.lower()
        where = f"{finding.where}: " if finding.where and not told else ""
        yield f"   → {inert(where + finding.remedy, 400)}"
        if everything:
            yield f"   → {inert(finding.detail, 600)} Holds if: {inert(finding.condition, 400)}."
    if len(shown) < len(findings):
        yield f"\nand {len(findings) - len(shown)} more (`--all`)"


def _phases(summary: Summary) -> Iterable[str]:
    mean = summary.total_ns / max(summary.chains - summary.failed, 1)
    yield from table(
        ("phase", "share", "per chain"),
        [(row.phase, percent(row.share), duration(mean * row.share)) for row in summary.phases if row.total_ns]
        + [("**sum**", "100%", duration(mean))],
    )


def _steps(summary: Summary) -> Iterable[str]:
    names = ("#", "node", "chains", "prompt", "cached", "output", "TTFT", "TPOT", "time", "share", "cumulative")
    first, left_out, last = ends_of(summary.steps)
    share = percent(sum(row.share for row in left_out))
    more = [("…", f"{count(len(left_out))} more rows", *("",) * 7, share, "")] if left_out else []
    return table(names, [*map(_step, first), *more, *map(_step, last)])


def _step(row: StepRow) -> tuple[str, ...]:
    of_calls = (count(row.input_tokens), percent(row.cached_share), count(row.output_tokens))
    speed = (duration(row.ttft_ns), duration(row.tpot_ns))
    told = (*of_calls, *speed) if row.kind == "call" else ("",) * 5
    times = (duration(row.time_ns), percent(row.share), duration(row.cumulative_ns))
    return (str(row.position), inert(row.node, 60), count(row.chains), *told, *times)


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """A table whose cells are Markdown already; what is named in words stands left."""
    yield f"| {' | '.join(names)} |"
    yield f"|{'|'.join(':--' if name in _OF_WORDS else '--:' for name in names)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def folded(heading: str, lines: Iterable[str]) -> list[str]:
    """Lines that a click opens."""
    return ["<details>", f"<summary>{heading}</summary>", "", *lines, "", "</details>"]
