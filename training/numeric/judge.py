"""Judge: whole episodes of the real world, side by side, that count as no real steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from worldgpt_env.worlds import World, WorldError

from ..intervals import mean_interval
from .player import MOST_CRASHES

FIRST_SEED = 1_000_000
"""Seed of the first judged episode; recordings draw theirs from a hash."""


def judge_policy(
    algorithm: BaseAlgorithm, open_world: Callable[[], World], episodes: int
) -> dict[str, Any]:
    """Let the most likely actions of ``algorithm`` live ``episodes`` whole episodes.

    Returns:
        ``episodes``, ``return`` (their mean) with its 95 % interval ``return_low`` and
        ``return_high`` (None for one episode), the mean ``length``, and ``crashes``, each of which
        had an episode begin anew.

    Raises:
        WorldError: an environment failed again and again.
    """
    runs = [_Episode(open_world, number) for number in range(episodes)]
    try:
        going = runs
        while going:
            seen = {"vector": np.stack([run.state for run in going])}
            actions, _ = algorithm.predict(seen, deterministic=True)
            going = [run for run, action in zip(going, actions, strict=True) if run.step(action)]
    finally:
        for run in runs:
            run.world.close()
    returns = np.array([run.total for run in runs])
    found = mean_interval(returns)
    one = episodes == 1
    return {
        "episodes": episodes,
        "return": found.value,
        "return_low": None if one else found.low,
        "return_high": None if one else found.high,
        "length": float(np.mean([run.length for run in runs])),
        "crashes": sum(run.crashes for run in runs),
    }


class _Episode:
    """One world and the episode that is judged in it; a crash begins another one in its place."""

    def __init__(self, open_world: Callable[[], World], number: int) -> None:
        self._open, self._seed = open_world, FIRST_SEED + number
        self.world, self.crashes = open_world(), 0
        self._begin()

    def _begin(self) -> None:
        observation, _ = self.world.reset(seed=self._seed)
        self.state: np.ndarray = observation["vector"]
        self.total, self.length = 0.0, 0

    def step(self, action: Any) -> bool:
        """Do ``action``; return whether the episode goes on."""
        try:
            observation, reward, terminated, truncated, _ = self.world.step(action)
        except WorldError:
            self.crashes += 1
            if self.crashes > MOST_CRASHES:
                raise
            self.world.close()
            self.world, self._seed = self._open(), self._seed + FIRST_SEED
            self._begin()
            return True
        self.state = observation["vector"]
        self.total += reward
        self.length += 1
        return not (terminated or truncated)
