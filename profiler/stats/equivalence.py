"""Whether two runs are alike, which "no significant difference" does not say."""

from __future__ import annotations

from profiler.stats.paired import PairedRatio


def p_not_slower(result: PairedRatio, margin: float) -> float | None:
    """One-sided, of the hypothesis that the candidate is slower by the margin or more: the test of non-inferiority.

    The paired t-test against ln(1 + margin). Below (1 - confidence) / 2 exactly where the interval ends below 1 +
    margin, which is what `verdict` looks at. Assumes what `paired_ratio` does.

    Args:
        result: of `paired_ratio`; None without an interval.
        margin: 0.05 for 5%.

    Raises:
        ValueError: the margin is not above -1.
    """
    return result.p_below(1 + margin)


def p_equivalent(result: PairedRatio, margin: float) -> float | None:
    """Of the hypothesis that the candidate is slower or faster by a factor of 1 + margin or more.

    Two one-sided tests (Schuirmann, J. Pharmacokin. Biopharm. 15 (1987) 657): the larger p-value of the two. Below
    alpha exactly where the interval of confidence 1 - 2 alpha lies within 1 / (1 + margin) to 1 + margin.

    Args:
        result: of `paired_ratio`; None without an interval.
        margin: above 0.

    Raises:
        ValueError: the margin is not positive.
    """
    if margin <= 0:
        msg = f"runs are alike within a margin above 0, not {margin}"
        raise ValueError(msg)
    slower, faster = result.p_below(1 + margin), result.p_above(1 / (1 + margin))
    return None if slower is None or faster is None else max(slower, faster)
