"""Episodes of a policy, in the real world and in the dream, from the same first observations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch

from worldgpt_env.worlds import World

from ..policy_evaluation import evaluate_episodes
from .protocol import Observation, TrustedWorld
from .ranked_policy import RankedPolicy

OpenWorld = Callable[[], World]


@dataclass(frozen=True)
class Transitions:
    """``N`` real steps."""

    state: Observation  # (N, ...) per key
    next_state: Observation
    action: np.ndarray  # (N, ...)
    reward: np.ndarray  # (N,) float64
    ended: np.ndarray  # (N,) bool, by the world itself and no time limit
    episode: np.ndarray  # (N,) int64

    def __len__(self) -> int:
        """Return ``N``."""
        return len(self.reward)

    def shortened(self, count: int) -> Transitions:
        """Return the first whole episodes that have ``count`` steps together, all if too few."""
        last = self.episode[min(count, len(self)) - 1]
        return self.rows(np.flatnonzero(self.episode <= last))

    def rows(self, rows: np.ndarray) -> Transitions:
        """Return some of them, by number."""
        state, next_state = (
            {k: x[rows] for k, x in side.items()} for side in (self.state, self.next_state)
        )
        action, reward, ended, episode = (
            part[rows] for part in (self.action, self.reward, self.ended, self.episode)
        )
        return Transitions(state, next_state, action, reward, ended, episode)

    @classmethod
    def join(cls, parts: Sequence[Transitions]) -> Transitions:
        """Return all of ``parts``, whose episodes keep apart."""
        counts = np.cumsum([0, *(int(part.episode.max(initial=-1)) + 1 for part in parts)])
        state, next_state = (
            {k: np.concatenate([getattr(p, name)[k] for p in parts]) for k in parts[0].state}
            for name in ("state", "next_state")
        )
        action, reward, ended = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("action", "reward", "ended")
        )
        episode = [part.episode + first for part, first in zip(parts, counts[:-1], strict=True)]
        return cls(state, next_state, action, reward, ended, np.concatenate(episode))


@dataclass
class _Lived:
    """One episode as it was lived."""

    observations: list[Observation]
    actions: list[Any] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    ended: bool = False

    def transitions(self, number: int) -> Transitions:
        """Return its steps."""
        seen = {k: np.stack([o[k] for o in self.observations]) for k in self.observations[0]}
        count = len(self.actions)
        ends = np.arange(count) == count - 1
        return Transitions(
            {k: x[:-1] for k, x in seen.items()},
            {k: x[1:] for k, x in seen.items()},
            np.array(self.actions),
            np.array(self.rewards),
            ends & self.ended,
            np.full(count, number),
        )


class _Recorder(gym.Wrapper):
    """A world that keeps what happens in it, and is cut after ``horizon`` steps."""

    def __init__(self, world: World, horizon: int, kept: list[_Lived]) -> None:
        super().__init__(world)
        self.horizon, self.kept = horizon, kept

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**options)
        self.kept.append(_Lived([observation]))
        self.now = self.kept[-1]
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.now.observations.append(observation)
        self.now.actions.append(np.asarray(action))
        self.now.rewards.append(float(reward))
        self.now.ended = terminated
        cut = not terminated and len(self.now.actions) >= self.horizon
        return observation, reward, terminated, truncated or cut, info


@dataclass(frozen=True)
class RealEpisodes:
    """What a policy lived in the real world."""

    returns: np.ndarray  # (E,)
    transitions: Transitions


def live(
    policy: RankedPolicy,
    world: TrustedWorld,
    open_world: OpenWorld,
    episodes: int,
    horizon: int,
    seed: int,
) -> RealEpisodes:
    """Let ``policy`` live real episodes of at most ``horizon`` steps; ``i`` begins by seed + i."""
    kept: list[_Lived] = []
    result = evaluate_episodes(
        policy.policy,
        lambda: cast(World, _Recorder(open_world(), horizon, kept)),
        lambda observations: policy.in_reality(world, observations),
        episodes=episodes,
        seed=seed,
    )
    parts = [lived.transitions(0) for lived in kept if lived.actions]
    return RealEpisodes(result.returns, Transitions.join(parts))


def first_observations(open_world: OpenWorld, episodes: int, seed: int) -> Observation:
    """Return what the real episodes of :func:`live` begin with, ``(E, ...)`` per key."""
    world = open_world()
    try:
        seen = [world.reset(seed=seed + number)[0] for number in range(episodes)]
    finally:
        world.close()
    return {key: np.stack([one[key] for one in seen]) for key in seen[0]}


def dream_returns(
    policy: RankedPolicy, world: TrustedWorld, first: Observation, horizon: int, seed: int
) -> np.ndarray:
    """Return the imagined returns ``(E,)`` of episodes that begin with ``first``."""
    torch.manual_seed(seed)
    state, memory = world.reset(first, seed), None
    rows = len(next(iter(first.values())))
    total, going, begins = np.zeros(rows), np.ones(rows, bool), np.ones(rows, bool)
    for _ in range(horizon):
        seen = policy.in_dream(world, state)
        actions, memory = policy.policy.predict(seen, memory, begins, deterministic=False)
        step = world.step(state, actions)
        state, begins = step.state, np.zeros(rows, bool)
        total += np.where(going, step.reward, 0.0)
        going &= ~step.ended
        if not going.any():
            break
    return total
