"""The report for a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import floor

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from profiler.analysis.compounding import Compounding
from profiler.analysis.explain import Explanation
from profiler.analysis.queues import Busy
from profiler.analysis.summary import StepRow, Summary
from profiler.links import trace_link
from profiler.report.engine_notes import simulated_engine
from profiler.report.engine_start import loading_sentence
from profiler.report.findings import finding_table, seldom_on_path
from profiler.report.text import MOST_ROWS, count, duration, ends_of, percent, plural, safe, size
from profiler.stats.quantiles import Quantile, chains_needed
from profiler.store.manifest import Manifest, RecordingCost

_BAR_WIDTH = 28
_SELDOM = ("load", "inference")  # phases that few engines have: told where there is time in them
_OF_CALLS = ("prompt", "growth", "cached", "output", "TTFT", "TPOT")
_STEP_COLUMNS = ("#", "node", "chains", *_OF_CALLS, "time", "share", "cumulative")
_TIME_COLUMNS = ("#", "node", "chains", "time", "share", "cumulative")
_CALL_COLUMNS = ("#", "node", *_OF_CALLS)


def render(
    explanation: Explanation,
    manifest: Manifest | None,
    caveats: Sequence[str],
    *,
    source: str,
    width: int = 100,
    color: bool = False,
    everything: bool = False,
    viewer: str | None = None,
) -> str:
    """The whole report as text, with escape codes only if `color`; all findings with their grounds if `everything`.

    `viewer` is the address of a Jaeger that has the traces.
    """
    summary = explanation.summary
    console = console_of(width, color=color)
    console.print(Text(title(manifest, source), style="bold"))
    if manifest is not None:
        console.print(Text(f"{'Trajectory':<12}{safe(trajectory(manifest))}"))
    for name, line in head_lines(summary):
        console.print(escape(safe(f"{name:<12}{line}")))
    if summary.total_ns:
        console.print()
        console.print(finding_table(explanation.findings, everything=everything))
        console.print()
        console.print(_phase_table(summary))
        console.print()
        console.print(Text(_steps_title(summary), style="bold"))
        for table in _step_tables(summary, console):
            console.print(table)
        console.print()
        for line in [*_conclusions(summary, viewer), *seldom_on_path(explanation)]:
            console.print(escape(safe(line, 400)))
    if caveats:
        console.print()
        for caveat in caveats:
            console.print(Text(f"! {caveat}", style="yellow"))
    if manifest is not None and manifest.recording_cost is not None and manifest.recording_cost.chains:
        console.print()
        console.print(Text(cost_sentence(manifest.recording_cost, summary), style="dim"))
    started = None if manifest is None else loading_sentence(manifest)
    if started:
        console.print(Text(f"Engine's start  {started}", style="dim"))
    return text_of(console)


def console_of(width: int, *, color: bool) -> Console:
    """A console that keeps what is printed on it, with escape codes only if `color`."""
    return Console(
        file=io.StringIO(),
        width=max(width, 60),
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )


def text_of(console: Console) -> str:
    """What was printed, without spaces at the ends of lines."""
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def title(manifest: Manifest | None, source: str) -> str:
    """What ran against what."""
    if manifest is None:
        return safe(f"Chains in {source}", 300)
    engine = manifest.engine
    agent = manifest.agent.get("name", "agent")
    concurrency = manifest.flags.get("concurrency", 1)
    load = f", {concurrency} chains at once" if concurrency != 1 else ""
    if engine.get("simulated"):
        return safe(f"{agent} against {simulated_engine(engine)}: simulated times{load}", 300)
    version = f" {engine['version']}" if engine.get("version") else ""
    device = f" on {engine['device']}" if engine.get("device") else ""
    served = f"{engine.get('name', 'engine')}{version}{device}, model {engine.get('model', '?')}"
    return safe(f"{agent} against {served}{load}", 300)


def trajectory(manifest: Manifest) -> str:
    """Who decided what the agent did."""
    if manifest.script is None and manifest.imported is not None:
        return "as it was recorded elsewhere"
    if manifest.script is None:
        return "free: the model decides what happens"
    return f"pinned by {manifest.script.get('path', 'a script')}: the engine's time, the script's words"


def head_lines(summary: Summary) -> list[tuple[str, str]]:
    """What there is to report on, as name and text."""
    good = summary.chains - summary.failed
    kept_apart = [f"{count(summary.failed)} failed"]
    if summary.warmup:
        kept_apart.append(f"{count(summary.warmup)} for warm-up left out")
    lines = [("Chains", f"{count(good)} ended well, {', '.join(kept_apart)}")]
    if summary.e2e_p50 and summary.e2e_p95 and summary.calls_mean is not None:
        lines.append(("End to end", f"p50 {_quantile(summary.e2e_p50)}   p95 {_quantile(summary.e2e_p95)}"))
        spread = "" if summary.calls_min == summary.calls_max else f" ({summary.calls_min} to {summary.calls_max})"
        lines.append(("LLM calls", f"{count(round(summary.calls_mean, 1))} per chain{spread}"))
        coverage = summary.joined_calls / summary.calls if summary.calls else 0
        source = _timing_sources(summary)
        timed = f"engine timing for {count(summary.joined_calls)} of {plural(summary.calls, 'call')}"
        lines.append(("Joined", f"{timed} ({percent(coverage)}){source}"))
    if summary.busy is not None and (summary.busy.running != 0 or summary.busy.waiting):
        lines.append(("Engine", _busy(summary.busy, summary.calls)))
    return lines


def _busy(busy: Busy, calls: int) -> str:
    """The most of what the engine's own metrics said at the time of the calls.

    That nothing runs is not told: something did, between two samples or within a step of the engine.
    """
    said = [f"{count(busy.running)} running"] if busy.running else []
    said += [f"{count(busy.waiting)} waiting"] if busy.waiting is not None else []
    said += [f"{percent(busy.kv_cache_usage)} of its KV cache used"] if busy.kv_cache_usage is not None else []
    preempted = f"; preemptions during {plural(busy.preempted_calls, 'call')}" if busy.preempted_calls else ""
    return (
        f"at most {', '.join(said)}{preempted} (by its own metrics, at {count(busy.calls)} of {plural(calls, 'call')})"
    )


def _timing_sources(summary: Summary) -> str:
    """Where the engine's timing is from; with several sources for how many calls, and whether they agree."""
    covered = summary.timing_coverage
    if len(covered) < 2:  # noqa: PLR2004
        return "".join(f" from {name}" for name, _ in covered)
    told = f" from {' and '.join(f'{name} ({count(number)})' for name, number in covered)}"
    if not summary.twice_timed_calls:
        return told
    differing = summary.disagreeing_calls
    return told + (f", which differ by over 1 ms for {count(differing)}" if differing else ", which agree within 1 ms")


