"""Agents in the dream: PPO on long dreams for choices, SAC on short branches for numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import configure
from torch import Tensor, nn

from worldgpt_env.model.bounds import HORIZON, LENGTH, ROWS, STEPS, check_fields
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.vector_dynamics import VectorTransitions
from worldgpt_env.policies.branch_replay import BranchReplay, Steps
from worldgpt_env.policies.dream import Dream
from worldgpt_env.policies.dynamics_vec_env import DynamicsVecEnv
from worldgpt_env.policies.standardised import StandardisedExtractor, set_scale

LEAST_DISCOUNT, MOST_DISCOUNT = 0.98, 0.999
PARTS = 10
"""Parts of a round's training; after each of them SAC's branches are imagined anew."""
LAST_ROUND = 2.0
"""Times as much training as in other rounds: what is kept at the end may take its time."""
_SCALES = (1e-6, 1e6)
_RANGES: dict[str, tuple[float, float]] = {
    "imagined_steps": STEPS,
    "num_envs": ROWS,
    "horizon": (1, HORIZON),
    "n_steps": ROWS,
    "batch_size": (2, ROWS[1]),
    "n_epochs": (1, 1000),
    "learning_rate": (1e-9, 1),
    "width": (1, 2**14),
    "most_discount": (0, 1),
    "updates_per_step": (0, 1e6),
    "branches": ROWS,
    "branch_length": LENGTH,
    "real_share": (0, 1),
}


@dataclass(frozen=True)
class PpoRecipe:
    """How PPO learns in long dreams (discrete and multidiscrete actions).

    Attributes:
        imagined_steps: per round.
        num_envs: rows side by side.
        horizon: steps of a dream at most; the world's time limit if that is shorter.
        n_steps: per row and update.
        batch_size: of a minibatch.
        n_epochs: passes over each rollout.
        learning_rate: of Adam.
        ent_coef: of the entropy bonus.
        width: of the two hidden layers.
        most_discount: of the agent that seeks reward, however long episodes are.
        typical_return: what rewards are scaled to: the root mean square of discounted returns.
    """

    imagined_steps: int = 60_000
    num_envs: int = 64
    horizon: int = 500
    n_steps: int = 64
    batch_size: int = 512
    n_epochs: int = 8
    learning_rate: float = 1e-3
    ent_coef: float = 0.005
    width: int = 64
    most_discount: float = 0.999
    typical_return: float = 10.0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        check_fields(self, **_RANGES, ent_coef=(0, 1e3), typical_return=_SCALES)

    def reward_scale(self, data: VectorTransitions, discount: float) -> float:
        """Return what rewards are divided by."""
        return _rms(data.returns_to_go(discount)) / self.typical_return


@dataclass(frozen=True)
class SacRecipe:
    """How SAC learns on branches (box actions).

    Attributes:
        updates_per_step: gradient steps per real step of the round.
        least_updates: gradient steps of a round at least.
        branches: begun at real states, ten times a round; as many as the round has real steps, if
            those are more.
        branch_length: imagined steps of each.
        real_share: of each batch that are real steps.
        batch_size: of a gradient step.
        learning_rate: of Adam.
        tau: how fast the target follows.
        width: of the two hidden layers.
        most_discount: of the agent that seeks reward, however long episodes are: with a longer
            view its value is too large to be learned in these few updates.
        typical_reward: what rewards are scaled to: their root mean square, which does not grow
            as the agent learns, so that the value of the last round still holds.
    """

    updates_per_step: float = 2.0
    least_updates: int = 2_000
    branches: int = 400
    branch_length: int = 5
    real_share: float = 0.1
    batch_size: int = 256
    learning_rate: float = 7e-4
    tau: float = 0.01
    width: int = 64
    most_discount: float = 0.99
    typical_reward: float = 1.0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        check_fields(self, **_RANGES, tau=(0, 1), typical_reward=_SCALES)

    def reward_scale(self, data: VectorTransitions, discount: float) -> float:
        """Return what rewards are divided by."""
        return _rms(data.rewards.double()) / self.typical_reward

    def updates(self, round_steps: int, scale: float = 1.0) -> int:
        """Return the gradient steps of a round of ``round_steps`` real steps."""
        wanted = max(self.least_updates, round(self.updates_per_step * round_steps))
        return PARTS * max(1, round(scale * wanted / PARTS))


Recipe = PpoRecipe | SacRecipe


def recipe_for(space: spaces.Space, settings: dict[str, Any] | None = None) -> Recipe:
    """Return the recipe for the actions of ``space``, with ``settings`` in place of its own.

    Raises:
        ConfigurationError: a setting is unknown, or its value impossible.
    """
    kind = SacRecipe if isinstance(space, spaces.Box) else PpoRecipe
    unknown = set(settings or {}) - set(kind.__dataclass_fields__)
    if unknown:
        raise ConfigurationError(
            f"the agent has no setting {', '.join(sorted(unknown))}; it has "
            f"{', '.join(kind.__dataclass_fields__)}."
        )
    return kind(**(settings or {}))


def discount_for(limit: int) -> float:
    """Return the discount that looks as far ahead as an episode of ``limit`` steps is long."""
    return min(MOST_DISCOUNT, max(LEAST_DISCOUNT, 1 - 1 / limit))


class DreamAgent:
    """One agent and the dreams that it learns in.

    Attributes:
        algorithm: PPO or SAC.
        curious: it seeks what the dynamics does not know, instead of reward.
        discount: of what it seeks.
    """

    def __init__(
        self, env: DynamicsVecEnv, recipe: Recipe, discount: float, seed: int, curious: bool = False
    ) -> None:
        """Build the algorithm over ``env``, whose dreams are set before each round."""
        self.env, self.recipe, self.curious, self.discount = env, recipe, curious, discount
        self.algorithm: BaseAlgorithm
        if isinstance(recipe, PpoRecipe):
            self.algorithm = _ppo(env, recipe, discount, seed)
        else:
            self.algorithm = _sac(env, recipe, discount, seed)
        self.algorithm.set_logger(configure(None, []))

    def learn(
        self,
        dream: Dream,
        data: VectorTransitions,
        round_steps: int,
        scale: float,
        seed: int,
        after_part: Callable[[int], None] = lambda part: None,
    ) -> dict[str, float]:
        """Learn in ``dream`` for one round.

        Args:
            dream: what the agent dreams of.
            data: all real steps.
            round_steps: real steps of this round.
            scale: times the recipe's amount of training.
            seed: of all that is drawn.
            after_part: called after each of the :data:`PARTS` parts, with its number.

        Returns:
            ``imagined_steps`` and ``updates`` of this round.
        """
        scaling = dream.dynamics.scaling
        set_scale(self.algorithm, scaling.mean, scaling.spread)
        self.env.dream_of(dream, seed)
        if isinstance(self.recipe, PpoRecipe):
            return self._learn_ppo(self.recipe, scale, after_part)
        updates = self.recipe.updates(round_steps, scale)
        count = max(self.recipe.branches, round_steps)
        return self._learn_sac(self.recipe, dream, data, updates, count, seed, after_part)

    def _learn_ppo(
        self, recipe: PpoRecipe, scale: float, after_part: Callable[[int], None]
    ) -> dict[str, float]:
        rollout = recipe.num_envs * recipe.n_steps
        rollouts = max(1, round(scale * recipe.imagined_steps / rollout))
        parts = np.diff(np.linspace(0, rollouts, PARTS + 1).astype(int))
        self.algorithm._last_obs = None  # the first part begins new dreams
        begun = False
        for part, count in enumerate(parts.tolist()):
            if count:
                self.algorithm.learn(count * rollout, reset_num_timesteps=not begun)
                begun = True
            after_part(part)
        steps = int(parts.sum()) * rollout
        return {
            "imagined_steps": steps,
            "updates": steps // recipe.batch_size * recipe.n_epochs,
        }

    def _learn_sac(
        self,
        recipe: SacRecipe,
        dream: Dream,
        data: VectorTransitions,
        total: int,
        count: int,
        seed: int,
        after_part: Callable[[int], None],
    ) -> dict[str, float]:
        generator = torch.Generator().manual_seed(seed)
        replay = BranchReplay(recipe.real_share, seed + 1)
        replay.real = _real_steps(dream, data)
        self.algorithm.replay_buffer = replay  # type: ignore[attr-defined]
        updates = total // PARTS
        actor: Any = self.algorithm.policy.actor

        def act(states: Tensor) -> tuple[Tensor, Tensor]:
            actions = actor({"vector": states}, deterministic=False)  # in [-1, 1], as encoded
            return actions, actions

        imagined: list[Steps] = []
        for part in range(PARTS):
            begin = data.states[torch.randint(len(data), (count,), generator=generator)]
            imagined.append(dream.branches(begin, recipe.branch_length, act, generator))
            replay.imagined = Steps.joined(imagined)
            self.algorithm.train(gradient_steps=updates, batch_size=recipe.batch_size)  # type: ignore[attr-defined]
            after_part(part)
        return {"imagined_steps": sum(len(part) for part in imagined), "updates": total}


def _rms(values: Tensor) -> float:
    """Return the root mean square of ``values``, never 0."""
    return max(float(values.square().mean().sqrt()), 1e-30)


@torch.no_grad()
def _real_steps(dream: Dream, data: VectorTransitions) -> Steps:
    """Return the real steps as SAC learns from them in ``dream``."""
    rewards = data.rewards / dream.reward_scale
    if dream.curious:
        rewards = dream.curiosity(data.states, data.actions, data.next_states)
    return Steps(data.states, data.actions, data.next_states, data.terminated.float(), rewards)


def _policy_settings(width: int, activation: type[nn.Module]) -> dict[str, Any]:
    return {
        "features_extractor_class": StandardisedExtractor,
        "net_arch": [width, width],
        "activation_fn": activation,
    }


def _ppo(env: DynamicsVecEnv, recipe: PpoRecipe, discount: float, seed: int) -> PPO:
    return PPO(
        "MultiInputPolicy",
        env,
        n_steps=recipe.n_steps,
        batch_size=recipe.batch_size,
        n_epochs=recipe.n_epochs,
        learning_rate=recipe.learning_rate,
        ent_coef=recipe.ent_coef,
        gamma=discount,
        policy_kwargs=_policy_settings(recipe.width, nn.Tanh),
        seed=seed,
        device="cpu",
    )


def _sac(env: DynamicsVecEnv, recipe: SacRecipe, discount: float, seed: int) -> SAC:
    return SAC(
        "MultiInputPolicy",
        env,
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        tau=recipe.tau,
        gamma=discount,
        ent_coef="auto_0.1",
        buffer_size=1,  # BranchReplay takes its place
        policy_kwargs=_policy_settings(recipe.width, nn.ReLU),
        seed=seed,
        device="cpu",
    )
