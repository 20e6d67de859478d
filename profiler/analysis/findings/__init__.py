"""The findings: every known cause looked for, what is above the noise told, the largest gain first."""

from __future__ import annotations

from profiler.analysis.context import Context
from profiler.analysis.finding import Finding
from profiler.analysis.findings import between, calls, code, engine, prompts
from profiler.analysis.findings.inquiry import Inquiry
from profiler.analysis.measured import Measured
from profiler.analysis.prefixes import Prompts

_CAUSES = (
    prompts.prefix_cache,
    prompts.prefix_break,
    engine.slow_prefill,
    engine.slow_decode,
    engine.queueing,
    calls.tail_calls,
    calls.bundled_delivery,
    calls.retries,
    calls.connections,
    calls.loop_lag,
    code.slow_tools,
    code.slow_tool_steps,
    code.serial,
    between.framework_time,
    engine.decode_bound,
)


def findings_of(measured: Measured, context: Context | None, prompts: Prompts) -> tuple[Finding, ...]:
    """All findings, by gain; those that have none come last, in the order of the causes."""
    if measured.chains.empty:
        return ()
    inquiry = Inquiry(measured, context, prompts)
    found = [finding for cause in _CAUSES for finding in cause(inquiry)]
    return tuple(sorted(found, key=lambda finding: -(finding.gain_ns or 0.0)))
