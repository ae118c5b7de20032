"""DynaCallback: gives an off-policy agent of Stable-Baselines3 dreams of what it has lived."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import Tensor

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import UNBOUNDED
from worldgpt_env.model.vector_dynamics import (
    ActionEncoder,
    FitConfig,
    VectorDynamics,
    VectorDynamicsConfig,
    VectorTransitions,
    fit,
)
from worldgpt_env.spaces import action_spec

from .branch_replay import Steps
from .dream import Dream

PARTS = 10
"""Times that branches are imagined between two fits, each time with the newest agent."""
FEWEST = 50
"""Real steps before the first fit."""


class DynaCallback(BaseCallback):
    """Fits a world model to the replay buffer and lets the agent learn from its dreams too (MBPO).

    Every ``every`` real steps the dynamics is fitted to all that the replay buffer holds, branches
    are imagined from states in it with the agent's own actions, and the agent takes
    ``agent_updates`` gradient steps for each real one on batches that mix both. What Stable-
    Baselines3 learns in between mixes them as well. After MBPO (Janner et al. 2019, arXiv
    1906.08253), with dreams that end where nothing is known (:meth:`.Dream.step`).

    Works with SAC, TD3, DDPG and DQN (and their like of sb3-contrib) over ``Box`` observations of
    numbers. What it does is logged as ``dyna/...``, in TensorBoard too.

    Args:
        every: real steps between two fits.
        updates: optimiser steps of a fit; the first has two and a half times as many.
        agent_updates: gradient steps of the agent per real step, beside those that its own
            ``gradient_steps`` says.
        branches: imagined between two fits, each from another real state.
        branch_length: steps of each, at most.
        real_share: of each batch that is real.
        dynamics: how large the world model is.
        seed: of fits and dreams.
        verbose: 1 prints a line for each fit.

    Attributes:
        world: the dynamics, a :class:`.VectorDynamics`; None before ``learn``.

    Raises:
        ConfigurationError: at the start of ``learn``: the agent is on-policy, its observations are
            no plain numbers, or they are normalised outside of it.

    Example:
        >>> SAC("MlpPolicy", "Pendulum-v1").learn(2_000, callback=DynaCallback())
    """

    def __init__(
        self,
        every: int = 250,
        updates: int = 400,
        agent_updates: float = 8.0,
        branches: int = 4_000,
        branch_length: int = 5,
        real_share: float = 0.1,
        dynamics: VectorDynamicsConfig | None = None,
        seed: int = 0,
        verbose: int = 0,
    ) -> None:
        """Keep the settings; nothing is built before ``learn``."""
        super().__init__(verbose)
        counts = {"updates": updates, "branches": branches, "branch_length": branch_length}
        for name, value in counts.items():
            if value < 1:
                raise ConfigurationError(f"{name} is {value}; it must be positive.")
        if every < FEWEST:
            raise ConfigurationError(f"every is {every}; a fit needs {FEWEST} real steps or more.")
        if not 0 < real_share <= 1 or agent_updates < 0:
            raise ConfigurationError(
                f"real_share is {real_share} and agent_updates {agent_updates}; use a share above "
                "0 and at most 1, and no negative number of updates."
            )
        self.every, self.updates, self.agent_updates = every, updates, agent_updates
        self.branches, self.branch_length, self.real_share = branches, branch_length, real_share
        self.world: VectorDynamics | None = None
        self._size, self._generator = dynamics, torch.Generator().manual_seed(seed)

    def _on_training_start(self) -> None:
        """Check the agent, and stand between it and its replay buffer."""
        model = self.model
        if not isinstance(model, OffPolicyAlgorithm):
            raise ConfigurationError(
                f"{type(model).__name__} learns from its own rollouts alone; use SAC, TD3 or DQN, "
                "or dream whole episodes with: worldgpt dyna --env ID"
            )
        space = model.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.dtype == np.uint8:
            raise ConfigurationError(
                f"the observations are {space}, and DynaCallback learns a Box of numbers (n,); "
                "flatten them with gymnasium.wrappers.FlattenObservation."
            )
        if model.get_vec_normalize_env() is not None:
            raise ConfigurationError(
                "VecNormalize changes its scale as it goes, and a world model needs one that "
                "stays: leave VecNormalize out; the dynamics scales numbers by itself."
            )
        self._encoder = ActionEncoder(action_spec(model.action_space))
        if self.world is None:
            low, high = (
                torch.from_numpy(np.float32(bound)).clamp(-UNBOUNDED, UNBOUNDED)
                for bound in (space.low, space.high)
            )
            self.world = VectorDynamics(
                space.shape[0], self._encoder.width, self._size, (low, high)
            )
        buffer = model.replay_buffer
        if isinstance(buffer, MixedReplay):  # learn() was stopped by an error before
            buffer = buffer.real
        if type(buffer) is not ReplayBuffer or buffer.optimize_memory_usage:
            raise ConfigurationError(
                f"the agent keeps what it lived in a {type(buffer).__name__}; use the ReplayBuffer "
                "of Stable-Baselines3 without optimize_memory_usage."
            )
        self._next = model.num_timesteps + self.every
        self._replay = MixedReplay(buffer, self.real_share, self._generator)
        model.replay_buffer = self._replay  # type: ignore[assignment]

    def _on_training_end(self) -> None:
        """Give the agent its own replay buffer back, without dreams."""
        self.model.replay_buffer = self._replay.real  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        """The last step is in the buffer, and the agent is about to learn."""
        model = self.model
        if model.num_timesteps >= max(self._next, model.learning_starts):  # type: ignore[attr-defined]
            self._next = model.num_timesteps + self.every
            self._fit_and_dream()

    def _fit_and_dream(self) -> None:
        """Fit the dynamics, imagine branches, and let the agent learn from them."""
        model: Any = self.model
        assert self.world is not None
        data = self._lived()
        fitted = fit(
            self.world,
            data,
            self._generator,
            FitConfig(updates=self.updates if self._replay.imagined else self.updates * 5 // 2),
        )
        dream = Dream.of(self.world, data, float(model.gamma))
        steps = round(self.agent_updates * self.every / PARTS)
        count, imagined = max(1, self.branches // PARTS), list[Steps]()
        for _ in range(PARTS):
            chosen = torch.randint(len(data), (count,), generator=self._generator)
            begin = data.states[chosen]
            imagined.append(dream.branches(begin, self.branch_length, self._act, self._generator))
            self._replay.imagined = Steps.joined(imagined)
            if steps:
                model.train(gradient_steps=steps, batch_size=model.batch_size)
        for name, value in fitted.to_json().items():
            if value is not None:
                self.logger.record(f"dyna/{name}", value)
        self.logger.record("dyna/imagined_steps", sum(map(len, imagined)))
        if self.verbose:
            print(
                f"{model.num_timesteps} real steps: error of a change {fitted.change_error:.3g} "
                "of its variance"
            )

    def _lived(self) -> VectorTransitions:
        """Return all steps of the replay buffer; those of several environments one by one."""
        buffer = self._replay.real
        count = buffer.buffer_size if buffer.full else buffer.pos

        def rows(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.concatenate(list(values[:count].swapaxes(0, 1))))

        ends = rows(buffer.dones * (1 - buffer.timeouts)) > 0.5
        first = torch.cat([torch.ones(1), rows(buffer.dones)[:-1]]) > 0.5
        return VectorTransitions(
            rows(buffer.observations).float(),
            self._encode(rows(buffer.actions)),
            rows(buffer.rewards).float(),
            rows(buffer.next_observations).float(),
            ends,
            first,
        )

    def _encode(self, actions: Tensor) -> Tensor:
        """Return what the dynamics reads of actions as the replay buffer holds them."""
        if self._encoder.spec.kind == "box":
            return actions.float()  # the buffer holds them in [-1, 1]
        return self._encoder(actions[..., 0] if self._encoder.spec.kind == "discrete" else actions)

    def _act(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return the agent's own actions, exploring as it does; see :data:`.Act`."""
        model: Any = self.model
        taken, _ = model.predict(states.numpy(), deterministic=False)
        if self._encoder.spec.kind == "box":
            taken = model.policy.scale_action(taken)
        actions = torch.from_numpy(np.asarray(taken).reshape(len(states), -1))
        return actions, self._encode(actions)


