"""What a reader must know of the server that answered, and of what was asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from profiler.analysis.summary import Summary
from profiler.report.text import count, plural, safe
from profiler.store.manifest import Manifest

_UNFORCED = "an output's length cannot be forced, only limited"
_SHARED = "repetitions of a task may find each other's prompts in its prefix cache, which no salt keeps apart"
_UNTIMED = "it tells nothing of its own time"
_LIMITS: Mapping[str, tuple[str, Sequence[str]]] = {
    "tgi": ("TGI", (_UNFORCED, _SHARED, "it does not tell cached tokens, and of its time only in unstreamed answers")),
    "ollama": ("Ollama", (_UNFORCED, _SHARED, "by /v1 it tells nothing of its own time, by /api/chat it does")),
    "llama.cpp": ("llama.cpp", (_SHARED, "how long a request waited for a slot is not told: it is unaccounted")),
    "sglang": ("SGLang", (_UNTIMED,)),
    "lmstudio": ("LM Studio", (_UNFORCED, _SHARED, _UNTIMED)),
    "transformers": ("transformers serve", (_UNTIMED, "it does not tell cached tokens")),
    "openai": ("this server, of which nothing is known but its protocol", (_UNFORCED, _SHARED)),
}

_PROTOCOLS: Mapping[str, str] = {
    "tgi": "TGI's",
    "ollama": "Ollama's",
    "llama.cpp": "llama.cpp's",
    "openai": "the plain OpenAI",
}


def simulated_engine(engine: Mapping[str, object]) -> str:
    """The embedded engine by what it plays: its protocol where that is not vLLM's, its profile where that is known."""
    protocol = _PROTOCOLS.get(str(engine.get("server")))
    speaking = f" speaking {protocol} protocol" if protocol else ""
    profile = f", profile {engine['profile']}" if engine.get("profile") else ""
    return f"the embedded engine{speaking}{profile}"


def engine_notes(summary: Summary, manifest: Manifest | None) -> Iterator[str]:
    """One sentence each; none for vLLM, which takes all that is asked of it and tells all that is wanted."""
    server = str(manifest.engine.get("server", "vllm")) if manifest is not None else "vllm"
    if server in _LIMITS:
        title, limits = _LIMITS[server]
        yield f"limits of {title}: {'; '.join(limits)}"
        if summary.adapted:
            yield f"requests were sent otherwise than the agent asked: {_adapted(summary)}"
    if server == "tgi" and any(name == "tool_choice" for name, _ in summary.adapted):
        yield "with `tool_choice` none TGI leaves the tools out of the prompt: prompts are shorter than in a free run"
    if "tgi.headers" in summary.timing_sources:
        yield "TGI's timing is in whole milliseconds, cut off: up to 1 ms of queue and of inference counts as delivery"
    if summary.hidden_generations:
        yield (
            f"in {count(summary.hidden_generations)} of {plural(summary.calls, 'call')} TGI generated twice: first "
            "under the grammar of the tools, which it threw away (`no_tool`): that time is before the first token"
        )
    if summary.overloaded:
        verb = "was" if summary.overloaded == 1 else "were"
        yield (
            f"{plural(summary.overloaded, 'attempt')} {verb} turned away because the engine was overloaded or a limit "
            "was reached (429): with the waiting until they were repeated, their time is in retry"
        )


def _adapted(summary: Summary) -> str:
    """Fields by the number of calls that they were changed in, the most first."""
    by_number: dict[int, list[str]] = {}
    for name, number in summary.adapted:
        by_number.setdefault(number, []).append(safe(name))
    return "; ".join(
        f"{', '.join(names)} in {'all calls' if number == summary.calls else plural(number, 'call')}"
        for number, names in sorted(by_number.items(), reverse=True)
    )
