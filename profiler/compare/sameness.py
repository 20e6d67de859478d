"""Whether two runs may be compared: what differs between them besides what was to be measured.

A difference that may explain a difference in time by itself *blocks*, unless it is allowed by its kind; then it stays
on record in the report. Versions of libraries and the commit are what is compared more often than not: they are told
and block nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from profiler.store.manifest import Manifest

KINDS: Final[Mapping[str, str]] = {
    "agent": "another agent",
    "tasks": "other tasks: those that both have are compared",
    "script": "other pinned trajectories, or none on one side",
    "model": "another model",
    "engine": "another engine, version, device or simulated profile",
    "flags": "other flags of the engine or of the run, such as how many chains at once",
    "host": "another machine: processor, cores, memory, GPUs",
    "profiler": "another version of the profiler, which may record something else under the same name",
    "unknown": "spans without run.json, of which nothing of all this is known",
}

# Of an engine's command: what differs between two starts of the same thing.
_OF_THE_START = frozenset({"--port", "--host", "--truth", "--otlp-traces-endpoint", "--api-key", "--uds", "--hf-token"})
# Told apart under a name of its own, or a folder of this machine.
_TOLD_ELSEWHERE = frozenset({"--model", "--served-model-name", "--profile"})
_OF_THE_RUN = ("concurrency", "warmup", "shared_cache", "force_stream", "capture_content", "seed", "timeout")
_FEW = 3
_MEMORY_SLACK = 0.02  # kernels keep different amounts for themselves


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same."""

    kind: str  # one of KINDS, or "" for what blocks nothing
    what: str
    base: str
    candidate: str

    @property
    def blocking(self) -> bool:
        """Whether runs that differ in this are refused unless its kind is allowed."""
        return bool(self.kind)


def differences(
    base: Manifest | None, candidate: Manifest | None, tasks: tuple[Sequence[str], Sequence[str]]
) -> tuple[Difference, ...]:
    """All of them, those that block first.

    Args:
        base: the manifest of the run that is compared with; None for spans from elsewhere.
        candidate: likewise of the other one.
        tasks: the ids of each run's tasks, as its chains have them.
    """
    found = list(_of_tasks(base, candidate, *tasks))
    if base is None or candidate is None:
        words = ["no run.json" if manifest is None else "known" for manifest in (base, candidate)]
        return (Difference("unknown", "engine, machine and script", *words), *found)
    found += _differing(_circumstances(base), _circumstances(candidate))
    found += [
        Difference("flags", f"engine flag {name}", before, after)
        for name, before, after in _changed(_command(base), _command(candidate))
    ]
    found += [
        Difference("", name, before, after)
        for name, before, after in _changed(
            {"python": base.python, "system": str(base.host.get("platform", "")), **base.libraries, **_commit(base)},
            {
                "python": candidate.python,
                "system": str(candidate.host.get("platform", "")),
                **candidate.libraries,
                **_commit(candidate),
            },
        )
    ]
    return tuple(sorted(found, key=lambda difference: not difference.blocking))


def refused(found: Iterable[Difference], allowed: Iterable[str]) -> tuple[Difference, ...]:
    """Those that block and are not allowed."""
    let_through = set(allowed)
    return tuple(difference for difference in found if difference.blocking and difference.kind not in let_through)


def _of_tasks(
    base: Manifest | None, candidate: Manifest | None, of_base: Sequence[str], of_candidate: Sequence[str]
) -> Iterator[Difference]:
    here, there = set(of_base), set(of_candidate)
    if here != there:
        only = [sorted(here - there), sorted(there - here)]
        yield Difference("tasks", f"tasks ({len(here & there)} are in both), besides", *(_some(ids) for ids in only))
    before, after = ({} if manifest is None else manifest.tasks.get("digests") or {} for manifest in (base, candidate))
    asked = [task for task in before if task in after and before[task] != after[task]]
    if asked:
        yield Difference("tasks", f"what is asked in {_some(asked)}:", "one text", "another")


def _some(ids: Sequence[str]) -> str:
    if not ids:
        return "none"
    more = f" and {len(ids) - _FEW} more" if len(ids) > _FEW else ""
    return f"{', '.join(ids[:_FEW])}{more}"


def _circumstances(manifest: Manifest) -> dict[tuple[str, str], Any]:
    """What must be the same, by kind and name."""
    engine, host, flags = manifest.engine, manifest.host, manifest.flags
    script = manifest.script
    return {
        ("agent", "agent"): manifest.agent.get("name"),
        ("script", "trajectory"): "free" if script is None else f"script {str(script.get('sha256', '?'))[:12]}",
        ("model", "model"): engine.get("model"),
        ("engine", "engine"): engine.get("name"),
        ("engine", "engine version"): engine.get("version"),
        ("engine", "device"): engine.get("device"),
        ("engine", "simulated profile"): engine.get("profile"),
        ("engine", "random weights"): engine.get("random_weights"),
        ("engine", "longest context"): engine.get("max_model_len"),
        ("engine", "address"): None if engine.get("managed") else engine.get("base_url"),
        **{("flags", f"--{name.replace('_', '-')}"): flags.get(name) for name in _OF_THE_RUN},
        ("host", "processor"): host.get("cpu"),
        ("host", "cores"): host.get("cores"),
        ("host", "memory"): host.get("memory_bytes"),
        ("host", "GPUs"): tuple(host.get("gpu") or ()),
        ("profiler", "profiler"): manifest.profiler,
    }


def _differing(before: Mapping[tuple[str, str], Any], after: Mapping[tuple[str, str], Any]) -> Iterator[Difference]:
    for (kind, what), one in before.items():
        other = after[(kind, what)]
        if what == "memory" and one and other and abs(one - other) <= _MEMORY_SLACK * max(one, other):
            continue
        if one != other:
            yield Difference(kind, what, _words(what, one), _words(what, other))


def _words(what: str, value: Any) -> str:
    if value is None or value in ("", ()):
        return "none" if what in ("GPUs", "simulated profile") else "unknown"
    if what == "memory":
        return f"{value / 1e9:.1f} GB"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in [*before, *(name for name in after if name not in before)]:
        one, other = before.get(name, "not there"), after.get(name, "not there")
        if one != other:
            yield name, one, other


def _command(manifest: Manifest) -> dict[str, str]:
    """Flags of the command that started the engine: name -> value, without what differs from start to start."""
    words = [str(word) for word in manifest.engine.get("command") or ()]
    flags: dict[str, str] = {}
    at = next((number for number, word in enumerate(words) if word.startswith("--")), len(words))
    while at < len(words):
        name, equals, value = words[at].partition("=")
        at += 1
        if not equals:
            values = []
            while at < len(words) and not words[at].startswith("--"):
                values.append(words[at])
                at += 1
            value = " ".join(values)
        if name not in _OF_THE_START | _TOLD_ELSEWHERE:
            flags[name] = f"{flags[name]}, {value}" if name in flags else value or "on"
    return flags


def _commit(manifest: Manifest) -> dict[str, str]:
    if not manifest.git:
        return {}
    changed = " with changes" if manifest.git.get("dirty") else ""
    return {"commit": f"{str(manifest.git.get('commit', '?'))[:12]}{changed}"}
