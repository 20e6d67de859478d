"""What the tests of comparisons share: tables made by hand, as the analysis' own tests make them."""

import sys
from pathlib import Path

ANALYSIS = Path(__file__).parents[1] / "analysis"
REPORT = Path(__file__).parents[1] / "report"
for folder in (ANALYSIS, REPORT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from made import MS, call, failed_call, gap, tables, tools  # noqa: E402
from report_inputs import manifest  # noqa: E402

from profiler.compare.comparison import Recorded, compare  # noqa: E402

__all__ = [
    "MS",
    "asked",
    "call",
    "compared",
    "failed_call",
    "gap",
    "in_turns",
    "manifest",
    "recorded",
    "tables",
    "tasks",
    "tools",
]


def tasks(*ways, repeat=1, start=0, **columns):
    """Tables with `repeat` chains for each task; a way is the list of what its chains do."""
    chains = [
        {"parts": way, "task_id": f"task-{number}", "start_ns": start + number * MS, **columns}
        for _ in range(repeat)
        for number, way in enumerate(ways)
    ]
    return tables(*chains)


def recorded(made, name="run", run=None):
    """Tables as they enter a comparison."""
    return Recorded(name, made, manifest() if run is None else run)


def compared(base, candidate):
    """A comparison that holds together."""
    found = compare(recorded(base, "base"), recorded(candidate, "candidate"))
    found.check()
    return found


def asked(decode=100.0, **columns):
    """A call that tells all of its tokens."""
    return call(
        decode=decode, **{"input_tokens": 1000, "cached_tokens": 900, "output_tokens": 21, "tpot_ns": 5e6, **columns}
    )


def in_turns(*sides, chains=2):
    """Base and candidate whose chains take turns; each side is the times of its tasks."""
    found = []
    for side, times in enumerate(sides):
        made = [
            {
                "parts": [asked(ms)],
                "task_id": f"task-{task}",
                "start_ns": ((at * len(times) + task) * 2 + side) * 10**10,
            }
            for at in range(chains)
            for task, ms in enumerate(times)
        ]
        found.append(recorded(tables(*made)))
    return found
