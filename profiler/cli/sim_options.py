"""The options of the embedded engine, the same wherever one is started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem


def complete_profile(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Names of the embedded engine's profiles, and files."""
    from profiler.engines.sim.profile import profile_names

    names = [CompletionItem(name) for name in profile_names() if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


def complete_trait(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """The embedded engine's wire traits, up to where a value has to be typed."""
    from profiler.engines.sim.traits import trait_words

    return [word for word in trait_words() if word.startswith(incomplete)]


def complete_fault(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Names of the embedded engine's faults."""
    from profiler.engines.sim.faults import ANY, FAULTS

    return [f"{name}=" for name in (ANY, *FAULTS) if name.startswith(incomplete)]


def sim_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--sim-profile`, `--sim-dialect`, `--sim-trait` and `--sim-fault` to a command."""
    from profiler.engines.model import SIM_DIALECTS

    command = click.option(
        "--sim-fault",
        "sim_faults",
        metavar="FAULT=P",
        multiple=True,
        shell_complete=complete_fault,
        help="Let the embedded engine fail with probability P per call; repeatable. [default: never]",
    )(command)
    command = click.option(
        "--sim-trait",
        "sim_traits",
        metavar="TRAIT",
        multiple=True,
        shell_complete=complete_trait,
        help="Habit of the embedded engine on the wire; repeatable. [default: none]",
    )(command)
    command = click.option(
        "--sim-dialect",
        type=click.Choice(SIM_DIALECTS),
        help="Protocol that the embedded engine speaks. [default: the profile's]",
    )(command)
    return click.option(
        "--sim-profile",
        metavar="NAME",
        shell_complete=complete_profile,
        help="Time model of the embedded engine: a name or a TOML file. [default: cpu-tiny]",
    )(command)
