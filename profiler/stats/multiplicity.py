"""Many tests at once: of twenty that are all idle, one is significant at 5%."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

PValues = Mapping[str, float | None]
"""Name of what was tested -> its p-value; None where there was no test, which counts for nothing."""


def holm(p_values: PValues) -> dict[str, float | None]:
    """P-values adjusted so that below alpha any false one occurs with a probability of at most alpha.

    The step-down rule: the k-th smallest of m times m - k + 1, and none below the one before (Holm, Scand. J. Statist.
    6 (1979) 65). Needs no assumption on how the tests depend on each other. For what fails a check.

    Raises:
        ValueError: a p-value outside 0 to 1, naming its test.
    """
    return _adjusted(p_values, _step_down)


def false_discovery(p_values: PValues) -> dict[str, float | None]:
    """P-values adjusted so that of those below alpha at most a share of alpha is expected to be false.

    Benjamini and Hochberg's rule (`scipy.stats.false_discovery_control`); the tests are independent or positively
    dependent, as times of parts of the same chains are. For what is listed to be looked at, where missing costs more
    than a needless look.

    Raises:
        ValueError: as `holm`.
    """
    from scipy import stats

    return _adjusted(p_values, stats.false_discovery_control)


def _adjusted(p_values: PValues, rule: Callable[[Any], Any]) -> dict[str, float | None]:
    for name, value in p_values.items():
        if value is not None and not 0 <= value <= 1:
            msg = f"{name}: {value} is not a p-value"
            raise ValueError(msg)
    tested = {name: value for name, value in p_values.items() if value is not None}
    adjusted = rule(np.array(list(tested.values()))).tolist() if tested else []
    return {**p_values, **dict(zip(tested, adjusted, strict=True))}


def _step_down(values: Any) -> Any:
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
