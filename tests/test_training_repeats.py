"""Repeats tell worlds without chance and hidden past from others."""

from __future__ import annotations

import numpy as np

from worldgpt_env.model.modalities import Modality
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.episode import Episode
from worldgpt_env.training.recording import Recording
from worldgpt_env.training.repeats import Repeats


def episode(states: list[int], actions: list[int], terminated: bool = False) -> Episode:
    """Return an episode of numbers whose reward is the next one."""
    seen = np.array(states, np.float32)[:, None]
    rewards = np.array(states[1:], np.float32)
    ends = {"terminated": terminated, "truncated": not terminated}
    return Episode({Modality.VECTOR: seen}, np.array(actions), rewards, **ends, seed=0)


def test_repeats_are_counted_and_compared() -> None:
    once = episode([0, 1, 2], [5, 5])
    assert Repeats.of([once]) == Repeats(0, 0)
    assert Repeats.of([once, once]) == Repeats(2, 2)
    assert Repeats.of([once, episode([0, 1, 3], [5, 5])]) == Repeats(2, 1)
    assert Repeats.of([once, episode([0, 1, 2], [5, 6])]) == Repeats(1, 1)
    assert Repeats.of([once, episode([0, 1, 2], [5, 5], True)]) == Repeats(2, 1)  # it ends


def test_chance_and_few_repeats_are_not_exact() -> None:
    assert Repeats(100, 100).are_exact and not Repeats(99, 99).are_exact
    assert not Repeats(1000, 990).are_exact


def test_a_grid_is_exact(tmp_path) -> None:
    collect(CollectConfig("doorkey", 800, str(tmp_path / "r"), policy="least-tried"))
    repeats = Repeats.of(Recording.load(tmp_path / "r").episodes)
    assert repeats.count > 300 and repeats.are_exact
