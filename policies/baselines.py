"""Policies that learn nothing, with SB3's ``predict``: what any agent must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from worldgpt_env.model.errors import ConfigurationError

Observation = np.ndarray | Mapping[str, np.ndarray]
"""One observation per row: an array ``(B, ...)`` or a dict of such arrays."""


class Predictor(Protocol):
    """Anything that chooses actions as a Stable-Baselines3 algorithm does."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Return one action per row and the next recurrent state (None for most)."""
        ...


class RandomPolicy:
    """Chooses every action uniformly from the action space, whatever is observed."""

    def __init__(self, action_space: spaces.Space, seed: int | None = None) -> None:
        """Keep a generator of its own, seeded with ``seed``."""
        self.action_space = action_space
        self._generator = np.random.default_rng(seed)

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Return one random action per row of ``observation`` ``(B, ...)``."""
        rows, space, draw = count_rows(observation), self.action_space, self._generator
        if isinstance(space, spaces.Discrete):
            return int(space.start) + draw.integers(int(space.n), size=rows), state  # (B,)
        if isinstance(space, spaces.MultiDiscrete):
            return draw.integers(space.nvec, size=(rows, *space.shape)), state  # (B, parts)
        if isinstance(space, spaces.Box) and space.is_bounded():
            actions = draw.uniform(space.low, space.high, (rows, *space.shape))
            return actions.astype(space.dtype), state  # (B, n)
        raise ConfigurationError(
            f"no uniform draw from {space}; use Discrete, MultiDiscrete or a bounded Box."
        )


class ConstantPolicy:
    """Repeats one action for ever: the weakest opponent, and a probe of a world."""

    def __init__(self, action: int | float | np.ndarray, action_space: spaces.Space) -> None:
        """Refuse an ``action`` outside ``action_space``."""
        self.action = np.asarray(action, action_space.dtype)
        inside = self.action[()] if isinstance(action_space, spaces.Discrete) else self.action
        if not action_space.contains(inside):
            raise ConfigurationError(f"the action {action} is not in {action_space}.")

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Return the constant action once per row of ``observation`` ``(B, ...)``."""
        return np.stack([self.action] * count_rows(observation)), state  # (B, ...)


def count_rows(observation: Observation) -> int:
    """Return the number of rows of a batched ``observation``."""
    first = next(iter(observation.values())) if isinstance(observation, Mapping) else observation
    return len(first)
