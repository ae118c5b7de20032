"""Dreams of a vector dynamics as Stable-Baselines3 sees them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from worldgpt_env.errors import ResetNeededError
from worldgpt_env.model.modalities import ActionSpec
from worldgpt_env.model.vector_dynamics import (
    ActionEncoder,
    FitConfig,
    VectorDynamics,
    VectorDynamicsConfig,
    VectorTransitions,
    fit,
)
from worldgpt_env.policies.branch_replay import BranchReplay, Steps
from worldgpt_env.policies.dream import Dream
from worldgpt_env.policies.dynamics_vec_env import DynamicsVecEnv
from worldgpt_env.training.numeric.candidates import dream_return

SPACE = spaces.Dict(vector=spaces.Box(-np.inf, np.inf, (1,), np.float32))
END = 1.0


@pytest.fixture(scope="module")
def dream() -> Dream:
    """A number that moves by a tenth, right with action 1 and left with 0; at 1 it ends, paid 5."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    states = 2 * torch.rand(1200, 1, generator=generator) - 1
    chosen = torch.randint(2, (1200,), generator=generator)
    following = states + 0.1 * (2.0 * chosen[:, None] - 1)
    terminated = following[:, 0] >= END
    rewards = torch.where(terminated, 5.0, 0.0)
    first = torch.arange(1200) % 100 == 0
    actions = torch.nn.functional.one_hot(chosen, 2).float()
    data = VectorTransitions(states, actions, rewards, following, terminated, first)
    dynamics = VectorDynamics(1, 2, VectorDynamicsConfig(members=3, elites=2, width=32, layers=2))
    fit(dynamics, data, torch.Generator().manual_seed(0), FitConfig(updates=500))
    begin = torch.full((1, 1), 0.75)
    return Dream(dynamics, dynamics.imaginer(), begin, begin, reward_scale=2.0)


def make_env(dream: Dream, rows: int = 6, horizon: int = 5) -> DynamicsVecEnv:
    encoder = ActionEncoder(ActionSpec("discrete", (2,)))
    env = DynamicsVecEnv(SPACE, spaces.Discrete(2), encoder, rows, horizon)
    env.dream_of(dream, seed=3)
    return env


def test_the_end_pays_once_and_a_new_episode_begins(dream: Dream) -> None:
    env = make_env(dream)
    observation = env.reset()
    assert observation["vector"].shape == (6, 1) and observation["vector"].dtype == np.float32
    for count in range(1, 4):
        observation, rewards, done, infos = env.step(np.ones(6, np.int64))
        assert done.all() == (count == 3) and done.any() == (count == 3)
    np.testing.assert_allclose(rewards, 2.5, atol=1e-5)  # 5 in a scale of 2
    np.testing.assert_allclose(observation["vector"], 0.75)
    for info in infos:
        assert info["TimeLimit.truncated"] is False
        assert info["terminal_observation"]["vector"] == pytest.approx(1.05, abs=0.05)
        assert info["episode"]["l"] == 3


def test_the_horizon_only_cuts(dream: Dream) -> None:
    env = make_env(dream)
    env.reset()
    for count in range(1, 6):
        _, _, done, infos = env.step(np.zeros(6, np.int64))
        assert done.any() == (count == 5)
    assert all(info["TimeLimit.truncated"] for info in infos)
    assert all("terminal_observation" in info for info in infos)


def test_the_same_seed_gives_the_same_dream(dream: Dream) -> None:
    runs = []
    for _ in range(2):
        env = make_env(dream)
        env.reset()
        runs.append([env.step(np.array([0, 1, 0, 1, 0, 1]))[0]["vector"] for _ in range(9)])
    assert np.array_equal(*runs)


def test_the_curious_are_paid_for_states_far_from_those_visited(dream: Dream) -> None:
    visited = torch.linspace(-1, 1, 9000)[:, None]
    novelty = replace(dream, visited=visited).novelty
    usual = float(novelty(visited).mean())
    known, beside, far = (novelty(torch.tensor([[0.0], [1.001], [40.0]])) / usual).tolist()
    assert known < 1.5 and known < beside < far and far > 5
    states, right = torch.tensor([[0.0], [40.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    curious = replace(dream, visited=visited, usual=(0.01, usual))
    known, far = curious.curiosity(states, right, states).tolist()
    assert known < far <= 5


def test_a_dream_that_leaves_what_was_recorded_ends_with_the_worst(dream: Dream) -> None:
    cautious = replace(dream, discount=0.9, worst_reward=-2.0)
    edge = torch.tensor([[0.0], [-1.3]])  # recorded: -1.1 to 1.1, and a tenth of that beyond
    left = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    step = cautious.step(edge, left, torch.Generator().manual_seed(0))
    assert step.outside.tolist() == step.terminated.tolist() == [False, True]
    np.testing.assert_allclose(step.rewards, [0, -2.0 * 0.9 / 0.1 / 2], atol=0.05)
    step = replace(cautious, curious=True).step(edge, left, torch.Generator().manual_seed(0))
    assert step.outside[1] and not step.terminated.any()  # the curious may go there


class Always:
    """A policy that knows one action."""

    def __init__(self, action: int) -> None:
        self.action = action

    def predict(self, seen: dict[str, np.ndarray], deterministic: bool) -> tuple[np.ndarray, None]:
        return np.full(len(seen["vector"]), self.action), None


def test_a_whole_dream_that_leaves_what_was_recorded_is_no_success(dream: Dream) -> None:
    dream, env = replace(dream, worst_reward=-1.0), make_env(dream)
    right, left = (dream_return(Always(n), env, dream, 100, seed=0) for n in (1, 0))
    assert right == pytest.approx(5, abs=0.1)  # the goal, three steps away
    assert left == pytest.approx(-(100 - 21), abs=2)  # from .75 to -1.3 in 21 steps, then the worst


def test_no_dream_no_step() -> None:
    encoder = ActionEncoder(ActionSpec("discrete", (2,)))
    env = DynamicsVecEnv(SPACE, spaces.Discrete(2), encoder, 2, 5)
    with pytest.raises(ResetNeededError, match="dream_of"):
        env.reset()


def test_a_replay_mixes_real_and_imagined_in_its_share() -> None:
    def steps(value: float) -> Steps:
        column = torch.full((50, 1), value)
        return Steps(column, column, column, column[:, 0], column[:, 0])

    replay = BranchReplay(real_share=0.25, seed=0)
    replay.real = steps(1.0)
    assert replay.sample(8).rewards.sum() == 8
    replay.imagined = steps(0.0)
    assert replay.sample(80).rewards.sum() == 20
    assert replay.sample(80).observations["vector"].shape == (80, 1)
