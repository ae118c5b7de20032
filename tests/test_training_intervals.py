"""The intervals against closed forms and printed tables."""

import math

import numpy as np
import pytest

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.training.intervals import (
    cluster_weights,
    difference_interval,
    interquartile_mean,
    mean_interval,
    percentile_interval,
    stratified_bootstrap,
    student_t_quantile,
    success_interval,
)


@pytest.mark.parametrize(
    ("freedom", "table"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (10, 2.2281), (49, 2.0096)],
)
def test_t_quantile_is_the_printed_table(freedom: int, table: float) -> None:
    assert student_t_quantile(0.975, freedom) == pytest.approx(table, abs=6e-5)


def test_t_quantile_of_one_and_two_degrees_has_a_closed_form() -> None:
    assert student_t_quantile(0.9, 1) == pytest.approx(math.tan(math.pi * 0.4), rel=1e-9)
    p = 0.8
    assert student_t_quantile(p, 2) == pytest.approx((2 * p - 1) / math.sqrt(2 * p * (1 - p)))


def test_mean_interval_of_two_scores_by_hand() -> None:
    interval = mean_interval([1.0, 3.0])  # standard error 1, one degree of freedom
    assert interval.value == 2.0
    assert interval.high - interval.value == pytest.approx(12.7062, abs=1e-3)
    assert mean_interval([5.0, 5.0, 5.0]).low == 5.0
    assert mean_interval([4.0]).high == math.inf


def test_mean_interval_covers_the_truth_at_its_rate() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for row in generator.normal(7.0, 3.0, (2000, 5)):
        interval = mean_interval(row)
        covered += interval.low <= 7.0 <= interval.high
    assert 0.93 < covered / 2000 < 0.97


def test_wilson_interval_by_hand() -> None:
    none = success_interval([False] * 10)
    assert none.value == none.low == 0.0
    assert none.high == pytest.approx(1.959964**2 / (10 + 1.959964**2), abs=1e-6)
    half = success_interval([True, False] * 50)
    assert half.value == 0.5 and half.low == pytest.approx(0.4038, abs=1e-4)


def test_interquartile_mean_drops_the_outer_quarters() -> None:
    assert interquartile_mean([1, 2, 3, 1000]) == 2.5
    assert interquartile_mean([-1e9, 4, 4, 4, 4, 4, 4, 1e9]) == 4.0
    assert interquartile_mean([7.0]) == 7.0
    # five scores: 2.5 of them count, the second and fourth with weight 3/4
    assert interquartile_mean([0, 1, 2, 4, 99]) == pytest.approx((0.75 * 1 + 2 + 0.75 * 4) / 2.5)


def test_bootstrap_keeps_the_tasks_apart() -> None:
    constant = np.tile([0.0, 100.0], (6, 1))  # no spread within a task: the interval has no width
    interval = stratified_bootstrap(constant, lambda s: float(s.mean()), samples=50)
    assert (interval.low, interval.value, interval.high) == (50.0, 50.0, 50.0)


def test_bootstrap_of_the_mean_has_the_width_of_theory() -> None:
    scores = np.random.default_rng(1).normal(size=(400, 1))
    interval = stratified_bootstrap(scores, lambda s: float(s.mean()), samples=1500, seed=3)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 20, rel=0.12)
    again = stratified_bootstrap(scores, lambda s: float(s.mean()), samples=1500, seed=3)
    assert again == interval


@pytest.mark.parametrize("scores", [[], [1.0, float("nan")], [float("inf")]])
def test_unusable_scores_are_refused(scores: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="finite"):
        mean_interval(scores)
    with pytest.raises(ConfigurationError):
        stratified_bootstrap(np.array(scores)[:, None])


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="0.95"):
        mean_interval([1.0, 2.0], confidence=95)
    with pytest.raises(ConfigurationError, match="runs, tasks"):
        stratified_bootstrap(np.ones(3))
    with pytest.raises(ConfigurationError, match="degree"):
        student_t_quantile(0.975, 0)


def test_clusters_are_drawn_whole_and_within_their_stratum() -> None:
    strata = ["pong"] * 30 + ["doom"] * 10
    weights = cluster_weights(strata, samples=500, seed=1)
    assert weights.shape == (501, 40) and (weights[0] == 1).all()
    assert np.allclose(weights[:, :30].sum(1), 30) and np.allclose(weights[:, 30:].sum(1), 10)
    assert np.array_equal(weights, cluster_weights(strata, samples=500, seed=1))
    scores = np.random.default_rng(0).standard_normal(40)  # one number a cluster
    interval = percentile_interval(weights @ scores / weights.sum(1))
    assert interval is not None and interval.value == pytest.approx(scores.mean())
    parts = [scores[:30], scores[30:]]
    error = math.sqrt(sum(len(p) * p.var(ddof=1) for p in parts)) / 40  # of a stratified mean
    assert (interval.high - interval.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.12)
    spread = [(cluster_weights(["a"] * n, 4000) @ np.arange(n) / n).std() for n in (1, 2, 4)]
    assert spread[0] == 0.0  # one cluster shows nothing
    wanted = [np.arange(n).std(ddof=1) / math.sqrt(n) for n in (2, 4)]
    assert spread[1:] == pytest.approx(wanted, rel=0.05)


def test_draws_without_a_value() -> None:
    assert percentile_interval(np.array([np.nan, 1.0, 2.0])) is None
    interval = percentile_interval(np.array([1.0, np.nan, 1.0, 3.0]), 0.5)
    assert interval is not None and (interval.low, interval.high) == (1.5, 2.5)


def test_the_difference_of_two_groups_is_welch() -> None:
    first, second = [1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 8.0]
    interval = difference_interval(first, second)
    error = math.sqrt((5 / 3) / 4 + (20 / 3) / 4)  # 4.41 degrees of freedom, of which 4 count
    assert interval.value == 2.5 and interval.high - 2.5 == pytest.approx(2.7764 * error, rel=1e-3)
    assert math.isinf(difference_interval([1.0], second).high)
    assert difference_interval([1.0, 1.0], [2.0, 2.0]).low == 1.0
