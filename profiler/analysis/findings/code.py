"""Findings about tools: those that the chain waits for, and those in series."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pandas as pd

from profiler.analysis.finding import Finding
from profiler.analysis.findings.inquiry import LEAST_SHARE, Inquiry, evidence, short, where_of
from profiler.analysis.groups import Groups
from profiler.analysis.measured import numbers
from profiler.analysis.serial import serial_tools
from profiler.analysis.wording import duration, percent

_PLACE = ["chain", "position", "node"]
_HARDLY = 0.01  # of a time: less is as good as none


def slow_tools(inquiry: Inquiry) -> Iterator[Finding]:
    """Each tool, all its executions at once: what the chain waits for it longer than for what runs beside it."""
    tools = inquiry.measured.tools
    for name, group in tools.groupby("tool", sort=True):
        if not _matters(inquiry, group):
            continue
        gains = _without(inquiry, name)
        gain = inquiry.gain(inquiry.at_most(inquiry.per_chain(tools, gains), "tool"))
        if gain is None:
            continue
        own = numbers(group["own_ns"])
        on_path, here = own > 0, gains[group.index]
        beside = float(own.sum() - gains.sum()) > _HARDLY * own.sum()
        where = f"tool {short(cast('str', name))}"
        longer = " longer than for what runs beside it" if beside else ""
        within = bool((own[on_path] < (1 - _HARDLY) * numbers(group["path_ns"])[on_path]).any())
        yield Finding(
            kind="slow-tool",
            title=f"The chain waits {duration(gain.ns)} for {where}{longer} ({percent(gain.share)}).",
            detail="How much sooner the chain would end if all executions of it took no time"
            + (", without the calls and tools that it uses in its turn" if within else "")
            + f". It is what the chain waits for in {percent(float(on_path.mean()))} of its executions, which take "
            f"{duration(float(group['duration_ns'].median()))} in the median.",
            gain_ns=gain.ns,
            share=gain.share,
            condition="the tool is as fast as the slowest of what runs beside it; what is below that gains nothing"
            if beside
            else "all of it is saved only if the tool takes no time",
            remedy="Make it faster, cache its answers, or start it earlier.",
            where=where,
            phase="tool",
            evidence=evidence(group, here, _waited(here)),
        )


def _waited(gains: Any) -> Callable[[int], str]:
    return lambda at: f"waited {duration(float(gains[at]))} for"


def _matters(inquiry: Inquiry, tools: pd.DataFrame) -> bool:
    """Whether the chains wait for them long enough that a gain could be told."""
    return float(tools["own_ns"].sum()) >= LEAST_SHARE * float(inquiry.measured.e2e_ns.sum())


def _without(inquiry: Inquiry, name: Any) -> Any:
    """Per tool what its chain gains if all executions of one tool took no time."""
    tools = inquiry.measured.tools
    lasted, own, path = numbers(tools["duration_ns"]), numbers(tools["own_ns"]), numbers(tools["path_ns"])
    here = (tools["tool"] == name).to_numpy(dtype=bool)
    # A twin off the path does what the one on it does: part of its time is not its own either.
    part = float(own[here].sum() / path[here].sum()) if path[here].any() else 0.0
    less = np.where(path > 0, own, lasted * part)
    return inquiry.tool_clusters.gain(np.where(here, less, 0.0), np.where(here, own, 0.0))


def slow_tool_steps(inquiry: Inquiry) -> Iterator[Finding]:
    """Steps in which different tools run side by side and all take long: none of them gains much, together they do."""
    steps = inquiry.measured.steps[inquiry.measured.steps["kind"] == "tool"]
    mixed = _side_by_side(inquiry)
    rows = pd.MultiIndex.from_frame(steps[_PLACE]).isin(mixed)
    for name, group in steps[rows].groupby("node", sort=True):
        waited = np.minimum(numbers(group["drag_ns"]), numbers(group["tool_ns"]))
        gain = inquiry.gain(inquiry.at_most(inquiry.per_chain(group, waited), "tool"))
        if gain is None:
            continue
        alone = _one_by_one(inquiry, group)
        if gain.ns - alone < max(LEAST_SHARE * inquiry.mean_ns, gain.ns / 2):
            continue
        positions = group["position"].unique()
        where = where_of(int(positions[0]), short(str(name))) if len(positions) == 1 else f"steps {short(str(name))}"
        yield Finding(
            kind="slow-tool-step",
            title=f"The chain waits {duration(gain.ns)} for the tools of {where} ({percent(gain.share)}).",
            detail="The time of its tools on the critical path. Different tools run side by side there and take about "
            f"as long, so that no single one's speed helps: {duration(alone)} for all of them one by one.",
            gain_ns=gain.ns,
            share=gain.share,
            condition="all of the step's tools take no time",
            remedy="Make all of them faster, or see whether they wait for each other (one connection, one "
            "lock, one core).",
            where=where,
            phase="tool",
            evidence=evidence(group, waited),
        )


def _side_by_side(inquiry: Inquiry) -> pd.MultiIndex:
    """Places (chain, position, node) at which different tools overlap in time."""
    tools = inquiry.measured.tools.rename(columns={"step": "node"})
    if tools.empty:
        return pd.MultiIndex.from_frame(tools[_PLACE])
    clusters = Groups.of(tools["chain"], tools["position"], tools["node"], inquiry.tool_clusters.number)
    mixed = tools.iloc[clusters.first[clusters.distinct(tools["tool"]) > 1]]
    return pd.MultiIndex.from_frame(mixed[_PLACE].drop_duplicates())


def _one_by_one(inquiry: Inquiry, steps: pd.DataFrame) -> float:
    """What a chain gains in the mean without each tool of these steps, summed over the tools."""
    tools = inquiry.measured.tools
    places = pd.MultiIndex.from_frame(steps[_PLACE])
    inside = pd.MultiIndex.from_frame(tools[["chain", "position", "step"]]).isin(places)
    gains = np.zeros(len(tools))
    for name, rows in tools[inside].groupby("tool"):
        alone = np.minimum(numbers(rows["drag_ns"]), numbers(rows["own_ns"]))
        gains[rows.index] = _without(inquiry, name)[rows.index] if _matters(inquiry, rows) else alone
    return float(gains.sum()) / len(inquiry.measured.chains)


def serial(inquiry: Inquiry) -> Iterator[Finding]:
    """Tools of one step that ran one after another."""
    places = serial_tools(inquiry.measured)
    if places.empty:
        return
    saved = numbers(places["saved_ns"])
    gain = inquiry.gain(inquiry.at_most(inquiry.per_chain(places, saved), "tool"))
    if gain is None:
        return
    by_place = places.groupby(["position", "step"])["saved_ns"].sum()
    position, name = cast("tuple[int, str]", by_place.idxmax())
    yield Finding(
        kind="serial-tools",
        title="Tools that were asked for together ran one after another: side by side they save "
        f"{duration(gain.ns)} per chain.",
        detail="Tools of one step that do not overlap in time: their sum on the critical path against the "
        "longest of them.",
        gain_ns=gain.ns,
        share=gain.share,
        condition="they need nothing of each other, and do not slow each other down",
        remedy="Run them concurrently (asyncio.gather, LangGraph's ToolNode).",
        where=where_of(int(position), str(name)),
        phase="tool",
        evidence=evidence(places, saved, lambda at: short(str(places["tools"].iloc[at]))),
    )
