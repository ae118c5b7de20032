"""Real worlds in latents: the same numbers as one by one, terminal observations included."""

import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv
from tiny_world import TinyWorld
from toy_worlds import CorridorWorld

from worldgpt_env.errors import WorldMismatchError
from worldgpt_env.policies.latent_vec_env import LatentVecEnv
from worldgpt_env.policies.vec_env import ImaginedVecEnv
from worldgpt_env.wrappers import LatentObservation


def test_it_shows_what_the_single_wrapper_shows(tiny_model) -> None:
    single = LatentObservation(TinyWorld(), tiny_model)
    env = LatentVecEnv(DummyVecEnv([TinyWorld] * 3), tiny_model)
    env.seed(5)
    seen, (alone, _) = env.reset(), single.reset(seed=6)
    ended = False
    for time in range(10):
        assert all(np.array_equal(seen[key][1], alone[key]) for key in alone)
        seen, rewards, dones, infos = env.step(np.array([2 * (time == 4), time % 2, 1]))
        assert dones.tolist() == [time == 4, time == 9, time == 9]
        alone, reward, *_ = single.step(time % 2)
        ended = ended or bool(dones[0])
        assert rewards[1] == reward
    assert ended and infos[1]["TimeLimit.truncated"]
    last = infos[1]["terminal_observation"]
    assert all(np.array_equal(last[key], alone[key]) for key in alone)


def test_dream_and_world_have_the_same_spaces(tiny_model, start_states) -> None:
    world = LatentVecEnv(DummyVecEnv([TinyWorld]), tiny_model, ["audio", "text"], 0.5)
    dream = ImaginedVecEnv(
        tiny_model, 1, modalities=("audio", "text"), start_states=start_states, horizon=5
    )
    assert world.observation_space == dream.observation_space
    assert world.action_space == dream.action_space
    world.reset()
    assert world.step(np.array([1]))[1] == 0.5


def test_another_world_is_refused(tiny_model) -> None:
    with pytest.raises(WorldMismatchError, match="tiny"):
        LatentVecEnv(DummyVecEnv([CorridorWorld]), tiny_model)
