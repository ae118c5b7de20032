"""DynaCallback: a user's own agent of Stable-Baselines3 learns from dreams of what it lived."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from worldgpt_env.errors import ConfigurationError
from worldgpt_env.model.vector_dynamics import VectorDynamicsConfig
from worldgpt_env.policies import DynaCallback

SMALL = VectorDynamicsConfig(members=2, elites=1, width=32, layers=2)


class Slide(gym.Env[Any, Any]):
    """A number that an action moves by at most a tenth; the farther right, the better."""

    observation_space = spaces.Box(-2, 2, (1,), np.float32)

    def __init__(self, discrete: bool = False) -> None:
        self.discrete = discrete
        self.action_space = spaces.Discrete(2) if discrete else spaces.Box(-3, 3, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.age = float(self.np_random.uniform(-0.5, 0.5)), 0
        return np.array([self.place], np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        push = 2 * int(action) - 1 if self.discrete else float(action[0]) / 3
        self.place, self.age = min(max(self.place + 0.1 * push, -2), 2), self.age + 1
        return np.array([self.place], np.float32), self.place, False, self.age >= 20, {}


def returns(agent: Any, env: gym.Env) -> float:
    observation, _ = env.reset(seed=0)
    total, cut = 0.0, False
    while not cut:
        action, _ = agent.predict(observation, deterministic=True)
        observation, reward, _, cut, _ = env.step(action)
        total += float(reward)
    return total


@pytest.mark.parametrize(("kind", "discrete"), [(SAC, False), (TD3, False), (DQN, True)])
def test_an_agent_learns_from_dreams(kind: Any, discrete: bool) -> None:
    torch.manual_seed(0)
    env = Slide(discrete)
    settings = {"learning_starts": 100, "seed": 0, "policy_kwargs": {"net_arch": [32, 32]}}
    agent = kind("MlpPolicy", env, gamma=0.9, learning_rate=3e-3, **settings)
    own = agent.replay_buffer
    dyna = DynaCallback(100, updates=100, agent_updates=2, branches=500, dynamics=SMALL)
    agent.learn(400, callback=dyna)
    assert agent.replay_buffer is own and own.pos == 400  # nothing dreamt is kept as lived
    assert returns(agent, Slide(discrete)) > 12  # standing still comes to 3, the best to 23
    assert dyna.world is not None
    ahead = dyna.world.imaginer().step(
        torch.zeros(1, 1, 1), torch.ones(1, 1, 1) if not discrete else torch.tensor([[[0.0, 1.0]]])
    )
    assert float(ahead.next_states) == pytest.approx(0.1, abs=0.03)


def test_dreams_are_mixed_in_their_share_and_logged() -> None:
    seen: list[float] = []

    class Watched(DynaCallback):
        def _fit_and_dream(self) -> None:
            super()._fit_and_dream()
            batch = self._replay.sample(100)
            buffer = self._replay.real
            real = torch.from_numpy(buffer.observations[: buffer.pos].ravel())
            seen.append(float(torch.isin(batch.observations[:, 0], real).float().mean()))
            names = self.logger.name_to_value
            assert names["dyna/change_error"] < 1
            assert 150 < names["dyna/imagined_steps"] <= 200  # some leave what was recorded

    agent = SAC("MlpPolicy", make_vec_env(Slide, 2), learning_starts=60, seed=0)
    watched = Watched(60, updates=20, agent_updates=0, branches=40, real_share=0.3, dynamics=SMALL)
    agent.learn(130, callback=watched)
    # the first step of each branch begins at a real state, the other four at none
    assert len(seen) == 2 and all(0.3 <= share <= 0.7 for share in seen)


def test_what_cannot_dream_is_told_what_to_do() -> None:
    def learn(agent: Any) -> None:
        agent.learn(100, callback=DynaCallback())

    with pytest.raises(ConfigurationError, match=r"PPO learns from its own .* worldgpt dyna"):
        learn(PPO("MlpPolicy", Slide(), n_steps=20, batch_size=20))
    with pytest.raises(ConfigurationError, match="VecNormalize"):
        learn(SAC("MlpPolicy", VecNormalize(make_vec_env(Slide, 1))))
    with pytest.raises(ConfigurationError, match="optimize_memory_usage"):
        settings = {"handle_timeout_termination": False}
        learn(
            SAC(
                "MlpPolicy",
                Slide(),
                replay_buffer_class=ReplayBuffer,
                optimize_memory_usage=True,
                replay_buffer_kwargs=settings,
            )
        )
    wide = gym.wrappers.TransformObservation(
        Slide(), lambda x: x[None], spaces.Box(-2, 2, (1, 1), np.float32)
    )
    with pytest.raises(ConfigurationError, match="FlattenObservation"):
        learn(SAC("MlpPolicy", wide))
    for wrong in ({"every": 5}, {"branches": 0}, {"real_share": 0}, {"agent_updates": -1}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            DynaCallback(**wrong)


def test_it_goes_on_after_a_stop_and_counts_anew() -> None:
    class Stopped(DynaCallback):
        fits = 0

        def _fit_and_dream(self) -> None:
            super()._fit_and_dream()
            self.fits += 1
            if self.fits == 1:
                raise KeyboardInterrupt

    agent = SAC("MlpPolicy", Slide(), learning_starts=60, seed=0)
    own, dyna = agent.replay_buffer, Stopped(60, updates=5, agent_updates=0, dynamics=SMALL)
    with pytest.raises(KeyboardInterrupt):
        agent.learn(100, callback=dyna)
    agent.learn(130, callback=dyna)
    assert dyna.fits == 3 and agent.replay_buffer is own
