"""What a check came to, for a terminal, programs, and what CI servers read; `check_markdown.py` for pull requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from profiler.compare.budgets import Judged
from profiler.compare.figures import DURATION
from profiler.report.check_words import Told
from profiler.report.comparison_words import amount
from profiler.report.text import safe
from profiler.stats.paired import Verdict

FORMAT, VERSION = "profiler-check", 1


@dataclass(frozen=True, slots=True)
class Checked:
    """All verdicts of a run.

    Attributes:
        run: its name.
        against: the baseline's, if there is one.
        judged: every limit and margin.
        cannot_tell: `pass` or `fail`: what it does to the exit code.
        remarks: what a reader must know before believing it.
        told: what ran, and what explains a difference to the baseline.
    """

    run: str
    against: str | None
    judged: tuple[Judged, ...]
    cannot_tell: str
    remarks: tuple[str, ...] = ()
    told: Told = field(default_factory=Told)

    @property
    def verdict(self) -> Verdict:
        """The worst one."""
        found = {each.verdict for each in self.judged}
        return next((each for each in (Verdict.REGRESSED, Verdict.CANNOT_TELL) if each in found), Verdict.NOT_REGRESSED)

    @property
    def explained(self) -> tuple[str, ...]:
        """What takes longer than in the baseline, where that matters."""
        return () if self.verdict is Verdict.NOT_REGRESSED else self.told.blame

    def size(self, judged: Judged) -> str | None:
        """Of a ratio the mean of the baseline and of the run: `1,071 → 1,764`; None where that is not known."""
        return self.told.sizes.get(judged.name) if judged.unit == "ratio" else None

    @property
    def passed(self) -> bool:
        """Whether the exit code is 0."""
        lenient = self.cannot_tell == "pass" and self.verdict is Verdict.CANNOT_TELL
        return lenient or self.verdict is Verdict.NOT_REGRESSED


def value_words(judged: Judged) -> str:
    """`×1.042 (0.987 to 1.101)`, `3.90 s (2.91 s or more)`, `×1.000`."""
    if judged.value is None:
        return "—"
    if judged.low is None and judged.high is None:
        return _words(judged.value, judged.unit)
    value = _words(judged.value, judged.unit)
    low, high = ("" if each is None else _words(each, judged.unit) for each in (judged.low, judged.high))
    if not low or not high:
        return f"{value} ({f'{low} or more' if low else f'{high} or less'})"
    low, high = (each.removeprefix("×").removesuffix(" points") for each in (low, high))
    return value if judged.low == judged.high else f"{value} ({low} to {high})"


def _words(value: float, unit: str) -> str:
    if unit == "points":
        shown = round(value * 100, 1)
        return f"{shown:+.1f} points" if shown else "0 points"
    return f"×{value:.3f}" if unit == "ratio" else amount(value, unit if unit in (DURATION, "share") else "count")


def line(judged: Judged, checked: Checked) -> str:
    """One line of text: `prompt_tokens ×1.680 (1.567 to 1.800), 1,071 → 1,764; allowed: less than 2% more`."""
    if judged.value is None and judged.verdict is Verdict.NOT_REGRESSED:
        return f"{judged.name} {judged.bound}"
    allowed = f"allowed: {judged.bound}"
    if judged.value is None:
        return f"{judged.name}: {judged.reason}; {allowed}" if judged.reason else f"{judged.name}; {allowed}"
    size = checked.size(judged)
    measured = f"{value_words(judged)}{f', {size}' if size else ''}"
    return f"{judged.name} {measured}; {allowed}{f'; {judged.reason}' if judged.reason else ''}"


def render_check(checked: Checked) -> str:
    """For a terminal: the worst first."""
    against = f" against {checked.against}" if checked.against else ""
    lines = [safe(f"{checked.verdict.value}: {checked.run}{against}", 400), ""]
    width = max(len(each.verdict.value) for each in checked.judged)
    lines += [f"{each.verdict.value:<{width}}  {safe(line(each, checked), 1000)}" for each in ordered(checked.judged)]
    if checked.explained:
        lines += ["", "Where more time goes", *(f"  {safe(each, 600)}" for each in checked.explained)]
    lines += ["", *(f"! {safe(each, 600)}" for each in checked.remarks)] if checked.remarks else []
    if checked.verdict is Verdict.CANNOT_TELL:
        lines += ["", f'"cannot tell" lets a check {checked.cannot_tell} here (cannot-tell, --cannot-tell)']
    return "\n".join(lines) + "\n"


def render_check_json(checked: Checked) -> str:
    """For programs."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "verdict": checked.verdict.value,
        "passed": checked.passed,
        "run": checked.run,
        "against": checked.against,
        "checks": [
            {
                "name": each.name,
                "verdict": each.verdict.value,
                "bound": each.bound,
                "unit": each.unit,
                "value": each.value,
                "low": each.low,
                "high": each.high,
                "reason": each.reason,
                "primary": each.primary,
            }
            for each in checked.judged
        ],
        "explained": list(checked.explained),
        "remarks": list(checked.remarks),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_junit(checked: Checked) -> str:
    """JUnit XML: a test case per limit and margin; what cannot be told is skipped, or failed if the check says so."""
    failed = [each for each in checked.judged if fails(each, checked)]
    skipped = [each for each in checked.judged if each.verdict is Verdict.CANNOT_TELL and not fails(each, checked)]
    counts = f'tests="{len(checked.judged)}" failures="{len(failed)}" skipped="{len(skipped)}"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuite name="agent-chain-profiler" {counts}>']
    for each in checked.judged:
        case = f'  <testcase classname="profiler.check" name={quoteattr(safe(each.name))}'
        said = safe(line(each, checked), 1000)
        kind = "failure" if fails(each, checked) else "skipped" if each in skipped else None
        inside = "" if kind is None else f"<{kind} message={quoteattr(said)}/>"
        lines.append(f"{case}>{inside}<system-out>{escape(said)}</system-out></testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def github_lines(checked: Checked) -> list[str]:
    """Workflow commands of GitHub Actions: an error for what fails, a warning for what cannot be told."""
    found = []
    for each in ordered(checked.judged):
        if each.verdict is Verdict.NOT_REGRESSED:
            continue
        kind = "error" if fails(each, checked) else "warning"
        said = safe(line(each, checked), 1000).replace("%", "%25")
        found.append(f"::{kind} title=profiler check%3A {each.verdict.value}::{said}")
    return found


def fails(judged: Judged, checked: Checked) -> bool:
    """Whether this one alone makes the check fail."""
    strict = judged.verdict is Verdict.CANNOT_TELL and checked.cannot_tell == "fail"
    return judged.verdict is Verdict.REGRESSED or strict


def ordered(judged: Sequence[Judged]) -> list[Judged]:
    """The worst first."""
    order = [Verdict.REGRESSED, Verdict.CANNOT_TELL, Verdict.NOT_REGRESSED]
    return sorted(judged, key=lambda each: order.index(each.verdict))
