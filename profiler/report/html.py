"""The report as one HTML file that loads nothing: page, style, code and data in one.

What comes from models, tools and files reaches the page in one block of JSON, in which nothing can end a script, and
the code shows it as text only. The content-security policy lets the two scripts and the style of this file run, by
their digests, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from profiler.analysis.explain import Explanation
from profiler.analysis.measured import Measured
from profiler.analysis.phases import PHASES
from profiler.analysis.tables import Tables
from profiler.links import is_viewer
from profiler.report.distributions import charts
from profiler.report.engine_start import loading_sentence, spans_sentence
from profiler.report.picture import FACTS, KINDS
from profiler.report.structured import explained
from profiler.report.terminal import compounding_sentence, cost_sentence, title, trajectory
from profiler.report.text import safe
from profiler.store.manifest import Manifest

SCRIPTS = ("dom.js", "charts.js", "waterfall.js", "chain.js", "sections.js", "page.js")
_LONGEST_TEXT = 2000
MOST_ROWS = 300  # of a table: an agent that goes round for ever has thousands of steps
_MOST_CHAINS = 5000  # in the page's list
Pictures = tuple[Mapping[str, Mapping[str, Any]], Sequence[str]]

PHASE_WORDS = {
    "framework": "neither a call nor a tool was waited for: graph, libraries, the agent's own code",
    "client": "until the request was sent: opening or waiting for a connection",
    "load": "the engine loaded the model",
    "queue": "the engine had the request and was not working on it",
    "prefill": "the engine read the prompt",
    "decode": "the engine generated tokens",
    "inference": "prefill and decode, of an engine that does not tell them apart",
    "delivery": "the rest of a call with engine timing: HTTP both ways, parsing, tokenising",
    "tool": "a tool ran",
    "retry": "attempts that failed and were repeated, and the waiting between them",
    "unaccounted": "the rest of a call without engine timing, or what the engine does not tell",
}


def render_html(
    explanation: Explanation,
    tables: Tables,
    manifest: Manifest | None,
    caveats: Sequence[str],
    *,
    source: str,
    pictures: Pictures,
    viewer: str | None = None,
) -> str:
    """The whole page.

    Args:
        explanation: figures and findings.
        tables: where the charts' numbers come from.
        manifest: of the run, if there is one.
        caveats: one sentence each.
        source: where the run is, for the title of a run without a manifest.
        pictures: trace id -> packed picture of the chains that are drawn one by one, and the names in them.
        viewer: address of a Jaeger that has the traces.
    """
    drawn, names = pictures
    told = explained(explanation)
    longest = max((len(rows) for part in told.values() for rows in _lists(part)), default=0)
    if longest > MOST_ROWS:
        caveats = [*caveats, f"tables of this page end after {MOST_ROWS} rows: --format json has all {longest}"]
    data = {
        **cleaned(told),
        "title": title(manifest, source),
        "trajectory": "" if manifest is None else safe(trajectory(manifest), 300),
        "created": "" if manifest is None else safe(_readable(manifest.created), 40),
        "compounds": _compounds(explanation),
        "phases": [{"name": phase, "words": PHASE_WORDS[phase]} for phase in PHASES],
        "charts": charts(Measured.of(tables)),
        "chains": _chains(tables, drawn),
        "all_chains": int((~tables.chains["warmup"]).sum()),
        "kinds": KINDS,
        "facts": FACTS,
        "names": list(names),
        "viewer": viewer if viewer is not None and is_viewer(viewer) else "",
        "pictures": drawn,
        "caveats": [safe(caveat, 600) for caveat in caveats],
        "manifest": _manifest_rows(manifest, explanation),
    }
    return page_of(safe(data["title"], 200), embedded(data))


def cleaned(value: Any) -> Any:
    """Texts without control and format characters, texts and lists not longer than anybody reads."""
    if isinstance(value, str):
        return safe(value, _LONGEST_TEXT)
    if isinstance(value, Mapping):
        return {name: cleaned(each) for name, each in value.items()}
    return [cleaned(each) for each in value[:MOST_ROWS]] if isinstance(value, list | tuple) else value


def _lists(part: Any) -> Iterator[Sequence[Any]]:
    """Tables in a part of the explanation: the part itself, and the lists that it holds."""
    for each in [part, *(part.values() if isinstance(part, Mapping) else ())]:
        if isinstance(each, list):
            yield each


def embedded(data: Any) -> str:
    """JSON that may stand in a script element: pure ASCII, and no character of HTML in it."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _compounds(explanation: Explanation) -> str:
    short = explanation.summary.compounding
    return "" if short is None else compounding_sentence(short)


