"""Runs in virtual time: chains whose calls take what the embedded engine's time model says, times noise and drift.

    Plan       per task, what each of its calls takes on an idle engine: computed by `profiler/engines/sim/scheduler.py`
               for prompts that grow from call to call and sit in the prefix cache
    Noise      lognormal per call, partly shared by the calls of a chain; now and then a stall
    Machine    its speed wanders by 5% to either side over the hour that both runs take
    measure    base and candidate, interleaved (ABBA) or one after the other

Everything is seeded, nothing sleeps: a check of 25 tasks, 4 chains each on either side takes a millisecond.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from profiler.engines.sim.draws import sigma_of
from profiler.engines.sim.profile import Profile, load_profile
from profiler.engines.sim.scheduler import Scheduler, Work
from profiler.stats.sequential import Turn, turns

FEWEST_CALLS, MOST_CALLS = 3, 8
DRIFT = 0.05
AT_ONCE = 5
_ROOM = MOST_CALLS + 2  # calls that a chain can have
_TOOL_NS = 20_000_000
_SYSTEM_TOKENS = 600
_NOISY = {"step_cv": 1.0, "tail_probability": 0.005, "tail_us": 100_000.0}  # calls of some ten tokens: CV 0.25 or so


@dataclass(frozen=True)
class World:
    """How chains come about on one side."""

    cv: float = 0.3
    shared: float = 0.0
    """Share of the calls' variance that is the chain's."""
    free: bool = True
    """The number of calls varies from chain to chain; else a script fixes it."""
    planned: bool = False
    """Calls take what the engine's time model says; else all the same, but for the noise."""
    slower: float = 1.0
    """Factor on every call."""
    more_steps: float = 0.0
    """Probability of one call more."""
    stalls: float = 0.0
    """Probability that a call stalls."""
    stalled_chains: float = 0.0
    """Probability that one call of a chain does, the first."""
    stall: float = 0.0
    """For how long, in mean calls."""


@dataclass(frozen=True)
class Side:
    """One run: arrays of tasks x chains, and tasks x chains x calls (NaN where there is none)."""

    chain: Any
    steps: Any
    calls: Any

    def samples(self, name: str, upto: Any = None) -> dict[str, list[float]]:
        """As `profiler.stats` takes them; `upto` says how many chains of each task."""
        values = self.chain / self.steps if name == "per step" else getattr(self, name)
        return {
            f"t{task}": row[: None if upto is None else upto[task]].tolist()
            for task, row in enumerate(values)
            if upto is None or upto[task]
        }


@dataclass(frozen=True)
class Measured:
    """Base and candidate, and the order in which they were measured."""

    base: Side
    candidate: Side
    order: Sequence[Turn]
    in_turns: bool = True


def measure(
    seed: int, base: World, candidate: World, *, tasks: int = 25, repeats: int = 4, interleaved: bool = True
) -> Measured:
    """One whole check's data."""
    draw = np.random.default_rng(seed)
    order = turns([str(task) for task in range(tasks)], repeats, seed)
    places = _places(order, tasks, repeats) if interleaved else _apart(tasks, repeats)
    phase = draw.uniform(0, 2 * np.pi)
    speed = 1 + DRIFT * np.sin(np.pi * places / (2 * tasks * repeats) + phase)
    first, second = (_side(draw, world, tasks, repeats, speed[side]) for side, world in enumerate((base, candidate)))
    return Measured(first, second, order, interleaved)


def _places(order: Sequence[Turn], tasks: int, repeats: int) -> Any:
    """When each chain ran: sides x tasks x chains, as an index into the hour."""
    places = np.zeros((2, tasks, repeats))
    seen = [0] * tasks
    for index, turn in enumerate(order):
        task = int(turn.task)
        for offset, side in enumerate((turn.first, turn.second)):
            places["AB".index(side), task, seen[task]] = 2 * index + offset
        seen[task] += 1
    return places


def _apart(tasks: int, repeats: int) -> Any:
    rounds = np.arange(2 * tasks * repeats).reshape(2, repeats, tasks)
    return rounds.transpose(0, 2, 1).astype(float)


def _side(draw: Any, world: World, tasks: int, repeats: int, speed: Any) -> Side:
    planned, lengths = plans(tasks)
    if not world.planned:
        planned = np.full_like(planned, planned.mean())
    counts = np.broadcast_to(lengths[:, None], (tasks, repeats))
    if world.free:
        counts = counts + draw.choice([-1, 0, 0, 1], size=counts.shape)
    counts = counts + (draw.random(counts.shape) < world.more_steps)
    sigma = sigma_of(world.cv)
    own = draw.standard_normal((tasks, repeats, _ROOM))
    common = draw.standard_normal((tasks, repeats, 1))
    noise = np.sqrt(1 - world.shared) * own + np.sqrt(world.shared) * common
    calls = planned[:, None, :] * np.exp(sigma * noise - sigma**2 / 2) * world.slower
    stalled = draw.random(calls.shape) < world.stalls
    if world.stalled_chains:
        stalled[..., 0] |= draw.random(counts.shape) < world.stalled_chains
    calls = (calls + stalled * world.stall * planned.mean()) * speed[..., None]
    calls = np.where(np.arange(_ROOM) < counts[..., None], calls, np.nan)
    return Side(np.nansum(calls, axis=-1), counts.astype(float), calls)


