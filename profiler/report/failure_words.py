"""Why chains failed, for whoever reads a gate's verdict and not what the run said."""

from __future__ import annotations

from profiler.compare.script import MISMATCH
from profiler.report.text import safe
from profiler.store.manifest import Manifest

_ANEW = (
    "if the agent is meant to make other calls, record its script anew (remove the file, then profiler run AGENT "
    "--record-script FILE); what went by the old script is compared with --allow script"
)


def failure_words(manifest: Manifest | None) -> list[str]:
    """What the first measured chain that failed said and where, and what to do if it left its script."""
    measured = [] if manifest is None else [each for each in manifest.failures if not each.warmup]
    if not measured:
        return []
    first = measured[0]
    at = f" at {safe(first.where, 100)}" if first.where else ""
    told = f"the first chain that failed, of task {safe(first.task, 100)}: {safe(first.type, 60)}{at}: "
    anew = any(each.type == MISMATCH for each in measured)
    return [f"{told}{safe(first.message, 300)}", *([_ANEW] if anew else [])]