def _quantile(estimate: Quantile) -> str:
    if estimate.low is None and estimate.high is None:
        return f"{duration(estimate.value)} [no interval below {chains_needed(estimate.p)} chains]"
    low, high = duration(estimate.low), duration(estimate.high)
    if estimate.high is None:
        return f"{duration(estimate.value)} [95%: above {low}; an upper bound takes {chains_needed(estimate.p)}]"
    return f"{duration(estimate.value)} [95%: {low} to {high}]"


def _phase_table(summary: Summary) -> Table:
    table = Table(title="Where the time goes", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("phase", no_wrap=True)
    table.add_column("share", justify="right")
    table.add_column("per chain", justify="right")
    table.add_column("", no_wrap=True)
    mean = summary.total_ns / max(summary.chains - summary.failed, 1)
    largest = max(row.share for row in summary.phases)
    for row in summary.phases:
        if row.phase in _SELDOM and not row.total_ns:
            continue
        bar = "█" * round(_BAR_WIDTH * row.share / largest) if largest else ""
        table.add_row(row.phase, percent(row.share), duration(mean * row.share), Text(bar, style="cyan"))
    table.add_row("sum", "100%", duration(mean), Text("= end to end, exactly", style="dim"), style="bold")
    return table


def _steps_title(summary: Summary) -> str:
    title = "Steps (medians over the chains that get there"
    if len({row.chains for row in summary.steps}) > 1:
        title += "; rows with fewer chains are other chains, so columns need not grow"
    title += ")"
    if len(summary.steps) > MOST_ROWS:
        title += f", {MOST_ROWS} of {count(len(summary.steps))} rows: --format json has all"
    return title


def _step_tables(summary: Summary, console: Console) -> list[Table]:
    """One table, or two halves of it on a terminal that would cut figures off."""
    whole = _step_table(summary, _TIME_COLUMNS, _CALL_COLUMNS)
    if console.measure(whole, options=console.options.update(width=1000)).maximum <= console.width:
        return [whole]
    return [_step_table(summary, _TIME_COLUMNS), _step_table(summary, _CALL_COLUMNS)]


def _step_table(summary: Summary, *groups: Sequence[str]) -> Table:
    shown = [name for name in _STEP_COLUMNS if any(name in group for group in groups)]
    table = Table(box=None, pad_edge=False)
    for name in shown:
        table.add_column(name, justify="left" if name == "node" else "right", no_wrap=name != "node")
    first, left_out, last = ends_of(summary.steps)
    for row in first:
        table.add_row(*_shown_cells(row, shown), style=None if row.kind == "call" else "dim")
    if left_out:
        told = {
            "#": "…",
            "node": f"{count(len(left_out))} more rows",
            "share": percent(sum(row.share for row in left_out)),
        }
        table.add_row(*(told.get(name, "") for name in shown), style="dim")
    for row in last:
        table.add_row(*_shown_cells(row, shown), style=None if row.kind == "call" else "dim")
    if "share" in shown:
        left = max(0.0, 1 - sum(row.share for row in summary.steps))
        outside = {"node": "outside these steps", "share": percent(left)}
        table.add_row(*(outside.get(name, "") for name in shown), style="dim")
    return table


def _shown_cells(row: StepRow, shown: Sequence[str]) -> list[str]:
    cells = dict(zip(_STEP_COLUMNS, _step_cells(row), strict=True))
    return [cells[name] for name in shown]


def _step_cells(row: StepRow) -> list[str]:
    cells = [str(row.position), escape(safe(row.node, 40)), count(row.chains)]
    if row.kind == "call":
        growth = "" if row.growth_tokens is None else f"{row.growth_tokens:+,.0f}"
        cells += [count(row.input_tokens), growth, percent(row.cached_share), count(row.output_tokens)]
        cells += [duration(row.ttft_ns), duration(row.tpot_ns)]
    else:
        cells += [""] * 6
    return [*cells, duration(row.time_ns), percent(row.share), duration(row.cumulative_ns)]


def _conclusions(summary: Summary, viewer: str | None) -> list[str]:
    lines = []
    slow = summary.slowest
    if slow is not None:
        where = f"step {slow.position} ({slow.node})" if slow.node else f"call {slow.position}"
        task = f" of task {slow.task_id}" if slow.task_id else ""
        told = [f"first token after {duration(slow.ttft_ns)}"] if slow.ttft_ns is not None else []
        engine = [("load", slow.load_ns), ("queue", slow.queue_ns), ("prefill", slow.prefill_ns)]
        engine += [("decode", slow.decode_ns), ("inference", slow.inference_ns)]
        told += [f"{name} {duration(value)}" for name, value in engine if value is not None]
        told += [plural(slow.output_tokens, "token")]
        lines.append(f"Slowest call: {where}{task}: {duration(slow.call_e2e_ns)} ({', '.join(told)})")
        lines.append(f"  trace {slow.trace_id}, span {slow.span_id}")
        link = trace_link(viewer, slow.trace_id, slow.span_id)
        lines += [f"  {link}"] if link else []
    if summary.compounding is not None:
        lines.append(compounding_sentence(summary.compounding))
    return lines


def cost_sentence(cost: RecordingCost, summary: Summary) -> str:
    """What recording took, in one sentence; what is not known is left out."""
    good = summary.chains - summary.failed
    told = []
    if cost.per_call_us is not None:
        told.append(f"{duration(cost.per_call_us * 1000)} per call")
    if cost.per_chunk_us is not None:
        told.append(f"{duration(cost.per_chunk_us * 1000)} per streamed chunk")
    if cost.per_chain_us is not None:
        of_all = percent(cost.per_chain_us * 1000 * good / summary.total_ns) if summary.total_ns else "—"
        told.append(f"{duration(cost.per_chain_us * 1000)} per chain with all of them ({of_all} of the chains' time)")
    parts = [", ".join(told)]
    if cost.memory_per_chain_bytes is not None:
        parts.append(f"memory +{size(cost.memory_per_chain_bytes)} per chain")
    if cost.spans_per_second is not None:
        parts.append(f"{count(cost.spans_per_second)} spans/s")
    return f"Recording cost  {'; '.join(part for part in parts if part)}"


def compounding_sentence(compounding: Compounding) -> str:
    """How delays add up, in one sentence."""
    per_call = duration(compounding.chain_ns(per_call_ns=100_000_000))
    sentence = (
        f"How delays compound: 100 ms more on every LLM call makes a chain {per_call} slower "
        f"({plural(round(compounding.path_calls, 1), 'call')} in a row)"
    )
    per_token = compounding.chain_ns(per_token_ns=1_000_000)
    if per_token is not None:
        tokens = count(floor((compounding.path_decode_tokens or 0) + 0.5))
        sentence += f"; 1 ms more per token, {duration(per_token)} ({tokens} tokens, each call's first left out)"
    return sentence + "."
