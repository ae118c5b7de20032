"""Intervals of means, success rates and interquartile means over seeds and episodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from worldgpt_env.model.errors import ConfigurationError

from .results_io import Figures, Result

Scores = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Interval(Result):
    """An estimate with the bounds of its confidence interval, all in the unit of the scores."""

    value: float
    low: float
    high: float
    confidence: float = 0.95

    def to_json(self) -> Figures:
        """Return ``value``, ``low`` and ``high``; no bound is infinite in JSON."""
        return {name: part for name, part in super().to_json().items() if name != "confidence"}

    def __str__(self) -> str:
        """Return ``value [low, high]`` with two decimals."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def mean_interval(scores: Scores, confidence: float = 0.95) -> Interval:
    """Return the mean of independent ``scores`` ``(n,)`` with Student's t interval.

    One score alone says nothing about its spread, so its bounds are infinite.

    Raises:
        ConfigurationError: for no score, or one that is not finite.
    """
    values = _checked(scores, confidence).ravel()
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, -math.inf, math.inf, confidence)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = student_t_quantile(0.5 + confidence / 2, len(values) - 1) * error
    return Interval(mean, mean - half, mean + half, confidence)


def success_interval(successes: Sequence[bool] | np.ndarray, confidence: float = 0.95) -> Interval:
    """Return the share of ``successes`` ``(n,)`` bool with Wilson's interval, all in [0, 1]."""
    values = _checked(np.asarray(successes, np.float64), confidence).ravel()
    count, share = len(values), float(values.mean())
    z = _bisect(lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2))), 0.5 + confidence / 2)
    scale = 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    low, high = min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)
    return Interval(share, low, high, confidence)


def interquartile_mean(scores: Scores) -> float:
    """Return the mean of the middle half of ``scores`` (any shape, flattened).

    The borders are weighted, so that exactly half of the mass counts at any number of scores
    (Agarwal et al. 2021 drop whole scores instead; both agree when the count is a multiple of 4).
    """
    values = np.sort(np.asarray(scores, np.float64).ravel())
    if not len(values):
        raise ConfigurationError("an interquartile mean of no scores was asked; pass at least one.")
    edges = np.arange(len(values) + 1) / len(values)
    weights = np.clip(edges[1:], 0.25, 0.75) - np.clip(edges[:-1], 0.25, 0.75)  # (n,), sums to 1/2
    return float((weights * values).sum() / weights.sum())


