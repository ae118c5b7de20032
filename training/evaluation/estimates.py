"""Estimates: means over rows with intervals over held-out episodes and over models."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..intervals import cluster_weights, mean_interval, percentile_interval
from ..results_io import Result

Draws = dict[str, np.ndarray]
"""Per figure ``(1 + S,)`` float64: the estimate, then its value in each bootstrap draw."""
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Estimate(Result):
    """A mean over models with both of its 95 % intervals.

    The bounds over ``episodes`` say what other held-out episodes would have given (stratified
    cluster bootstrap), None if there was nothing to draw; those over ``models`` what other models
    would have (Student's t), None of one model.
    """

    value: float
    episodes: Bounds | None
    models: Bounds | None
    each: tuple[float, ...]  # the value of each model

    @classmethod
    def of(cls, draws: Sequence[np.ndarray]) -> Estimate | None:
        """Return the estimate from the draws ``(1 + S,)`` of each model; None if one has none."""
        if not draws or not all(np.isfinite(part[0]) for part in draws):
            return None
        each = tuple(float(part[0]) for part in draws)
        drawn = percentile_interval(np.mean(draws, axis=0))
        known = drawn is not None and math.isfinite(drawn.low)
        over = mean_interval(each) if len(each) > 1 else None
        return cls(
            float(np.mean(each)),
            (drawn.low, drawn.high) if drawn and known else None,
            (over.low, over.high) if over else None,
            each,
        )


Estimates = dict[str, Estimate | None]


def estimate(draws: Sequence[Draws]) -> Estimates:
    """Return each figure of the draws of every model, None where one has no value."""
    names = dict.fromkeys(name for part in draws for name in part)
    return {n: Estimate.of([part[n] for part in draws if n in part]) for n in names}


def show_estimate(
    part: Estimate | None,
    scale: float = 1,
    digits: int = 2,
    intervals: bool = True,
    sign: str = "",
) -> str:
    """Return an estimate times ``scale``, its bounds over episodes [] and models {}, or a dash."""
    if part is None:
        return "–"

    def text(value: float) -> str:
        return f"{round(value * scale, digits) + 0.0:{sign}.{digits}f}"  # never "-0.00"

    found = text(part.value)
    for bounds, pair in ((part.episodes, "[]"), (part.models, "{}")):
        if intervals and bounds is not None:
            found += f" {pair[0]}{text(bounds[0])}, {text(bounds[1])}{pair[1]}"
    return found


def average_draws(parts: Iterable[Mapping[str, np.ndarray]]) -> Draws:
    """Return the mean of each figure over ``parts`` (outputs or combinations) that have it."""
    found = list(parts)
    names = dict.fromkeys(name for part in found for name in part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a draw in which nothing has a value: NaN
        stacks = {name: np.stack([p[name] for p in found if name in p]) for name in names}
        return {name: np.nanmean(stack, axis=0) for name, stack in stacks.items()}


@dataclass(frozen=True)
class Bootstrap:
    """Draws of ``E`` held-out episodes, whole and within their scenarios."""

    weights: np.ndarray  # (1 + S, E), how often each episode counts; once in the first draw
    episode: np.ndarray  # (N,), which of the E each row is of
    scenarios: tuple[str, ...]  # of each of the E

    @classmethod
    def draw(
        cls, episode: np.ndarray, scenarios: Sequence[str], draws: int, seed: int
    ) -> Bootstrap:
        """Draw ``draws`` times from the episodes of rows, ``(N,)`` numbers.

        ``scenarios`` names that of every episode, by its number; the same seed draws the same.
        """
        numbers, own = np.unique(episode, return_inverse=True)
        names = tuple(scenarios[number] for number in numbers)
        return cls(cluster_weights(names, draws, seed), own, names)

    def within(self, scenario: str) -> Bootstrap:
        """Return the draws of the episodes of one scenario; none but the first if it has one."""
        chosen = np.array(self.scenarios) == scenario
        weights = self.weights if chosen.sum() > 1 else self.weights[:1]
        return replace(self, weights=weights * chosen)

    def mean(self, values: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the mean of ``values`` ``(n,)`` of ``rows`` in each draw, NaN rows left out."""
        episode = self.episode if rows is None else self.episode[rows]
        known, size = np.isfinite(values), self.weights.shape[1]
        sums = self.weights @ np.bincount(episode[known], values[known], size)
        counts = self.weights @ np.bincount(episode[known], minlength=size)
        return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
