"""DynamicsVecEnv: dreams of a vector dynamics as the vector environment of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn
from torch import Tensor

from worldgpt_env.errors import ResetNeededError
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.vector_dynamics import ActionEncoder, VectorDynamics, VectorStep
from worldgpt_env.model.vector_dynamics.ensemble_dynamics import imagine_rows

NEIGHBOURS = 3
"""A state is as new as its third nearest among those visited is far."""
MOST_COMPARED = 4096
"""Visited states that are compared with, evenly spread over the recording."""


@dataclass(frozen=True)
class Dream:
    """What is dreamt of.

    Attributes:
        dynamics: all members, for disagreement.
        imaginer: its elites, :meth:`VectorDynamics.imaginer`.
        visited: ``(N, D)`` states of the recording, where half of the dreams begin.
        initial: ``(M, D)`` first states of real episodes, where the others begin.
        reward_scale: every reward is divided by it.
        discount: of the agent.
        worst_reward: that a step may bring outside of what was recorded.
        curious: the reward is what is new to the dynamics, instead of the world's reward.
        usual: the mean disagreement and novelty of what was recorded, which are each worth 1.
    """

    dynamics: VectorDynamics
    imaginer: VectorDynamics
    visited: Tensor
    initial: Tensor
    reward_scale: float = 1.0
    discount: float = 0.99
    worst_reward: float = 0.0
    curious: bool = False
    usual: tuple[float, float] = (1.0, 1.0)

    def step(self, states: Tensor, actions: Tensor, generator: torch.Generator) -> VectorStep:
        """Imagine a step of ``B`` rows as the agent learns from it.

        A dream that leaves what was recorded ends there, with the worst that may follow: nothing
        is known of what is outside, and an agent that may expect good of it goes there
        (pessimism after MOReL, arXiv 2005.05951). A curious agent may.
        """
        step = imagine_rows(self.imaginer, states, actions, generator)
        if self.curious:
            return replace(step, rewards=self.curiosity(states, actions, step.next_states))
        worst = self.discount * self.worst_reward / (1 - self.discount)
        rewards = step.rewards + worst * (step.outside & ~step.terminated)
        return replace(
            step, rewards=rewards / self.reward_scale, terminated=step.terminated | step.outside
        )

    def curiosity(self, states: Tensor, actions: Tensor, next_states: Tensor) -> Tensor:
        """Return the reward of a curious agent, ``(B,)``: half for each of two, at most 5.

        The members' disagreement finds what is hard to predict (Plan2Explore, arXiv 2005.05960). In
        a smooth world nothing is, and how far the next state lies from all others takes over.
        """
        disagreement = self.dynamics.disagreement(states, actions) / self.usual[0]
        novelty = self.novelty(next_states) / self.usual[1]
        return (disagreement.clamp(max=5) + novelty.clamp(max=5)) / 2

    def novelty(self, states: Tensor) -> Tensor:
        """Return the distance of ``states`` to the nearest that were visited, ``(B,)``."""
        scale = self.dynamics.scaling.state
        visited = self.visited
        if len(visited) > MOST_COMPARED:
            visited = visited[torch.linspace(0, len(visited) - 1, MOST_COMPARED).long()]
        known = scale(visited)
        parts = [torch.cdist(part, known) for part in scale(states).split(1024)]
        nearest = min(NEIGHBOURS, len(known))
        return torch.cat([part.kthvalue(nearest).values for part in parts])


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
