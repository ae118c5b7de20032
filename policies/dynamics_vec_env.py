"""DynamicsVecEnv: dreams of a vector dynamics as the vector environment of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn
from torch import Tensor

from worldgpt_env.errors import ResetNeededError
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.vector_dynamics import ActionEncoder

from .dream import Dream


class DynamicsVecEnv(VecEnv):
    """Imagined episodes of a vector world side by side; a row that ends begins anew at once.

    Observations are ``{"vector": (N, D) float32}`` as the real world gives them. An episode that is
    only cut by the horizon says ``TimeLimit.truncated``, so that its last state's value counts.

    Args:
        observation_space: of the world, a Dict with ``vector`` alone.
        action_space: of the world.
        encoder: of its actions.
        num_envs: rows.
        horizon: steps after which an episode is cut.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space,
        encoder: ActionEncoder,
        num_envs: int,
        horizon: int,
    ) -> None:
        """Prepare the rows; :meth:`dream_of` says of what."""
        if horizon < 1:
            raise ConfigurationError(f"horizon is {horizon}; it must be positive.")
        self.render_mode = None  # numbers have no picture; unset, Stable-Baselines3 warns
        super().__init__(num_envs, observation_space, action_space)
        self.encoder, self.horizon = encoder, horizon
        self._dream: Dream | None = None
        self._generator = torch.Generator()
        self._actions: np.ndarray | None = None

    def dream_of(self, dream: Dream, seed: int) -> None:
        """Dream of ``dream`` from the next :meth:`reset` on, with random numbers of ``seed``."""
        self._dream = dream
        self._generator.manual_seed(seed)

    @property
    def dream(self) -> Dream:
        """What is dreamt of."""
        if self._dream is None:
            raise ResetNeededError("the dream has no dynamics; call dream_of(...) first.")
        return self._dream

    def reset(self) -> dict[str, np.ndarray]:
        """Begin a new episode in every row."""
        self._states = self._begin(self.num_envs)  # (N, D)
        self._ages = torch.zeros(self.num_envs, dtype=torch.long)
        self._returns = torch.zeros(self.num_envs)
        return {"vector": self._states.numpy().copy()}

    def step_async(self, actions: np.ndarray) -> None:
        """Keep ``actions`` for :meth:`step_wait`."""
        self._actions = actions

    @torch.no_grad()
    def step_wait(self) -> VecEnvStepReturn:
        """Imagine one step of every row."""
        if self._actions is None:
            raise ResetNeededError("step_wait() came before step_async().")
        dream, actions = self.dream, self.encoder(self._actions)
        step = dream.step(self._states, actions, self._generator)
        rewards = step.rewards
        self._returns += rewards
        self._ages += 1
        cut = (self._ages >= self.horizon) & ~step.terminated
        done = step.terminated | cut
        states = step.next_states.clone()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = done.nonzero()[:, 0]
        if len(ended):
            for row in ended.tolist():
                infos[row] = {
                    "terminal_observation": {"vector": step.next_states[row].numpy().copy()},
                    "TimeLimit.truncated": bool(cut[row]),
                    "episode": {"r": float(self._returns[row]), "l": int(self._ages[row]), "t": 0},
                }
            states[ended] = self._begin(len(ended))
            self._ages[ended], self._returns[ended] = 0, 0.0
        self._states, self._actions = states, None
        return {"vector": states.numpy().copy()}, rewards.numpy(), done.numpy(), infos

    def close(self) -> None:
        """Nothing is held open."""

    def _begin(self, count: int) -> Tensor:
        """Draw where ``count`` episodes begin, ``(count, D)``."""
        dream, draw = self.dream, self._generator
        visited = dream.visited[torch.randint(len(dream.visited), (count,), generator=draw)]
        initial = dream.initial[torch.randint(len(dream.initial), (count,), generator=draw)]
        anywhere = torch.rand(count, generator=draw) < 0.5
        return torch.where(anywhere[:, None], visited, initial)

    # what Stable-Baselines3 asks of every vector environment ------------------------------------

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of this environment once per row."""
        return [getattr(self, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: rows have no attributes of their own."""
        raise ConfigurationError(f"rows of a dream have no attribute {attr_name!r} to set.")

    def env_method(
        self, method_name: str, *arguments: Any, indices: VecEnvIndices = None, **named: Any
    ) -> list[Any]:
        """Refuse: rows have no methods of their own."""
        raise ConfigurationError(f"rows of a dream have no method {method_name!r}.")

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """Return False for every row."""
        return [False] * self._count(indices)

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return nothing: numbers have no picture."""
        return [None] * self.num_envs

    def _count(self, indices: VecEnvIndices) -> int:
        if indices is None:
            return self.num_envs
        return len(list(indices)) if isinstance(indices, Iterable) else 1
