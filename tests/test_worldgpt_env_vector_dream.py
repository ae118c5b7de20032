"""A learned world of numbers behind ``WorldGPT-v0``."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import worldgpt_env  # noqa: F401  # registers WorldGPT-v0
from worldgpt_env.errors import (
    CheckpointError,
    ConfigurationError,
    EpisodeEndedError,
    InvalidActionError,
    InvalidOptionError,
    RenderModeError,
    ResetNeededError,
)
from worldgpt_env.model.modalities import ActionSpec, VectorSpec
from worldgpt_env.model.vector_dynamics import (
    FitConfig,
    VectorDynamics,
    VectorDynamicsConfig,
    VectorTransitions,
    fit,
)
from worldgpt_env.model.vector_dynamics.world_model import VectorWorldModel
from worldgpt_env.vector_dream import VectorDreamEnv

HORIZON = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A point in a plane that is pushed; it ends beyond 1 on the first axis, which pays 3."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    states = 2 * torch.rand(1000, 2, generator=generator) - 1
    actions = 2 * torch.rand(1000, 2, generator=generator) - 1
    following = states + 0.1 * actions
    terminated = following[:, 0] > 1
    rewards = torch.where(terminated, 3.0, actions[:, 1])
    first = torch.arange(1000) % 50 == 0
    data = VectorTransitions(states, actions, rewards, following, terminated, first)
    dynamics = VectorDynamics(2, 2, VectorDynamicsConfig(members=3, elites=2, width=32, layers=2))
    fit(dynamics, data, torch.Generator().manual_seed(0), FitConfig(updates=400))
    spec = VectorSpec(("x", "y"), (-2.0, -2.0), (2.0, 2.0))
    acts = ActionSpec("box", (2,), (), (-5.0, -5.0), (5.0, 5.0))
    path = tmp_path_factory.mktemp("dream") / "model"
    VectorWorldModel.of(dynamics, data, "test-plane", spec, acts, HORIZON).save(path)
    return path


def make(folder: Path, **settings: object) -> VectorDreamEnv:
    env = gym.make("WorldGPT-v0", model=str(folder), **settings).unwrapped
    assert isinstance(env, VectorDreamEnv)
    return env


@pytest.mark.filterwarnings("error", "ignore:.*symmetric and normalized")
def test_gymnasium_finds_nothing_to_complain_of(folder: Path) -> None:
    check_env(make(folder), skip_render_check=True)


def test_steps_are_those_of_the_plane(folder: Path) -> None:
    env = make(folder, temperature=0)
    begin = {"vector": np.array([0.2, 0.4], np.float32)}
    env.reset(seed=0, options={"observation": begin})
    observation, reward, terminated, truncated, info = env.step(np.array([2.5, -5.0], np.float32))
    np.testing.assert_allclose(observation["vector"], [0.25, 0.3], atol=0.03)  # scaled by 5
    assert reward == pytest.approx(-1.0, abs=0.25)
    assert (terminated, truncated, info["truncated_by"]) == (False, False, "")
    env.reset(seed=0, options={"observation": {"vector": np.array([0.98, 0], np.float32)}})
    _, reward, terminated, truncated, _ = env.step(np.array([5.0, 0.0], np.float32))
    assert (terminated, truncated) == (True, False) and reward == pytest.approx(3.0, abs=1e-4)
    with pytest.raises(EpisodeEndedError):
        env.step(np.zeros(2, np.float32))


def test_the_same_seed_gives_the_same_dream_also_after_a_fork(folder: Path) -> None:
    first, second = make(folder), make(folder)
    push = np.array([-1.0, 3.0], np.float32)
    begun = [env.reset(seed=9)[0]["vector"] for env in (first, second)]
    assert np.array_equal(*begun)
    for _ in range(5):
        assert np.array_equal(first.step(push)[0]["vector"], second.step(push)[0]["vector"])
    fork = first.fork()
    ahead = [fork.step(push)[0]["vector"] for _ in range(3)]
    assert np.array_equal(ahead, [first.step(push)[0]["vector"] for _ in range(3)])
    assert not np.array_equal(make(folder).reset(seed=10)[0]["vector"], begun[0])


def test_the_horizon_and_lost_trust_truncate(folder: Path) -> None:
    env = make(folder, horizon=3)
    env.reset(seed=0, options={"index": 0})
    cuts = [env.step(np.zeros(2, np.float32))[4]["truncated_by"] for _ in range(3)]
    assert cuts == ["", "", "horizon"]
    env = make(folder, max_uncertainty=0.999)
    far = {"vector": np.array([-2.0, 2.0], np.float32)}
    env.reset(seed=0, options={"observation": far})
    _, _, _, truncated, info = env.step(np.array([-5.0, 5.0], np.float32))
    assert truncated and info["truncated_by"] == "uncertainty" and info["uncertainty"] > 0.999


def test_nothing_is_certain_outside_of_what_was_recorded(folder: Path) -> None:
    env = make(folder, max_uncertainty=0.9995, horizon=9)
    border = {"vector": np.array([0.0, -1.28], np.float32)}  # recorded: -1.1, and a tenth beyond
    env.reset(seed=0, options={"observation": border})
    observation, _, _, truncated, info = env.step(np.array([0.0, -5.0], np.float32))
    assert truncated and info["uncertainty"] == 1 and observation["vector"][1] > -1.35


def test_uncertainty_is_a_share_of_the_recorded_steps(folder: Path) -> None:
    model = VectorWorldModel.load(folder)
    generator = torch.Generator().manual_seed(1)
    states = 2 * torch.rand(400, 2, generator=generator) - 1
    actions = 2 * torch.rand(400, 2, generator=generator) - 1
    told = model.uncertainty(states, actions)
    assert told.min() >= 0 and told.max() <= 1
    assert (told > 0.9).float().mean() == pytest.approx(0.1, abs=0.07)


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    env = make(folder)
    with pytest.raises(ResetNeededError):
        env.step(np.zeros(2, np.float32))
    env.reset(seed=0)
    with pytest.raises(InvalidActionError):
        env.step(np.array([9.0, 0.0], np.float32))
    with pytest.raises(InvalidOptionError, match="index"):
        env.reset(options={"index": 10**6})
    with pytest.raises(ConfigurationError, match="memory"):
        make(folder, memory="raw")
    with pytest.raises(ConfigurationError, match="start_states"):
        make(folder, start_states="rewarded")
    with pytest.raises(RenderModeError):
        VectorDreamEnv(folder, render_mode="rgb_array")


def test_a_damaged_model_is_refused(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "model"
    VectorWorldModel.load(folder).save(copied)
    starts = copied / "starts.safetensors"
    starts.write_bytes(starts.read_bytes()[:-16])
    with pytest.raises(CheckpointError, match="truncated or changed"):
        gym.make("WorldGPT-v0", model=str(copied))


def test_vectorised_by_gymnasium(folder: Path) -> None:
    envs = gym.make_vec(
        "WorldGPT-v0", num_envs=3, vectorization_mode="sync", model=str(folder), horizon=4
    )
    observation, _ = envs.reset(seed=[1, 2, 3])
    assert observation["vector"].shape == (3, 2)
    for _ in range(4):
        _, _, _, truncated, _ = envs.step(np.zeros((3, 2), np.float32))
    assert truncated.all()
