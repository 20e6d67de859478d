"""Random draws that are looked up, not taken in turn: each depends on what it is for and on nothing else.

    draw = mix(stream(seed, key), index, purpose)

There is no generator that requests share, so a request's noise is the same whichever requests come before it, run
beside it or are left out. The mixing is that of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom
number generators", 2014): a few multiplications, cheap enough for each token. Seeds, keys and indices are any
integers, of which the lowest 64 bits count.
"""

from __future__ import annotations

import math
from statistics import NormalDist

NOISE = 1
"""Purpose: how much longer or shorter a step takes than it should."""
TAIL = 2
"""Purpose: whether a step is stalled."""
TAIL_LENGTH = 3
"""Purpose: for how long."""

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_INDEX_STEP = 0xD1342543DE82EF95
_NORMAL = NormalDist()


def uniform(seed: int, key: int, index: int, purpose: int) -> float:
    """Uniform, above 0 and below 1; draws for different purposes are independent of each other."""
    return unit(stream(seed, key), index, purpose)


def stream(seed: int, key: int) -> int:
    """What all draws of one request start from: keep it where there are many."""
    return _mixed(_mixed(seed + _GOLDEN) + key)


def unit(start: int, index: int, purpose: int) -> float:
    """As `uniform`, from what `stream` gave."""
    # 52 bits, because with 53 the largest would round to 1
    return ((_mixed(start + (index + 1) * _INDEX_STEP + purpose * _GOLDEN) >> 12) + 0.5) * 2.0**-52


def lognormal(start: int, index: int, purpose: int, sigma: float) -> float:
    """Lognormal of mean 1; `sigma_of` turns a coefficient of variation into sigma."""
    return math.exp(sigma * _NORMAL.inv_cdf(unit(start, index, purpose)) - sigma * sigma / 2)


def exponential(start: int, index: int, purpose: int) -> float:
    """Exponential of mean 1."""
    return -math.log(unit(start, index, purpose))


def sigma_of(cv: float) -> float:
    """The sigma of the lognormal distribution whose standard deviation is `cv` times its mean."""
    return math.sqrt(math.log1p(cv * cv))


def _mixed(x: int) -> int:
    x &= _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