@functools.cache
def plans(tasks: int) -> tuple[Any, Any]:
    """Seconds that each call of each task takes on an idle engine, tasks x calls, and how many calls a task has."""
    profile = load_profile("gpu-8b-vllm").model_copy(update={"step_cv": 0.0, "tail_probability": 0.0})
    lengths = FEWEST_CALLS + np.arange(tasks) % (MOST_CALLS - FEWEST_CALLS + 1)
    draw = np.random.default_rng(0)
    rows = []
    for task in range(tasks):
        engine = Scheduler(profile, seed=0)
        chain = Chain(f"t{task}", draw, _ROOM)
        rows.append(run_chains(engine, [chain])[0])
    return np.array(rows) / 1e9, lengths


class Chain:
    """What one chain asks of an engine: a prompt that grows, and outputs of about equal length."""

    def __init__(self, name: str, draw: Any, calls: int, fewest: int = 24, most: int = 40) -> None:
        self.name = name
        self.outputs = draw.integers(fewest, most, calls).tolist()
        self.growth = draw.integers(40, 120, calls).tolist()
        self.key = int(draw.integers(0, 2**62))

    def work(self, call: int) -> Work:
        """Its request number `call`."""
        length = _SYSTEM_TOKENS + sum(self.growth[: call + 1]) + sum(self.outputs[:call])
        prompt = tuple(range(length))
        return Work(f"{self.name}.{call}", prompt, self.outputs[call], key=self.key + call, salt=self.name)


def run_chains(engine: Scheduler, chains: Sequence[Chain], start_ns: int = 0) -> list[list[int]]:
    """The chains side by side on one engine: per chain, what each call took, in nanoseconds."""
    took: dict[str, list[int]] = {chain.name: [] for chain in chains}
    by_name = {chain.name: chain for chain in chains}
    began = {}
    for chain in chains:
        began[chain.name] = start_ns
        engine.add(chain.work(0), start_ns)
    while (now_ns := engine.next_ns()) is not None:
        for token in engine.advance(now_ns):
            if not token.last:
                continue
            name = token.id.rsplit(".", 1)[0]
            took[name].append(token.at_ns - began[name])
            if (number := len(took[name])) < len(by_name[name].outputs):
                began[name] = token.at_ns + _TOOL_NS
                engine.add(by_name[name].work(number), began[name])
    return list(took.values())


def on_the_engine(
    seed: int, slower: float = 1.0, tasks: int = 25, repeats: int = 4, at_once: int = AT_ONCE
) -> Measured:
    """A check that the time model makes as a whole, its own noise and stalls included: pinned chains, some at once.

    Chains that run side by side share the engine's steps, so their times depend on each other. The shipped profile
    hardly varies; here it is as noisy as a machine that others use too.
    """
    profile = load_profile("gpu-8b-vllm").model_copy(update=_NOISY)
    sides = []
    for side, factor in enumerate((1.0, slower)):
        engine = Scheduler(_slowed(profile, factor), seed=2 * seed + side)
        calls = np.full((tasks, repeats, _ROOM), np.nan)
        for repeat in range(repeats):
            for first in range(0, tasks, at_once):
                group = range(first, min(first + at_once, tasks))
                chains = [_pinned(task, seed, repeat, side) for task in group]
                start_ns = (repeat * tasks + first) * 10**12
                for task, row in zip(group, run_chains(engine, chains, start_ns), strict=True):
                    calls[task, repeat, : len(row)] = row
        sides.append(Side(np.nansum(calls, axis=-1), (~np.isnan(calls)).sum(axis=-1).astype(float), calls))
    return Measured(*sides, [])


def _pinned(task: int, seed: int, repeat: int, side: int) -> Chain:
    """The same outputs in every chain of a task, other draws of the engine's noise."""
    length = FEWEST_CALLS + task % (MOST_CALLS - FEWEST_CALLS + 1)
    chain = Chain(f"t{task}r{repeat}", np.random.default_rng(task), length, 6, 12)
    chain.key = int(np.random.default_rng([seed, task, repeat, side]).integers(0, 2**62))
    return chain


def _slowed(profile: Profile, factor: float) -> Profile:
    fields = ("step_us", "per_sequence_us", "per_context_token_us", "per_prompt_us", "per_prompt_token_us")
    return profile.model_copy(update={name: getattr(profile, name) * factor for name in fields})


@functools.cache
def stall_that_raises(p: float, by: float, world: World) -> float:
    """How long the stalls of that world must be for the p-quantile of its chains to rise by that share."""
    wanted = (1 + by) * np.quantile(_many(replace(world, stall=0.0)), p)
    low, high = 0.0, 50.0
    for _ in range(30):
        middle = (low + high) / 2
        reached = np.quantile(_many(replace(world, stall=middle)), p)
        low, high = (middle, high) if reached < wanted else (low, middle)
    return high


def _many(world: World) -> Any:
    return _side(np.random.default_rng(1), world, 24, 2000, np.ones((24, 2000))).chain
