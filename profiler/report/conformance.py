"""What `profiler engine conformance` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

from rich.console import Console
from rich.table import Table
from rich.text import Text

VERSION = 1
_MARKS = {"yes": "yes", "no": "no", "deviates": "DEVIATES", "unknown": "?"}


@dataclass(frozen=True, slots=True)
class Line:
    """One check, ready to be shown."""

    check: str
    title: str
    state: str
    """yes, no, deviates or unknown."""
    found: str
    means: str
    needed: bool


@dataclass(frozen=True, slots=True)
class Examined:
    """A server, ready to be shown."""

    base_url: str
    server: str
    protocol: str
    model: str
    context_tokens: int | None
    usable: bool
    lines: Sequence[Line]


def render_conformance(examined: Examined, width: int = 120) -> str:
    """A row per check, then a sentence for each that is not as one would wish."""
    context = "" if examined.context_tokens is None else f", context {examined.context_tokens:,} tokens"
    head = f"{examined.base_url}: {examined.server}, model {examined.model}{context}\n"
    table = Table(box=None, pad_edge=False)
    for name in ("check", "", "found"):
        table.add_column(name, no_wrap=name != "found", overflow="fold")
    for line in examined.lines:
        table.add_row(line.title, _MARKS[line.state], Text(line.found))
    console = Console(width=width, color_system=None, force_terminal=False, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(table)
    body = "\n".join(line.rstrip() for line in capture.get().splitlines())
    parts = [head, body, ""]
    for title, states in (("Deviations from its protocol", ("deviates",)), ("What it does not do", ("no",))):
        told = [line for line in examined.lines if line.state in states and line.means]
        if told:
            parts += [title, *(_sentence(line, width) for line in told), ""]
    unclear = [line for line in examined.lines if line.state == "unknown" and line.means]
    if unclear:
        parts += ["Not found out", *(_sentence(line, width) for line in unclear), ""]
    return "\n".join([*parts, _verdict(examined)]) + "\n"


def _sentence(line: Line, width: int) -> str:
    needed = " Needed." if line.needed else ""
    text = f"{line.title}: {line.found}. {line.means}{needed}".replace("..", ".")
    return fill(text, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _verdict(examined: Examined) -> str:
    missing = [line.title for line in examined.lines if line.needed and line.state in ("no", "deviates")]
    if missing:
        return f"Not usable: the profiler needs that {'; that '.join(missing)}."
    deviations = sum(line.state == "deviates" for line in examined.lines)
    if not deviations:
        return "Usable, and no deviation from its protocol was found."
    return f"Usable, with {deviations} deviation{'s' if deviations > 1 else ''} from its protocol."


def render_json(examined: Examined) -> str:
    """The same for programs."""
    document = {
        "format": "profiler-conformance",
        "version": VERSION,
        "base_url": examined.base_url,
        "server": examined.server,
        "protocol": examined.protocol,
        "model": examined.model,
        "context_tokens": examined.context_tokens,
        "usable": examined.usable,
        "checks": [
            {name: getattr(line, name) for name in ("check", "title", "state", "found", "means", "needed")}
            for line in examined.lines
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
