"""`profiler ab`: two sides measured interleaved on one host."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from profiler.cli.ending import note, shown_path
from profiler.errors import EXIT_OK, EXIT_REGRESSION, UsageError

if TYPE_CHECKING:
    from profiler.ab.measure import Measured
    from profiler.ab.spec import Spec
    from profiler.comparable import Loaded
    from profiler.compare.comparison import Comparison

_PATH = click.Path(path_type=Path)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)")
_SIGNS = {"regressed": "🔴", "cannot tell": "🟡", "not regressed": "🟢"}
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600}


def seconds_of(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """A time with its unit."""
    if value is None:
        return None
    match = _DURATION.fullmatch(value.strip())
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{value!r} is no time: a number with s, m or h, such as 90s or 5m.")
    return float(match[1]) * _SECONDS[match[2]]


@click.command(
    epilog="""\b
Examples:
  profiler ab agents/react.py --a "--backend vllm" --b "--backend vllm --engine-arg=--no-enable-prefix-caching"
      one flag of an engine
  profiler ab agents/react.py --a "--rev main" --b ""
      the working tree against a branch, in a worktree and, if its dependencies differ, an environment of its own
  profiler ab agents/react.py --a "" --b "--agent agents/react_v2.py" --both "--backend vllm --task capital"
      two agents on one engine's flags and one task
  profiler ab agents/react.py --a "--base-url http://box-1:8000/v1" --b "--base-url http://box-2:8080/v1" --rounds 40
      two engines that somebody runs
  profiler ab agents/react.py --a "--rev main" --b "" --within 5m --format json | jq .ab.verdict
      what five minutes of measuring can tell
