"""What a reader must know before believing the figures."""

from __future__ import annotations

from profiler.analysis.reconcile import Reconciled
from profiler.analysis.summary import Summary
from profiler.report.engine_notes import engine_notes
from profiler.report.text import count, duration, plural, safe
from profiler.store.manifest import Manifest

_NOTES_SHOWN = 5
_SPANS = "take its own spans (--engine-spans on)"
_TELLING = {
    "vllm": f"; start vLLM, 0.25 or newer, with --enable-per-request-metrics, or {_SPANS}",
    "tgi": f"; {_SPANS}",
}


def caveats(
    summary: Summary, manifest: Manifest | None, notes: list[str], engine_log: Reconciled | None = None
) -> list[str]:
    """One sentence each, the gravest first."""
    found = [
        *_of_run(manifest),
        *_of_engine_log(engine_log),
        *_of_figures(summary, server=_server(manifest)),
    ]
    found += engine_notes(summary, manifest)
    found += [safe(note) for note in notes[:_NOTES_SHOWN]]
    if len(notes) > _NOTES_SHOWN:
        found.append(f"{len(notes) - _NOTES_SHOWN} more such remarks on the trace file")
    return found


def _of_run(manifest: Manifest | None) -> list[str]:
    if manifest is None:
        return ["there is no run.json beside the spans: engine, script and machine are unknown"]
    found = []
    if manifest.imported is not None:
        found.append(
            f"imported from {safe(manifest.imported.source)}: engine, script and machine are what the spans tell"
        )
    if manifest.status == "running":
        found.append("the run was not ended properly (killed?): these are the chains that had finished")
    elif manifest.status == "interrupted":
        found.append(
            f"the run was interrupted: {manifest.chains.finished} of {manifest.chains.planned} chains had ended"
        )
    elif manifest.status == "failed":
        found.append(f"the run broke off: {safe(manifest.error or 'unknown')}")
    found += [f"the times may be inexact: {safe(reason)}" for reason in manifest.suspect]
    if manifest.status != "running" and manifest.spans.started != manifest.spans.written:
        found.append(f"{manifest.spans.started} spans were started and {manifest.spans.written} written")
    if manifest.engine.get("simulated"):
        of_what = f" of {safe(manifest.engine['device'])}" if manifest.engine.get("device") else ""
        found.append(
            f"the times are simulated: the embedded engine follows a time model{of_what}; for real ones, --backend vllm"
        )
    if manifest.engine.get("random_weights"):
        said = "its words are the script's" if manifest.script else "its words are random"
        found.append(f"the model has random weights: its timing is real, its text is not ({said})")
    if manifest.calls_outside_chains:
        found.append(
            f"{plural(manifest.calls_outside_chains, 'LLM call')} came from outside any chain and could not be recorded"
        )
    if manifest.calls_not_followed:
        requests = plural(manifest.calls_not_followed, "request")
        found.append(
            f"{requests} to an API that is not followed (embeddings, responses …): their time counts as framework"
        )
    if manifest.timings_not_believed:
        found.append(
            f"the engine's own durations are longer than the call in {plural(manifest.timings_not_believed, 'call')} "
            "and were left out there (cached answers?)"
        )
    return found


def _of_engine_log(joined: Reconciled | None) -> list[str]:
    """The embedded engine knows what reached it: nothing of that may be missing in the trace."""
    if joined is None:
        return []
    found = []
    missing = joined.requests - joined.recorded
    if missing:
        found.append(f"{missing} of {plural(joined.requests, 'request')} in the engine's log are in no finished chain")
    if joined.lost:
        found.append(f"{plural(joined.lost, 'call')} that ended well cannot be found in the engine's log")
    if joined.unseen_failures:
        calls = plural(joined.unseen_failures, "call")
        found.append(f"{calls} that the engine spoilt or refused ended well in the trace")
    return found


def _server(manifest: Manifest | None) -> str | None:
    """The kind of server of a run that the profiler recorded; None of what somebody else did."""
    return str(manifest.engine.get("server", "vllm")) if manifest is not None and manifest.imported is None else None


def _split(summary: Summary) -> str:
    """Where in its calls the unaccounted time lies, which the client's clock tells of streams."""
    if summary.untold is None:
        return ""
    total = sum(row.total_ns for row in summary.phases if row.phase == "unaccounted")
    return (
        f" (of {duration(total / (summary.chains - summary.failed))} per chain {duration(summary.untold.first_ns)} "
        f"until first tokens, {duration(summary.untold.between_ns)} from first to last ones)"
    )


def _remedy(summary: Summary, server: str | None) -> str:
    """What makes the engine tell, where it tells nothing."""
    return "" if summary.joined_calls else _TELLING.get(server or "", "")


def _of_figures(summary: Summary, *, server: str | None) -> list[str]:
    """What the figures lack; of a server if the profiler recorded them."""
    found, recorded = [], server is not None
    if summary.failed:
        kinds = ", ".join(f"{safe(name)} {number}" for name, number in summary.failures)
        verb = "is" if summary.failed == 1 else "are"
        found.append(f"{plural(summary.failed, 'chain')} failed ({kinds}) and {verb} in no figure")
    if summary.chains > summary.failed and not summary.calls and not summary.failed_calls:
        found.append(
            "no LLM call was seen: the agent's client must be built on httpx or httpx2 (openai, LangChain …) and use "
            "the chat completions or completions API, and not run in a process of its own"
            if recorded
            else "no LLM call was recognised: docs/foreign.md says which spans are"
        )
    if summary.failed_calls:
        found.append(f"{plural(summary.failed_calls, 'call')} failed inside chains that ended well")
    if summary.unstreamed_calls:
        found.append(
            f"{count(summary.unstreamed_calls)} of {plural(summary.calls, 'call')} did not stream"
            + (
                ": they have no first token to observe (--stream makes the profiler stream on the agent's behalf)"
                if recorded
                else ", or their spans do not say so: they have no first token to observe"
            )
        )
    if summary.late_first_chunks:
        found.append(
            f"in {count(summary.late_first_chunks)} of {plural(summary.calls, 'call')} the first chunk came over 100 ms"
            " later than queue and prefill explain (a busy machine?): TTFT and TPOT there tell of delivery"
        )
    if summary.joined_calls < summary.calls:
        whose = "the others" if summary.joined_calls else "them"
        found.append(
            f"engine timing is known for {count(summary.joined_calls)} of {plural(summary.calls, 'call')}: "
            f"the waiting in {whose} is unaccounted{_split(summary)}{_remedy(summary, server)}"
        )
    off = summary.off_script
    if off is not None:
        found.append(
            f"the engine did not keep to the script's lengths in {count(off.calls)} of "
            f"{plural(off.of_calls, 'scripted call')}: {count(off.output_tokens)} tokens instead of "
            f"{count(off.scripted_tokens)} (TGI and Ollama cannot be forced): runs are not comparable token by token"
        )
    if summary.unused_script_calls:
        found.append(
            f"chains ended with {plural(summary.unused_script_calls, 'scripted call')} unused: "
            "the agent has changed since the script was made"
        )
    return found
