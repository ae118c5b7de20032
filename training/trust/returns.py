"""Returns in the dream beside real ones: their ranks, the gap of the best, the lift of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..intervals import Interval, cluster_bootstrap, percentile_interval
from .card import GAP, RANK, Figure, PolicyReturns

ENOUGH = 12
"""Independent policies from which on a rank correlation is held against its bar."""
SAMPLES = 500


def return_figures(
    policies: Sequence[PolicyReturns], curve: Sequence[PolicyReturns]
) -> list[Figure]:
    """Return the figures of ranked ``policies``, and of one agent along its training."""
    means = [float(part.real.mean()) for part in (*policies, *curve)]
    span = max(means) - min(means)
    best = max(policies, key=lambda part: float(part.dream.mean()))
    figures = [_rank(policies), _gap("return gap, best in the dream", best, span)]
    if len(curve) < 2:
        note = "not measured: no agent was followed along its training"
        return [*figures, *(Figure(n, None, b, note) for n, b in ((FINAL, GAP), (LIFT, None)))]
    return [*figures, _gap(FINAL, curve[-1], span), _lift(curve[0], curve[-1], span)]


FINAL, LIFT = "return gap, end of training", "optimisation lift"


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Return the rank correlation of two ``(P,)``, equal values with mean ranks.

    NaN if ``second`` has no order; 0 if only ``first`` has none.
    """
    if np.ptp(second) == 0:
        return np.nan
    if np.ptp(first) == 0:
        return 0.0
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the place of each among ``values`` ``(P,)``, the mean place among equals."""
    below = (values[:, None] > values).sum(1)
    return np.array(below + ((values[:, None] == values).sum(1) - 1) / 2)


def _rank(policies: Sequence[PolicyReturns]) -> Figure:
    """Return the rank correlation; policies and their episodes are drawn anew."""
    name, few = "rank correlation", len(policies) < ENOUGH
    note = f"{len(policies)} policies" + f", too few for the bar: {ENOUGH}" * few
    dream, real = ([part.dream for part in policies], [part.real for part in policies])
    generator = np.random.default_rng(0)
    draws = [spearman(*(np.array([x.mean() for x in side]) for side in (dream, real)))]
    for _ in range(SAMPLES):
        rows = generator.integers(len(policies), size=len(policies))
        drawn = [generator.integers(len(dream[row]), size=len(dream[row])) for row in rows]
        pairs = [(r, e) for r, e in zip(rows, drawn, strict=True)]
        means = (np.array([side[r][e].mean() for r, e in pairs]) for side in (dream, real))
        draws.append(spearman(*means))
    found = percentile_interval(np.array(draws))
    if found is None:
        note = "not measured: all policies have the same real return"
    return Figure(name, found, None if few else RANK, note)


def _gap(name: str, part: PolicyReturns, span: float) -> Figure:
    """Return dream less real return as a share of ``span``; paired episodes are drawn anew."""
    if span <= 0:
        return Figure(name, None, GAP, "not measured: all policies have the same real return")
    difference = (part.dream - part.real) / span
    note = f"{part.dream.mean():.3f} in the dream, {part.real.mean():.3f} in the real world"
    return Figure(name, _over_rows(lambda rows: float(difference[rows].mean()), part), GAP, note)


def _lift(first: PolicyReturns, last: PolicyReturns, span: float) -> Figure:
    """Return what training gained in the dream less what it gained in the real world."""
    if span <= 0:
        return Figure(LIFT, None, None, "not measured: all policies have the same real return")
    gains = [(getattr(last, s) - getattr(first, s)) / span for s in ("dream", "real")]
    note = f"gained {gains[0].mean():.3f} in the dream, {gains[1].mean():.3f} in the real world"
    lift = gains[0] - gains[1]
    return Figure(LIFT, _over_rows(lambda rows: float(lift[rows].mean()), last), None, note)


def _over_rows(statistic: Callable[[np.ndarray], float], part: PolicyReturns) -> Interval | None:
    return cluster_bootstrap(statistic, np.arange(len(part.dream)), samples=SAMPLES)
