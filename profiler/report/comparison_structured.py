"""A comparison for programs: the same figures as JSON, in nanoseconds and counts. docs/compare.md has the keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from profiler.compare.comparison import Comparison
from profiler.compare.rows import OUTSIDE
from profiler.report.comparison_words import blame_words, change_lines, headline, sources_words
from profiler.report.structured import plain_values

FORMAT = "profiler-comparison"
VERSION = 1


def render_comparison_json(comparisons: Sequence[tuple[Comparison, Sequence[str]]]) -> str:
    """One JSON object with each candidate's comparison and remarks, in the order of the command."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "comparisons": [{**compared(each), "remarks": list(remarks)} for each, remarks in comparisons],
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is an escape, as it came


def compared(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values; what cannot be told is null."""
    found: dict[str, Any] = plain_values(_plain(comparison))
    found["headline"] = headline(comparison)
    found["sources"] = sources_words(comparison)
    found["changes"] = [{**change, "chains": chains} for change, chains in found["changes"]]
    found["change_lines"] = list(change_lines(comparison))
    for told, each in zip(found["blame"], comparison.blame, strict=True):
        told["certain"] = each.certain
        told["words"] = blame_words(each, comparison)
    for told in [*found["steps"], *found["blame"]]:
        row = told["row"]
        row["position"] = None if row["position"] == OUTSIDE.position else row["position"]
    if comparison.identity is not None:
        found["identity"]["ln"] = comparison.identity.rounded()
    return found


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, without what is theirs alone."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in fields(value) if not each.name.startswith("_")]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