\b
Exit codes: 0 not regressed or cannot tell, 1 regressed, 2 usage, 3 incomparable data, 4 no engine."""
)
@click.argument("agent", metavar="AGENT[:NAME]", type=click.Path())
@click.option("--a", "a", metavar="SPEC", required=True, help="The base: options of `profiler run`, --agent, --rev.")
@click.option("--b", "b", metavar="SPEC", required=True, help="The candidate, likewise.")
@click.option("--both", metavar="SPEC", default="", help="Options of `profiler run` for both sides: tasks, script …")
@click.option(
    "--rounds",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Chains per task and side, at most.",
)
@click.option(
    "--margin",
    metavar="PERCENT",
    type=click.FloatRange(min=0, max=100, min_open=True),
    default=5.0,
    show_default=True,
    help="The slowdown that has to be excluded for B to be called not regressed.",
)
@click.option(
    "--within",
    "within_s",
    metavar="TIME",
    callback=seconds_of,
    help="Begin no pair after so long (90s, 5m, 1h) from the first chain on, and say what is known then.",
)
@click.option("--to-the-end", is_flag=True, help="Run all rounds that the time allows, however clear it is.")
@click.option(
    "--seed", metavar="N", type=int, default=0, show_default=True, help="Of the order in which the sides take turns."
)
@click.option("--out", metavar="DIR", type=_PATH, help="Folder of both runs. [default: traces/<time>-<agent>-ab]")
@click.option(
    "--format",
    "output",
    type=click.Choice(["terminal", "html", "markdown", "json"]),
    default="terminal",
    show_default=True,
    help="As of `profiler compare`, each with the verdict.",
)
@click.option(
    "--output",
    "target",
    metavar="PATH",
    type=_PATH,
    help="File. Default: comparison.html in the folder of both runs for html, else stdout (-).",
)
@click.option("--force", is_flag=True, help="Overwrite files that are no reports of ours.")
def ab(
    agent: str,
    a: str,
    b: str,
    both: str,
    rounds: int,
    margin: float,
    within_s: float | None,
    *,
    to_the_end: bool,
    seed: int,
    out: Path | None,
    output: str,
    target: Path | None,
    force: bool,
) -> int:
    """Measure two sides of AGENT interleaved, chain by chain, and say whether B is slower than A.

    Each side is a `profiler run` of its own, with an engine and an agent of its own. They take turns, never both at
    once, in random order mirrored from round to round: what drifts on this machine, drifts over both alike. It ends as
    soon as B is clearly slower (exit code 1) or clearly not slower by more than the margin, or when that cannot
    become clear within --rounds: looking often does not raise the error, which is 2.5% for either verdict. A B that
    makes a call which its script lacks, or leaves one out, has another trajectory, and that is a regression.
    """
    from profiler.ab.measure import measure
    from profiler.ab.spec import parse_spec
    from profiler.ab.warming import warming_words
    from profiler.cli.output import STDOUT, check_replaceable
    from profiler.cli.sides import Asked, Progress, Wanted, folder_of, started
    from profiler.stats.sequential import plan_looks

    specs = [parse_spec("--a", a), parse_spec("--b", b)]
    shared = parse_spec("--both", both)
    if shared.agent or shared.revision:
        raise UsageError("--agent and --rev tell sides apart", remedy="give them in --a or --b")
    if target is not None and target != STDOUT:
        check_replaceable(target, force=force)
    folder = folder_of(out, agent, "ab")
    asked = Asked(agent, shared.arguments, "--both", rounds, folder)
    sides = [
        Wanted(f"side {name}", name.lower(), f"--{name.lower()}", spec) for name, spec in zip("AB", specs, strict=True)
    ]
    with started(asked, sides) as ready:
        _tell_alike(specs, [each is not None and each.as_now for each in ready.revisions])
        budget = len(ready.tasks) * rounds
        measured = measure(
            (ready.sides[0], ready.sides[1]),
            ready.tasks,
            plan_looks(len(ready.tasks), rounds, margin=margin / 100),
            rounds=rounds,
            warmup=ready.warmup,
            timeout_s=ready.timeout_s,
            seed=seed,
            on_pair=Progress(budget, ("A", "B")),
            to_the_end=to_the_end,
            within_s=within_s,
        )
        for side in ready.sides:
            side.finish()
    said = warming_words(measured, ("A", "B"), ready.warmup, "--both")
    return _report(folder, measured, _Budget(margin, budget), said, output, target, force=force)


class _Budget(NamedTuple):
    """What a verdict is about: the margin in per cent, and how many pairs there might have been."""

    margin: float
    pairs: int


def _tell_alike(specs: Sequence[Spec], as_now: Sequence[bool]) -> None:
    """Say it where a revision and the working tree, otherwise alike, are the same code: that measures the noise."""
    alike = specs[0].arguments == specs[1].arguments and specs[0].agent == specs[1].agent
    of_tree = [each.revision is None for each in specs]
    if alike and (all(of_tree) or specs[0].revision == specs[1].revision):
        note("both sides are the same: what differs between them is noise")
    elif alike and any(as_now) and any(of_tree):
        note(
            "no file that the repository keeps differs between the revision and the working tree: both sides are alike"
        )


def _report(
    folder: Path, measured: Measured, budget: _Budget, said: list[str], output: str, target: Path | None, *, force: bool
) -> int:
    """The comparison of both runs, and the verdict."""
    from profiler.ab.outcome import outcome, outcome_facts, outcome_words
    from profiler.cli.compare import render
    from profiler.cli.comparing import write_comparison_html
    from profiler.cli.output import put
    from profiler.comparable import load_side, nothing_shared
    from profiler.compare.comparison import compare
    from profiler.report.text import safe
    from profiler.stats.paired import Verdict

    for name, failures in zip("AB", measured.failures, strict=True):
        if failures:
            note(f"side {name}: {len(failures)} chains failed, the first of {safe(failures[0], 300)}")
    loaded = [load_side(folder / name) for name in "ab"]
    sides = [each.recorded for each in loaded]
    comparison = compare(*sides)
    left, said = _left_script(comparison), [*_of_free_run(comparison, loaded), *said]
    regressed = outcome(measured, left) is Verdict.REGRESSED
    if not comparison.tasks and not regressed:
        raise nothing_shared(comparison)
    words = outcome_words(measured, *budget, left)
    if output == "html":
        first, second = (each.run for each in loaded)
        assert first is not None, "it was just made"
        assert second is not None, "it was just made"
        place = target or folder / "comparison.html"
        write_comparison_html(first, second, comparison, place, force=force, verdict=words, said=said)
        click.echo(words)
    else:
        facts = outcome_facts(measured, *budget, left, said)
        put(_told(words, facts, said, render(sides, [comparison], output), output), target, force=force)
    note(
        f"both runs kept in {shown_path(folder)}; again: profiler compare {shown_path(folder)}/a {shown_path(folder)}/b"
    )
    return EXIT_REGRESSION if regressed else EXIT_OK


def _left_script(comparison: Comparison) -> list[str]:
    """Where B, and not A likewise, does not keep to its script."""
    from profiler.report.comparison_words import off_script_lines

    known = {(each.task, each.what, each.after) for each in comparison.off_script if each.side == 0}
    new = [each for each in comparison.off_script if each.side and (each.task, each.what, each.after) not in known]
    return list(off_script_lines(new, ("A", "B")))


def _of_free_run(comparison: Comparison, loaded: Sequence[Loaded]) -> list[str]:
    """Without a script the number of steps is part of what is measured."""
    from profiler.report.comparison_words import ratio_words

    manifests = [each.recorded.manifest for each in loaded]
    pinned = all(each is not None and each.script is not None for each in manifests)
    if pinned or comparison.identity is None:
        return []
    steps, per_step = ratio_words(comparison.identity.steps), ratio_words(comparison.identity.per_step)
    return [
        f"no script pins these chains, so what they do is part of the verdict: steps {steps}, time per step {per_step}"
    ]


def _told(words: str, facts: Mapping[str, Any], said: Sequence[str], rendered: str, output: str) -> str:
    """The verdict, what one should know of it, and the comparison."""
    from profiler.report.markdown import inert
    from profiler.report.text import safe

    if output == "json":
        note(words)
        return json.dumps({**json.loads(rendered), "ab": facts}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if output == "markdown":
        lines = [f"{_SIGNS[facts['verdict']]} **{inert(words, 2000)}**", *(f"- {inert(each, 600)}" for each in said)]
        return "\n\n".join([lines[0], "\n".join(lines[1:]), rendered] if said else [lines[0], rendered])
    return "\n".join([safe(words, 4000), *(f"! {safe(each, 600)}" for each in said), "", rendered])
