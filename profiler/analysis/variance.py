"""Why chains differ: because the agent did more, or because the same work took longer.

Exact, chain by chain, with typical prices (means over all chains: time per output token, per computed prompt token, and
per run of each tool on the critical path, and per call for all the rest):

    end to end  =  calls * price                      trajectory: more calls
                +  output tokens * price              trajectory: longer answers
                +  prompt tokens computed * price     trajectory: longer prompts
                +  runs of each tool * its price      trajectory: other tools, or more of them
                +  decode  - output tokens * price    speed per output token
                +  prefill - prompt tokens * price    speed per prompt token
                +  tools   - runs of each * its price speed of the tools
                +  rest    - calls * price            speed of everything else

The share of each is its covariance with end to end over the variance, so they sum to 1. What cannot be told apart is
not: without engine timing decode and prefill are in the rest, and their four terms are not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.analysis.measured import Measured, numbers

TRAJECTORY = "trajectory"
SPEED = "speed"
_FEWEST_CHAINS = 5
_LEAST_SPREAD = 1e-9  # over the mean: below it chains are equal


@dataclass(frozen=True, slots=True)
class VariancePart:
    """One part of the variance of end to end; the shares sum to 1, and one may be negative."""

    name: str
    kind: str  # TRAJECTORY or SPEED
    share: float


@dataclass(frozen=True, slots=True)
class Variance:
    """The variance of end to end, split."""

    chains: int
    cv: float  # standard deviation over mean
    trajectory: float
    speed: float
    parts: tuple[VariancePart, ...]


def variance_of(measured: Measured) -> Variance | None:
    """None with fewer than 5 chains, or where they do not differ."""
    e2e = measured.e2e_ns
    if len(e2e) < _FEWEST_CHAINS:
        return None
    mean, spread = float(e2e.mean()), float(e2e.std())
    if spread <= _LEAST_SPREAD * mean:
        return None
    centred = e2e - mean
    parts = tuple(
        VariancePart(name, kind, float((centred * (part - part.mean())).mean()) / spread**2)
        for name, kind, part in _parts(measured)
    )
    trajectory = sum(part.share for part in parts if part.kind == TRAJECTORY)
    speed = sum(part.share for part in parts if part.kind == SPEED)
    return Variance(len(e2e), spread / mean, trajectory, speed, parts)


def _parts(measured: Measured) -> list[tuple[str, str, Any]]:
    calls = measured.answered[measured.answered["path_ns"] > 0]
    rest = measured.e2e_ns.copy()
    found: list[tuple[str, str, Any]] = []
    output = numbers(calls["output_tokens"])
    computed = numbers(calls["input_tokens"]) - numbers(calls["cached_tokens"])
    for phase, tokens, more in (
        ("decode", output, "longer answers"),
        ("prefill", computed, "more prompt tokens computed"),
    ):
        time = numbers(measured.chains[f"{phase}_ns"])
        if not time.any() or not len(tokens) or np.isnan(tokens).any():
            continue
        count = measured.per_chain(calls, tokens)
        price = float(time.sum() / count.sum()) if count.sum() else 0.0
        what = "output token" if phase == "decode" else "prompt token"
        found += [(more, TRAJECTORY, count * price), (f"time per {what}", SPEED, time - count * price)]
        rest -= time
    time = numbers(measured.chains["tool_ns"])
    if time.any():
        expected = _expected_of_tools(measured, time)
        found += [("which tools ran", TRAJECTORY, expected), ("time of the tools", SPEED, time - expected)]
        rest -= time
    number = measured.per_chain(calls, np.ones(len(calls)))
    price = float(rest.sum() / number.sum()) if number.sum() else 0.0
    found.insert(0, ("more calls", TRAJECTORY, number * price))
    found.append(("everything else, per call" if len(found) > 1 else "time per call", SPEED, rest - number * price))
    return found


def _expected_of_tools(measured: Measured, time: Any) -> Any:
    """Of each chain, what the tools that it waited for take in the mean; over all chains it sums to what they took."""
    own = numbers(measured.tools["own_ns"])
    waited = measured.tools[own > 0]
    usual = numbers(waited["own_ns"].groupby(waited["tool"]).transform("mean"))
    expected = measured.per_chain(waited, usual)
    return expected * (float(time.sum()) / float(expected.sum())) if expected.any() else expected
