"""Findings about the agent's own code: tools the chain waits for, tools in series, and time in the framework."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from profiler.analysis.finding import Finding
from profiler.analysis.findings.inquiry import LEAST_SHARE, Inquiry, evidence, short, where_of
from profiler.analysis.measured import numbers
from profiler.analysis.serial import serial_tools
from profiler.analysis.wording import duration, percent

_BETWEEN = "between steps"


def slow_tools(inquiry: Inquiry) -> Iterator[Finding]:
    """Each tool by its drag: what the chain waits for it longer than for what runs beside it."""
    tools = inquiry.measured.tools
    drag = numbers(tools["drag_ns"])
    for name, group in tools.assign(drag=drag).groupby("tool", sort=True):
        gain = inquiry.gain(inquiry.per_chain(group, group["drag"]))
        if gain is None:
            continue
        on_path, beside = numbers(group["path_ns"]) > 0, float((group["path_ns"] - group["drag_ns"]).sum())
        where = f"tool {short(cast('str', name))}"
        longer = " longer than for what runs beside it" if beside > 0 else ""
        yield Finding(
            kind="slow-tool",
            title=f"The chain waits {duration(gain.ns)} for {where}{longer} ({percent(gain.share)}).",
            detail="Its drag: how much sooner the chain would end if it took no time. It is what the chain "
            "waits for in "
            f"{percent(float(on_path.mean()))} of its executions, which take "
            f"{duration(float(group['duration_ns'].median()))} in the median.",
            gain_ns=gain.ns,
            share=gain.share,
            condition="all of it is saved only if the tool takes no time"
            if not beside
            else "the tool is as fast as the slowest of what runs beside it; what is below that gains nothing",
            remedy="Make it faster, cache its answers, or start it earlier.",
            where=where,
            phase="tool",
            evidence=evidence(group, group["drag"], lambda ns: f"waited {duration(float(ns))} for", group["drag"]),
        )


def slow_tool_steps(inquiry: Inquiry) -> Iterator[Finding]:
    """Steps of several tools that all take long: none of them has a drag of its own, together they do."""
    tools = inquiry.measured.tools
    steps = inquiry.measured.steps[inquiry.measured.steps["kind"] == "tool"]
    for name, group in steps.groupby("node", sort=True):
        gain = inquiry.gain(inquiry.per_chain(group, numbers(group["drag_ns"])))
        inside = tools[tools["step"] == name]
        alone = float(inquiry.per_chain(inside, numbers(inside["drag_ns"])).mean())
        if gain is None or gain.ns - alone < max(LEAST_SHARE * inquiry.mean_ns, gain.ns / 2):
            continue
        positions = group["position"].unique()
        where = where_of(int(positions[0]), short(str(name))) if len(positions) == 1 else f"steps {short(str(name))}"
        yield Finding(
            kind="slow-tool-step",
            title=f"The chain waits {duration(gain.ns)} for the tools of {where} ({percent(gain.share)}).",
            detail="The step's drag. Several tools run side by side there and take about as long, so that no "
            "single one's speed helps: "
            f"{duration(alone)} for all of them one by one.",
            gain_ns=gain.ns,
            share=gain.share,
            condition="all of the step's tools take no time",
            remedy="Make all of them faster, or see whether they wait for each other (one connection, one "
            "lock, one core).",
            where=where,
            phase="tool",
            evidence=evidence(group, numbers(group["drag_ns"])),
        )


def serial(inquiry: Inquiry) -> Iterator[Finding]:
    """Tools of one step that ran one after another."""
    places = serial_tools(inquiry.measured)
    if places.empty:
        return
    saved = numbers(places["saved_ns"])
    gain = inquiry.gain(inquiry.per_chain(places, saved, "tool"))
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
        evidence=evidence(places, saved, lambda names: short(str(names)), places["tools"]),
    )


def framework_time(inquiry: Inquiry) -> Iterator[Finding]:
    """Time in which neither a call nor a tool was active, by whose it was."""
    gaps = inquiry.measured.gaps
    lasted = numbers(gaps["duration_ns"])
    places: dict[str, list[Any]] = {}
    for key, rows in gaps.groupby(["cause", "owner"], sort=True).indices.items():
        cause, owner = cast("tuple[str, str]", key)
        if cause != "event loop":  # that is a finding of its own
            places.setdefault(owner.replace("step ", "node ", 1) if cause == "node" else cause, []).append(rows)
    for name, parts in sorted(places.items()):
        here = np.zeros(len(gaps))
        for rows in parts:
            here[rows] = lasted[rows]
        gain = inquiry.gain(inquiry.per_chain(gaps, here, "framework"))
        if gain is None:
            continue
        in_node = name.startswith("node ")
        where = short(name) if in_node or name == _BETWEEN else ""
        what = {"start": "before the first step", "end": "after the last step", "unattributed": "outside any step"}
        place = f"in {where}'s own code" if in_node else what.get(name, _BETWEEN)
        yield Finding(
            kind="framework-time",
            title=f"{duration(gain.ns)} of a chain ({percent(gain.share)}) passes {place}, without a call or a tool.",
            detail="Pieces of the critical path in which neither a model call nor a tool was active"
            + ("." if in_node else ": scheduling, serialisation, checkpointing, or code outside nodes."),
            gain_ns=gain.ns,
            share=gain.share,
            condition="that code takes no time",
            remedy="Profile the node's code (py-spy): sleeping, parsing, blocking input and output."
            if in_node
            else "Look at what the graph keeps and copies between steps (checkpointer, size of the state), and at the "
            "agent's set-up.",
            where=where,
            phase="framework",
            evidence=evidence(
                gaps,
                here,
                lambda ns, before: f"{duration(float(ns))} before {before or 'the end'}",
                here,
                gaps["before"],
            ),
        )