def stratified_bootstrap(
    scores: np.ndarray,
    statistic: Callable[[np.ndarray], float] = interquartile_mean,
    *,
    confidence: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return ``statistic`` of ``scores`` with the percentile interval of a stratified bootstrap.

    Args:
        scores: ``(runs, tasks)``; runs are drawn anew within each task, tasks are kept.
        statistic: from ``(runs, tasks)`` to one number.
        confidence: the mass of the interval, in (0, 1).
        samples: how many times the runs are drawn.
        seed: seed of the draws; the same seed gives the same interval.
    """
    values = _checked(scores, confidence)
    if values.ndim != 2:
        raise ConfigurationError(f"scores have the shape {values.shape}; pass (runs, tasks).")
    generator = np.random.default_rng(seed)
    runs, tasks = values.shape
    columns = np.arange(tasks)
    draws = [
        statistic(values[generator.integers(runs, size=(runs, tasks)), columns])
        for _ in range(samples)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(statistic(values)), float(low), float(high), confidence)


def cluster_weights(
    strata: Sequence[str] | np.ndarray, samples: int = 2000, seed: int = 0
) -> np.ndarray:
    """Return how much each cluster counts in each draw of a stratified cluster bootstrap.

    Of n clusters of a stratum n - 1 are drawn, and weighed so that they count for n: drawn whole,
    few clusters would show too little spread (Rao and Wu 1988). A single cluster has none to show.

    Row 0 counts every cluster once, so that ``weights @ sums`` gives the estimate first and then
    its draws, for :func:`percentile_interval`.

    Args:
        strata: ``(clusters,)``, the stratum of each; clusters are drawn anew within theirs.
        samples: draws.
        seed: the same seed draws the same clusters.

    Returns:
        ``(1 + samples, clusters)`` float64.
    """
    names = np.asarray(strata)
    generator = np.random.default_rng(seed)
    weights = np.ones((1 + samples, len(names)))
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        drawn = len(members) - 1
        if drawn:
            share = np.full(len(members), 1 / len(members))
            counts = generator.multinomial(drawn, share, size=samples)
            weights[1:, members] = counts * (len(members) / drawn)
    return weights


def percentile_interval(draws: np.ndarray, confidence: float = 0.95) -> Interval | None:
    """Return the first of ``draws`` ``(1 + samples,)`` with the percentiles of the others.

    Draws that are NaN (nothing was measured in them) are left out; None if the first is.
    """
    if not np.isfinite(draws[0]):
        return None
    others = draws[1:][np.isfinite(draws[1:])]
    tail = (1 - confidence) / 2
    low, high = np.quantile(others, [tail, 1 - tail]) if len(others) else (-np.inf, np.inf)
    return Interval(float(draws[0]), float(low), float(high), confidence)


def cluster_bootstrap(
    statistic: Callable[[np.ndarray], float | None],
    clusters: np.ndarray,
    *,
    confidence: float = 0.95,
    samples: int = 500,
    seed: int = 0,
) -> Interval | None:
    """Return ``statistic`` of all rows with the interval of drawing whole clusters anew.

    For statistics that are no sums; of sums :func:`cluster_weights` is faster.

    Args:
        statistic: from row numbers, repeats among them, to one number; None where it has none.
        clusters: ``(N,)``, the cluster of each row, as its episode.
        confidence: the mass of the interval, in (0, 1).
        samples: how many times the clusters are drawn.
        seed: the same seed draws the same clusters.
    """
    _, place = np.unique(clusters, return_inverse=True)
    order = np.argsort(place, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(place))[:-1])
    generator = np.random.default_rng(seed)
    draws = [statistic(np.arange(len(place)))]
    for _ in range(samples):
        drawn = generator.integers(len(members), size=len(members))
        draws.append(statistic(np.concatenate([members[number] for number in drawn])))
    values = np.array([np.nan if value is None else value for value in draws])
    return percentile_interval(values, confidence)


def difference_interval(first: Scores, second: Scores, confidence: float = 0.95) -> Interval:
    """Return the mean of ``second`` less that of ``first``, independent scores, by Welch's t.

    With one score on a side nothing is known of its spread, and the bounds are infinite.
    """
    a, b = _checked(first, confidence).ravel(), _checked(second, confidence).ravel()
    difference = float(b.mean() - a.mean())
    if min(len(a), len(b)) < 2:
        return Interval(difference, -math.inf, math.inf, confidence)
    errors = [float(x.var(ddof=1)) / len(x) for x in (a, b)]
    total = sum(errors)
    if total == 0:
        return Interval(difference, difference, difference, confidence)
    freedom = total**2 / sum(e**2 / (len(x) - 1) for e, x in zip(errors, (a, b), strict=True))
    quantile = student_t_quantile(0.5 + confidence / 2, max(1, int(freedom + 1e-9)))
    half = quantile * math.sqrt(total)
    return Interval(difference, difference - half, difference + half, confidence)


def student_t_quantile(probability: float, freedom: int) -> float:
    """Return a quantile from the median up of Student's t with ``freedom`` degrees of freedom."""
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ConfigurationError(
            f"no t quantile for probability {probability} and {freedom} degrees of freedom; "
            "pass a probability in [0.5, 1) and at least one degree."
        )
    return _bisect(lambda t: 0.5 * (1 + _student_t_central(t, freedom)), probability)


def _student_t_central(t: float, freedom: int) -> float:
    """Return P(-t < T < t), the finite sums of Abramowitz & Stegun 26.7.3 and 26.7.4."""
    theta = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = freedom % 2 == 1
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2 / math.pi * (theta + sine * total) if odd else sine * total


def _bisect(increasing: Callable[[float], float], target: float) -> float:
    """Return the x >= 0 where the ``increasing`` function reaches ``target``."""
    low, high = 0.0, 1.0
    while increasing(high) < target:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if increasing(middle) < target else (low, middle)
    return high


def _checked(scores: Scores, confidence: float) -> np.ndarray:
    """Return ``scores`` as float64, or say why no interval can be made of them."""
    values = np.asarray(scores, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ConfigurationError(
            f"no interval over {values.size} scores"
            + (", some of them NaN or infinite" if values.size else "")
            + "; pass at least one score, all finite."
        )
    if not 0 < confidence < 1:
        raise ConfigurationError(f"confidence is {confidence}; choose a value in (0, 1), as 0.95.")
    return values
