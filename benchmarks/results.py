"""`RESULTS.md`: each benchmark owns the text between its two markers and replaces it as a whole."""

from __future__ import annotations

import datetime as dt
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "RESULTS.md"
_HEADING = """\
# Results of the benchmarks

Written by the programs in this folder; [README.md](README.md) says how to run them and what the columns mean.
"""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the columns after the first are aligned to the right."""
    marks = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows))


def circumstances(versions: Mapping[str, str]) -> str:
    """Date, machine and versions: what a table is worth nothing without."""
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {machine()}." + (f" {listed}." if listed else "")


def machine() -> str:
    """Processor, cores, memory, system and Python in one line."""
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {psutil.cpu_count()} logical cores, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def replace_section(name: str, text: str, path: Path = RESULTS) -> None:
    """Put `text` between the markers of `name`; a section that is not there yet goes to the end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    before = path.read_text(encoding="utf-8") if path.exists() else _HEADING
    marked = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if marked.search(before):
        after = marked.sub(lambda _: section, before, count=1)
    else:
        after = f"{before.rstrip()}\n\n{section}\n"
    path.write_text(after, encoding="utf-8")


def _processor() -> str:
    """The processor's name where Linux tells it, otherwise its architecture."""
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()
