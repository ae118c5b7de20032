"""Alone: the same agent of Stable-Baselines3 on as many real steps, without a dream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn
from tqdm import tqdm

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.policies.standardised import StandardisedExtractor, set_scale
from worldgpt_env.worlds import GymWorld, make_world

from ..stopwatch import Stopwatch
from .agents import PpoRecipe, SacRecipe, discount_for
from .judge import judge_policy

ALGORITHMS = ("ppo", "dqn", "sac")
PROBED = 1_000
"""Random steps that scale what the agent sees; they are given to it, and not counted."""


@dataclass(frozen=True)
class AloneConfig:
    """What ``worldgpt alone`` does.

    Attributes:
        world: name of the world; ``--env ID`` names any Gymnasium environment.
        real_steps: that the agent learns from.
        algo: ``"ppo"``, ``"dqn"`` or ``"sac"``; by default SAC for box actions, else PPO.
        updates_per_step: gradient steps per real step, of SAC and DQN; a control of Dyna has as
            many as that.
        judged_at: real steps after which the agent is judged; at the end it always is. PPO comes
            to them with its next whole rollout.
        episodes: real episodes that judge the agent.
        seed: of everything.
    """

    world: str
    real_steps: int = 5_000
    algo: str = ""
    updates_per_step: int = 1
    judged_at: tuple[int, ...] = ()
    episodes: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("real_steps", "updates_per_step", "episodes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be positive.")
        outside = [count for count in self.judged_at if not 0 < count <= self.real_steps]
        if outside:
            raise ConfigurationError(
                f"judged_at has {outside[0]}; use numbers from 1 to {self.real_steps}."
            )
        if self.algo and self.algo not in ALGORITHMS:
            raise ConfigurationError(f"algo is {self.algo!r}; use {', '.join(ALGORITHMS)}.")


def train_alone(config: AloneConfig) -> dict[str, Any]:
    """Train Stable-Baselines3's agent in the real world alone and judge it as Dyna's is.

    Returns:
        ``world``, ``algo``, ``real_steps``, ``rounds`` (``real_steps``, ``cpu_seconds`` and
        ``judgement`` each time), the last ``judgement``, ``seconds`` and ``cpu_seconds``.

    Raises:
        ConfigurationError: the world is none of numbers, or the agent not for its actions.
    """
    watch = Stopwatch()
    world = make_world(config.world)
    if not (isinstance(world, GymWorld) and world.is_numeric):
        world.close()
        raise ConfigurationError(f"{config.world} is no world of numbers; use worldgpt direct.")
    box = isinstance(world.action_space, spaces.Box)
    name = config.algo or ("sac" if box else "ppo")
    if (name == "sac") != box and name != "ppo":
        world.close()
        raise ConfigurationError(f"{name} cannot act in {world.action_space}; leave --algo out.")
    algorithm = _build(name, world, config)
    set_scale(algorithm, *_scale(config.world, config.seed))
    judge = JudgeCallback(config)
    with tqdm(total=config.real_steps, desc=f"alone {config.world}", disable=None) as judge.bar:
        algorithm.learn(config.real_steps, callback=judge)
    judge.judge()
    world.close()
    return {
        "world": config.world,
        "algo": name,
        "real_steps": int(algorithm.num_timesteps),
        "rounds": judge.rounds,
        "judgement": judge.rounds[-1]["judgement"],
        **watch.figures(),
    }


class JudgeCallback(BaseCallback):
    """Judges the agent when it has lived the real steps that were asked for.

    Attributes:
        rounds: what was found so far.
        bar: shows the real steps.
    """

    def __init__(self, config: AloneConfig) -> None:
        """Judge as ``config`` says."""
        super().__init__()
        self.rounds: list[dict[str, Any]] = []
        self.bar: tqdm = tqdm(disable=True)
        self._config, self._left = config, sorted(set(config.judged_at))
        self._watch = Stopwatch()

    def judge(self) -> None:
        """Let the agent live whole episodes; the global random numbers go on as if it had not."""
        config, steps = self._config, int(self.model.num_timesteps)
        if self.rounds and self.rounds[-1]["real_steps"] == steps:
            return
        spent = self._watch.figures()["cpu_seconds"]
        judgement = judge_policy(self.model, lambda: make_world(config.world), config.episodes)
        self.rounds.append({"real_steps": steps, "cpu_seconds": spent, "judgement": judgement})

    def _on_step(self) -> bool:
        """Off-policy agents learn between steps, PPO between rollouts."""
        self.bar.update()
        if not isinstance(self.model, PPO):
            self._judge_what_is_due()
        return True

    def _on_rollout_start(self) -> None:
        self._judge_what_is_due()

    def _judge_what_is_due(self) -> None:
        due = [count for count in self._left if count <= self.model.num_timesteps]
        if due:
            self._left = self._left[len(due) :]
            self.judge()


def _scale(name: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and spread of what is observed in a few random steps."""
    world = make_world(name)
    world.action_space.seed(seed)
    observation, _ = world.reset(seed=seed)
    seen = [observation["vector"]]
    for _ in range(PROBED):
        observation, _, terminated, truncated, _ = world.step(world.action_space.sample())
        if terminated or truncated:
            observation, _ = world.reset()
        seen.append(observation["vector"])
    world.close()
    states = torch.from_numpy(np.stack(seen))
    return states.mean(0), states.std(0).clamp(min=1e-6)


def _build(name: str, world: GymWorld, config: AloneConfig) -> BaseAlgorithm:
    """Return the agent with the settings that its kind has in small worlds (SB3 zoo's habits)."""
    most = PpoRecipe.most_discount if name == "ppo" else SacRecipe.most_discount
    discount = min(most, discount_for(world.time_limit or 1_000))
    shared: dict[str, Any] = {
        "policy": "MultiInputPolicy",
        "env": DummyVecEnv([lambda: world]),
        "gamma": discount,
        "policy_kwargs": {
            "features_extractor_class": StandardisedExtractor,
            "net_arch": [64, 64],
            "activation_fn": nn.Tanh if name == "ppo" else nn.ReLU,
        },
        "seed": config.seed,
        "device": "cpu",
    }
    if name == "ppo":
        return PPO(n_steps=256, batch_size=64, n_epochs=10, learning_rate=1e-3, **shared)
    off_policy: dict[str, Any] = {
        "learning_rate": 7e-4,
        "batch_size": 256,
        "buffer_size": config.real_steps,
        "learning_starts": min(250, config.real_steps // 10),
        "train_freq": 1,
        "gradient_steps": config.updates_per_step,
    }
    if name == "dqn":
        return DQN(exploration_fraction=0.2, target_update_interval=250, **off_policy, **shared)
    return SAC(tau=0.01, ent_coef="auto_0.1", **off_policy, **shared)
