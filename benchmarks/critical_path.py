"""Random traces: critical paths against a slow implementation of their definition, phases against their sums.

    python benchmarks/critical_path.py [--traces 100000] [--seed 1]

Each trace is built, walked, classified and made into rows. For each, the sections of the critical path must touch and
sum to the root exactly, and belong to the spans that the definition names (`tests/analysis/slow_critical_path.py`,
which asks about each stretch of time by itself and shares no code with the real one). Of one trace in fifty the
schedule model (slack, drag, lengths) is checked likewise. Prints counts and seconds; exit code 1 at the first
disagreement, with the trace.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "analysis"))

from random_traces import random_trace
from slow_critical_path import merged, owners
from slow_schedule import SlowSchedule, What

from profiler.analysis import critical_path, phases
from profiler.analysis.model import Trace
from profiler.analysis.schedule import Schedule
from profiler.analysis.tables import columns_of

SCHEDULES_EVERY = 50


def main() -> int:
    """Compare as many traces as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (1)")
    options = parser.parse_args()
    random = Random(options.seed)
    counts = dict.fromkeys(("spans", "sections", "parallel", "repaired", "schedules"), 0)
    began, real_s = time.perf_counter(), 0.0
    for number in range(options.traces):
        trace = random_trace(random)
        before = time.perf_counter()
        sections = critical_path.critical_path(trace)
        real_s += time.perf_counter() - before
        problem = _problem(trace, sections)
        if number % SCHEDULES_EVERY == 0:
            counts["schedules"] += 1
            problem = problem or _problem_of_schedule(trace)
        if problem:
            print(f"trace {number} of seed {options.seed}: {problem}\n{trace}")
            return 1
        counts["spans"] += len(trace.spans)
        counts["sections"] += len(sections)
        counts["parallel"] += not Schedule.of(trace).sequential
        counts["repaired"] += bool(trace.repairs)
    seconds = time.perf_counter() - began
    print(
        f"{options.traces:,} random traces with {counts['spans']:,} spans, {counts['parallel']:,} with siblings that "
        f"overlap, {counts['repaired']:,} with repairs\n"
        f"{counts['sections']:,} sections: all sum exactly, all belong to the span that the definition names; "
        f"{counts['schedules']:,} schedules agree with theirs\n"
        f"{seconds:.0f} s, of which the critical path took {real_s:.1f} s "
        f"({real_s / counts['spans'] * 1e6:.1f} µs per span)"
    )
    return 0


def _problem(trace: Trace, sections: list[critical_path.Section]) -> str | None:
    try:
        critical_path.check(trace, sections)
        phases.check(trace, phases.classify(trace, sections))
    except AssertionError as error:
        return str(error)
    found = merged((section.start_ns, section.end_ns, section.span.span_id) for section in sections)
    expected = merged(owners(trace.spans))
    if found != expected:
        return f"the critical path is {found}, by definition {expected}"
    chain = columns_of([trace]).chains
    total = sum(chain[f"{phase}_ns"][0] for phase in phases.PHASES)
    return None if total == trace.root.duration_ns else f"the phases of its row sum to {total}"


def _problem_of_schedule(trace: Trace) -> str | None:
    schedule, slow = Schedule.of(trace), SlowSchedule(trace)
    real, slacks = slow.length(What()), schedule.slack_ns()
    if real != trace.root.duration_ns or schedule.length_ns({}) != real:
        return f"unchanged, it lasts {schedule.length_ns({})}, by definition {real}"
    for span in trace.spans:
        name = span.span_id
        if slow.low[name] > slow.high[name]:
            continue
        drag = real - slow.length(What(gone={name}))
        if schedule.drag_ns(name) != drag:
            return f"the drag of {name} is {schedule.drag_ns(name)}, by definition {drag}"
        lengths = [slow.length(What(longer={name: slacks[name] + more})) for more in (0, 1)]
        if lengths != [real, real + 1]:
            return (
                f"the slack of {name} is {slacks[name]}: with it the chain lasts {lengths[0]}, with 1 more {lengths[1]}"
            )
    return None


if __name__ == "__main__":
    sys.exit(main())
