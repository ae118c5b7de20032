"""Leaf: what a trained policy expects of the states at which a plan ends."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy

from worldgpt_env.model.batch import State
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.simulator import Simulator


class PolicyValue:
    """The value function of a Stable-Baselines3 agent, for states of a dream.

    Args:
        agent: PPO, A2C or DQN, trained in the dream of the model that plans or through its codecs.
        obs_mode: ``"latent"`` or ``"decoded"``: what it learned to see.
        reward_scale: that of its training; by default the one of ``worldgpt dream``, with which the
            largest recorded reward is 1.
    """

    def __init__(
        self, agent: BaseAlgorithm, obs_mode: str = "latent", reward_scale: float | None = None
    ) -> None:
        """Refuse agents without a value function."""
        if not isinstance(agent.policy, ActorCriticPolicy | DQNPolicy):
            raise ConfigurationError(
                f"{type(agent).__name__} has no value of a state; use PPO, A2C or DQN."
            )
        if obs_mode not in ("latent", "decoded") or not isinstance(
            agent.observation_space, spaces.Dict
        ):
            raise ConfigurationError(
                f"an agent with obs_mode {obs_mode!r} and {agent.observation_space} cannot see a "
                "state; use one that was trained in a dream, latent or decoded."
            )
        self.policy, self.obs_mode = agent.policy, obs_mode
        self.keys = list(agent.observation_space.spaces)
        self.reward_scale = reward_scale

    def __call__(self, simulator: Simulator, state: State) -> np.ndarray:
        """Return the values ``(N,)`` float64 of ``state``, in units of the reward."""
        model = simulator.model
        if self.obs_mode == "latent":
            seen = {str(m): v.cpu().numpy() for m, v in model.latent(state).items()}
        else:
            seen = simulator.raw(state)
        batch = {key: seen[key] for key in self.keys}
        bins = model.config.reward_bins
        scale = self.reward_scale or 1 / max(abs(bins.low), abs(bins.high))
        with torch.no_grad():
            observation, _ = self.policy.obs_to_tensor(batch)
            if isinstance(self.policy, DQNPolicy):
                values = self.policy.q_net(observation).max(-1).values
            else:
                values = self.policy.predict_values(observation)[:, 0]
        return values.double().cpu().numpy() / scale