def _readable(moment: str) -> str:
    """`2026-11-25 21:21 UTC`, if it is such a moment."""
    return f"{moment[:10]} {moment[11:16]} UTC" if moment.endswith("+00:00") else moment


def _chains(tables: Tables, drawn: Mapping[str, Any]) -> list[list[Any]]:
    """Of each chain in the page's list: id, task, repetition, end to end, calls, tools, how it ended, why it failed."""
    everything = tables.chains
    shown = everything[everything["trace_id"].isin(list(drawn))] if len(everything) > _MOST_CHAINS else everything
    columns = ("trace_id", "task_id", "repeat", "e2e_ns", "calls", "tools", "failed", "warmup", "error_type")
    rows = []
    for row in shown[list(columns)].astype(object).where(shown[list(columns)].notna(), None).itertuples(index=False):
        trace_id, task, repeat, e2e, calls, tools, failed, warmup, error = row
        ended = "failed" if failed else "warm-up" if warmup else ""
        rows.append(
            [safe(trace_id, 64), safe(task or "", 120), repeat, int(e2e), calls, tools, ended, safe(error or "", 120)]
        )
    return rows


def _manifest_rows(manifest: Manifest | None, explanation: Explanation) -> list[list[str]]:
    """What a reader wants to know of how the run came about, as name and value."""
    if manifest is None:
        return []
    engine, host = manifest.engine, manifest.host
    known: list[tuple[str, Any]] = [
        ("made", manifest.created),
        ("status", manifest.status),
        ("agent", manifest.agent.get("path") or manifest.agent.get("name")),
        ("engine", " ".join(str(engine[key]) for key in ("name", "version") if engine.get(key))),
        ("simulated", "yes: the times are made up by a model" if engine.get("simulated") else "no"),
        ("profile", engine.get("profile")),
        ("model", engine.get("model")),
        ("device", engine.get("device")),
        ("address", engine.get("base_url")),
        ("command", " ".join(map(str, engine.get("command") or ()))),
        ("engine's start", loading_sentence(manifest)),
        ("engine's spans", spans_sentence(manifest.engine_spans)),
        ("script", (manifest.script or {}).get("path")),
        ("tasks", manifest.tasks.get("count")),
        ("chains at once", manifest.flags.get("concurrency")),
        ("repetitions", manifest.flags.get("repeat")),
        ("git", " ".join(str(value) for value in (manifest.git or {}).values())),
        ("python", manifest.python),
        ("libraries", ", ".join(f"{name} {version}" for name, version in manifest.libraries.items())),
        ("profiler", manifest.profiler),
        *((f"host: {name}", value) for name, value in host.items()),
    ]
    if manifest.recording_cost is not None and manifest.recording_cost.chains:
        known.append(("recording", cost_sentence(manifest.recording_cost, explanation.summary)))
    return [[safe(name, 60), safe(str(value), 600)] for name, value in known if value not in (None, "", {}, [])]


def page_of(heading: str, data: str, *, template: str = "report.html", scripts: Sequence[str] = SCRIPTS) -> str:
    """A page of ours with its data; what its template does not name (the library of charts) is not in it."""
    pieces = _asset(template).split("%%")  # text, name, text, name …: what is put in is not looked at again
    parts = {
        "title": heading.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        "style": _asset("report.css"),
        "data": data,
        "library": _asset("echarts/echarts.min.js"),
        "code": _code(tuple(scripts)),
    }
    run = " ".join(_digest(parts[name]) for name in ("library", "code") if name in pieces[1::2])
    parts["policy"] = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"script-src {run}; style-src {_digest(parts['style'])}"
    )
    pieces[1::2] = [parts[name] for name in pieces[1::2]]
    return "".join(pieces)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (files("profiler.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def _code(scripts: tuple[str, ...]) -> str:
    code = "\n".join(_asset(name) for name in scripts)
    return f'(() => {{\n"use strict";\n{code}\n}})();'
