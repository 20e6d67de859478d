"""The HTML report of 1,000 chains: what it takes to make it, how large it is, how fast a browser opens it.

    python benchmarks/page.py            writes the table
    python benchmarks/page.py --check    writes nothing; exit code 1 if a page is above 5 MB or opens in over 2 s

Chains are recorded on the embedded engine and cloned (`clones.py`). The browser is a headless Chromium, from the
navigation's start until the page has drawn everything.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from analysis import Report, record, report
from clones import clone_run
from results import circumstances, replace_section, table

from profiler.store.manifest import SPANS_FILE

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "browser"))
from chromium import Chromium, chromium_path  # noqa: E402 - the tests' own driver

CHAINS = (39, 1_000, 10_000)
OPENINGS = 5
MOST_BYTES = 5_000_000
LONGEST_MS = 2_000
_SPANS = 34  # of a cloned chain, about


@dataclass(frozen=True)
class Row:
    """One size."""

    chains: int
    drawn: int
    made: Report
    bytes: int
    open_ms: float


def measure(source: Path, folder: Path, chains: int, browser: Chromium) -> Row:
    """Make the page in a process of its own, and open it some times."""
    run = folder / f"run-{chains}"
    clone_run(source, run, chains * _SPANS)
    with (run / SPANS_FILE).open("rb") as file:
        cloned = sum(1 for _ in file)
    made = report(run, "--format", "html")
    page = run / "report.html"
    opened = []
    for _ in range(OPENINGS):
        browser.open(page)
        opened.append(browser.run("performance.getEntriesByType('navigation')[0].domComplete"))
    if browser.complaints:
        raise SystemExit(f"the page complains: {browser.complaints}")
    drawn = browser.run("Object.keys(JSON.parse(document.getElementById('data').textContent).pictures).length")
    return Row(cloned, drawn, made, page.stat().st_size, median(opened))


def results(rows: list[Row]) -> str:
    """The section of RESULTS.md."""
    cells = [
        (
            f"{row.chains:,}",
            f"{row.drawn:,}",
            f"{row.bytes / 1e6:.2f}",
            f"{row.open_ms:,.0f}",
            f"{row.made.wall_s:.1f}",
            f"{row.made.cpu_s:.1f}",
        )
        for row in rows
    ]
    header = ["chains", "drawn one by one", "page, MB", "opens in, ms", "made in, s", "CPU, s"]
    about = circumstances({"agent-chain-profiler": version("agent-chain-profiler")})
    how = (
        "`python benchmarks/page.py`. Made: `profiler report --format html` in a process of its own, without cached "
        f"tables. Opened: the median of {OPENINGS}, from the navigation's start until it has drawn everything, in a "
        "headless Chromium. The load of the machine counts."
    )
    return "\n\n".join(["## Page", about, table(header, cells), how])


def main() -> int:
    """Measure, and write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="1,000 chains alone; exit code by size and time")
    checking = parser.parse_args().check
    if chromium_path() is None:
        raise SystemExit("there is no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        browser = Chromium(folder / "chromium")
        try:
            source = record(folder)
            sizes = CHAINS[1:2] if checking else CHAINS
            rows = [measure(source, folder, chains, browser) for chains in sizes]
        finally:
            browser.close()
    print(results(rows))
    if not checking:
        replace_section("page", results(rows))
        return 0
    return int(any(row.bytes > MOST_BYTES or row.open_ms > LONGEST_MS for row in rows))


if __name__ == "__main__":
    sys.exit(main())
