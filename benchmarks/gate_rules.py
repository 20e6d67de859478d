"""Rules that say whether a run is slower: this profiler's, and the usual ones. True is an alarm.

Each tests one-sided at 2.5%, as far as it is a test at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats
from virtual import Side

from profiler.stats.multiplicity import holm
from profiler.stats.paired import PairedRatio, Verdict, paired_ratio, shift_of_counts, verdict
from profiler.stats.tail import quantile_change

ALPHA = 0.025
MARGIN = 0.05
_RESAMPLES = 499

NAMES = ("chain time", "time per step", "number of steps", "p95 of chains", "any of the four (Holm)")
Rule = Callable[[Side, Side], bool]


def ratio(base: Side, candidate: Side, name: str) -> PairedRatio:
    """Of chain time, or of time per step."""
    return paired_ratio(base.samples(name), candidate.samples(name))


def ours(base: Side, candidate: Side) -> tuple[dict[str, bool], dict[str, bool]]:
    """This profiler's: which say that the candidate is slower, and which that the base is.

    Each figure as if it were the one that decides, and all of them corrected for being four.
    """
    whole, each = ratio(base, candidate, "chain"), ratio(base, candidate, "per step")
    steps = shift_of_counts(base.samples("steps"), candidate.samples("steps"))
    tail = quantile_change(base.samples("chain"), candidate.samples("chain"), resamples=_RESAMPLES)
    slower = _alarms(
        {NAMES[0]: whole.p_slower, NAMES[1]: each.p_slower, NAMES[2]: steps.p_more, NAMES[3]: tail.p_slower},
        verdict(whole, margin=MARGIN) is Verdict.REGRESSED,
    )
    faster = _alarms(
        {NAMES[0]: whole.p_faster, NAMES[1]: each.p_faster, NAMES[2]: steps.p_fewer, NAMES[3]: tail.p_faster},
        whole.high is not None and whole.high < 1,
    )
    return slower, faster


def _alarms(p_values: dict[str, float | None], decided: bool) -> dict[str, bool]:  # noqa: FBT001
    """What the p-values say; for chain time the verdict itself."""
    alarms = {name: value is not None and value <= ALPHA for name, value in p_values.items()}
    family = any(value is not None and value <= ALPHA for value in holm(p_values).values())
    return {**alarms, NAMES[0]: decided, NAMES[4]: family}


def mean_by_a_tenth(base: Side, candidate: Side) -> bool:
    """A threshold on the mean: worse by 10%."""
    return bool(candidate.chain.mean() > 1.1 * base.chain.mean())


def mann_whitney_chains(base: Side, candidate: Side) -> bool:
    """The rank test on all chains as if they were independent."""
    return _rank_test(candidate.chain.ravel(), base.chain.ravel())


def mann_whitney_calls(base: Side, candidate: Side) -> bool:
    """The rank test on all calls as if they were independent."""
    first, second = (side.calls[~np.isnan(side.calls)] for side in (base, candidate))
    return _rank_test(second, first)


def cluster_bootstrap(base: Side, candidate: Side) -> bool:
    """The ratio of means, tasks resampled, whatever their number."""
    tasks = len(base.chain)
    picks = np.random.default_rng(0).integers(0, tasks, (_RESAMPLES, tasks))
    ratios = candidate.chain.sum(1)[picks].sum(1) / base.chain.sum(1)[picks].sum(1)
    return bool(np.quantile(ratios, ALPHA) > 1)


def permutation_p95(base: Side, candidate: Side) -> bool:
    """The plain p95 of all chains, labels exchanged within tasks."""
    draw = np.random.default_rng(0)
    both = np.concatenate([base.chain, candidate.chain], axis=1)
    half = base.chain.shape[1]
    shuffled = draw.permuted(np.broadcast_to(both, (_RESAMPLES, *both.shape)), axis=2)
    null = _p95(shuffled[:, :, half:]) - _p95(shuffled[:, :, :half])
    seen = float(_p95(candidate.chain[None])[0] - _p95(base.chain[None])[0])
    return bool((1 + np.count_nonzero(null >= seen - 1e-12)) / (1 + _RESAMPLES) <= ALPHA)


OTHERS: dict[str, Rule] = {
    "mean worse by 10%": mean_by_a_tenth,
    "Mann-Whitney on chains": mann_whitney_chains,
    "Mann-Whitney on pooled calls": mann_whitney_calls,
    "cluster bootstrap of tasks": cluster_bootstrap,
    "permutation of the plain p95": permutation_p95,
}


def others(base: Side, candidate: Side) -> dict[str, bool]:
    """All of theirs."""
    return {name: rule(base, candidate) for name, rule in OTHERS.items()}


def _rank_test(more: Any, less: Any) -> bool:
    return bool(stats.mannwhitneyu(more, less, alternative="greater", method="asymptotic").pvalue <= ALPHA)


def _p95(chains: Any) -> Any:
    return np.quantile(chains.reshape(len(chains), -1), 0.95, axis=1)