class MixedReplay:
    """A replay buffer with dreams beside what was lived; all but ``sample`` is the buffer's own.

    Attributes:
        real: the agent's own buffer.
        imagined: steps beside them; without any, ``sample`` is the buffer's.
    """

    def __init__(self, real: ReplayBuffer, real_share: float, generator: torch.Generator) -> None:
        """Mix ``real_share`` of each batch from ``real`` with dreams."""
        self.real = real
        self.imagined: Steps | None = None
        self._share, self._generator = real_share, generator

    def __getattr__(self, name: str) -> Any:
        """Return what the agent's own buffer has."""
        return getattr(self.real, name)

    def sample(self, batch_size: int, env: Any = None) -> Any:
        """Return ``batch_size`` steps as the agent's own buffer gives them."""
        if self.imagined is None:
            return self.real.sample(batch_size, env=env)
        lived = max(1, round(self._share * batch_size))
        batch = self.real.sample(lived, env=env)
        if lived == batch_size:
            return batch
        steps = self.imagined.draw(batch_size - lived, self._generator)
        columns = {
            "observations": steps.states,
            "actions": steps.actions,
            "next_observations": steps.next_states,
            "dones": steps.terminated[:, None],
            "rewards": steps.rewards[:, None],
        }
        joined = {
            name: torch.cat([getattr(batch, name), part.to(getattr(batch, name))])
            for name, part in columns.items()
        }
        return batch._replace(**joined)
