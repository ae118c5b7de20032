"""Judge: whole episodes of the real world, side by side, that count as no real steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from worldgpt_env.worlds import World

from ..intervals import mean_interval

FIRST_SEED = 1_000_000
"""Seed of the first judged episode; recordings draw theirs from a hash."""


def judge_policy(
    algorithm: BaseAlgorithm, open_world: Callable[[], World], episodes: int
) -> dict[str, Any]:
    """Let the most likely actions of ``algorithm`` live ``episodes`` whole episodes.

    Returns:
        ``episodes``, ``return`` (their mean) with its 95 % interval ``return_low`` and
        ``return_high`` (None for one episode), and the mean ``length``.
    """
    worlds = [open_world() for _ in range(episodes)]
    try:
        states = [
            world.reset(seed=FIRST_SEED + row)[0]["vector"] for row, world in enumerate(worlds)
        ]
        returns, lengths = np.zeros(episodes), np.zeros(episodes)
        going = list(range(episodes))
        while going:
            seen = {"vector": np.stack([states[number] for number in going])}
            actions, _ = algorithm.predict(seen, deterministic=True)
            still = []
            for number, action in zip(going, actions, strict=True):
                observation, reward, terminated, truncated, _ = worlds[number].step(action)
                states[number] = observation["vector"]
                returns[number] += reward
                lengths[number] += 1
                if not (terminated or truncated):
                    still.append(number)
            going = still
    finally:
        for world in worlds:
            world.close()
    found = mean_interval(returns)
    one = episodes == 1
    return {
        "episodes": episodes,
        "return": found.value,
        "return_low": None if one else found.low,
        "return_high": None if one else found.high,
        "length": float(lengths.mean()),
    }
