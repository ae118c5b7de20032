"""The vector environment of SB3: its contract, its seeds, and all three algorithms in it."""

import copy
import math

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy

from worldgpt_env.errors import (
    CheckpointError,
    ClosedEnvironmentError,
    ConfigurationError,
    InvalidActionError,
    NonFiniteError,
    ResetNeededError,
)
from worldgpt_env.policies.extractors import default_policy
from worldgpt_env.policies.vec_env import ImaginedVecEnv


@pytest.fixture(scope="module")
def dreamer(tiny_model):
    """A model in whose dreams every step is the last with a chance of 0.3."""
    model = copy.deepcopy(tiny_model)
    with torch.no_grad():
        model.dynamics.outcome.termination_head.read.outer.weight.zero_()
        model.dynamics.outcome.termination_head.read.outer.bias.copy_(
            torch.tensor([0.0, math.log(0.3 / 0.7)])
        )
    return model


@pytest.fixture
def make(dreamer, start_states):
    def build(num_envs: int = 4, **settings) -> ImaginedVecEnv:
        chosen = {"start_states": start_states, "horizon": 5, "seed": 0, "temperature": 1.0}
        return ImaginedVecEnv(dreamer, num_envs, **(chosen | settings))

    return build


def draws(env: ImaginedVecEnv, steps: int, seed: int = 0) -> np.ndarray:
    space = env.action_space
    return np.random.default_rng(seed).integers(space.n, size=(steps, env.num_envs))


@pytest.mark.parametrize("obs_mode", ["latent", "decoded"])
def test_spaces_shapes_and_types(make, obs_mode: str) -> None:
    env = make(obs_mode=obs_mode)
    seen = env.reset()
    for _ in range(7):
        assert (
            set(seen) == set(env.observation_space.spaces) == {"image", "audio", "text", "vector"}
        )
        for key, space in env.observation_space.spaces.items():
            assert seen[key].dtype == space.dtype and seen[key].shape == (4, *space.shape)
            assert all(space.contains(row) for row in seen[key]), key
        seen, rewards, dones, infos = env.step(np.zeros(4, np.int64))
        assert rewards.dtype == np.float32 and dones.dtype == bool and len(infos) == 4


def test_a_cut_dream_is_truncated_and_begins_anew(make) -> None:
    env = make(horizon=3)
    env.reset()
    cuts = ends = 0
    for actions in draws(env, 60):
        before = env.simulator._episodes.steps.copy()
        seen, rewards, dones, infos = env.step(actions)
        for row, info in enumerate(infos):
            assert 0 <= info["consistency"] <= 1 and info["uncertainty"] >= 0
            assert ("terminal_observation" in info) == bool(dones[row])
            assert info["TimeLimit.truncated"] <= dones[row]
            if not dones[row]:
                continue
            assert info["episode"]["l"] == before[row] + 1 <= 3
            assert info["TimeLimit.truncated"] == (info["truncated_by"] == "horizon")
            cuts += info["TimeLimit.truncated"]
            ends += not info["TimeLimit.truncated"]
            assert env.simulator._episodes.steps[row] == 0  # a new episode has begun
            last, first = info["terminal_observation"], {k: v[row] for k, v in seen.items()}
            assert any(not np.array_equal(last[key], first[key]) for key in first)
            for key, space in env.observation_space.spaces.items():
                assert space.contains(last[key])
    assert cuts > 10 and ends > 10, (cuts, ends)


def test_the_terminal_observation_is_the_one_that_was_imagined(make, dreamer) -> None:
    env = make(num_envs=2, horizon=1, temperature=0.0)
    env.reset()
    state = {m: codes.clone() for m, codes in env.simulator.state.items()}
    follows = dreamer.imagination(2, temperature=0.0).step(state, torch.tensor([0, 1]))
    _, rewards, dones, infos = env.step(np.array([0, 1]))
    assert dones.all()
    for key, value in dreamer.latent(follows.state).items():
        for row in range(2):
            assert np.array_equal(infos[row]["terminal_observation"][str(key)], value[row].numpy())
    assert np.array_equal(rewards, follows.rewards[:, 0].numpy())  # cut, so it went on


def test_same_seed_same_dream_at_any_number_of_rows(make) -> None:
    small, large = make(2, seed=7), make(6, seed=7)
    seen = small.reset(), large.reset()
    for actions in draws(large, 12):
        for key in seen[0]:
            assert np.array_equal(seen[0][key], seen[1][key][:2])
        (a, r, d, _), (b, s, e, _) = small.step(actions[:2]), large.step(actions)
        seen = a, b
        assert np.array_equal(r, s[:2]) and np.array_equal(d, e[:2])


def test_seed_is_used_by_the_next_reset(make) -> None:
    env = make(seed=None)
    assert env.seed(3) == [3, 4, 5, 6]
    first = env.reset()
    other = env.reset()
    env.seed(3)
    again = env.reset()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)


def test_options_choose_start_states_per_row(make) -> None:
    env = make(num_envs=3)
    env.set_options({"index": 5})
    env.reset()
    assert [info["start_index"] for info in env.reset_infos] == [5, 5, 5]
    env.set_options([{"index": 1}, {}, {"index": 2}])
    env.reset()
    assert env.reset_infos[0]["start_index"] == 1 and env.reset_infos[2]["start_index"] == 2
    assert env._options == [{}, {}, {}]


def test_state_can_be_kept_and_restored(make) -> None:
    env = make()
    env.reset()
    for actions in draws(env, 4):
        env.step(actions)
    kept = env.get_state()
    first = [env.step(actions) for actions in draws(env, 9, seed=1)]
    env.set_state(kept)
    again = [env.step(actions) for actions in draws(env, 9, seed=1)]
    for (a, r, d, i), (b, s, e, j) in zip(first, again, strict=True):
        assert all(np.array_equal(a[key], b[key]) for key in a)
        assert np.array_equal(r, s) and np.array_equal(d, e)
        assert [x.get("episode") for x in i] == [x.get("episode") for x in j]


def test_rewards_are_scaled_and_returns_are_not(make) -> None:
    plain, scaled = make(), make(reward_scale=0.1)
    plain.reset(), scaled.reset()
    for actions in draws(plain, 6):
        _, r, _, i = plain.step(actions)
        _, s, _, j = scaled.step(actions)
        assert np.allclose(s, r * np.float32(0.1)) and r.any()
        assert [x.get("episode") for x in i] == [x.get("episode") for x in j]


def test_modalities_can_be_left_out(make) -> None:
    env = make(modalities=("text", "image"))
    assert list(env.reset()) == ["image", "text"]


def test_what_sb3_asks_of_single_environments(make) -> None:
    env = make(obs_mode="decoded")
    env.reset()
    assert env.get_attr("horizon") == [5] * 4 and env.get_attr("num_envs", [0, 2]) == [4, 4]
    assert env.get_attr("render_mode") == ["rgb_array"] * 4
    assert env.has_attr("action_space") and not env.has_attr("nothing")
    images = env.env_method("render", indices=[1, 3])
    assert len(images) == 2 and images[0].shape == (32, 32, 3)
    assert env.render().shape == (64, 64, 3)  # all rows tiled
    with pytest.raises(AttributeError, match="render"):
        env.env_method("unlock")
    with pytest.raises(ConfigurationError, match="ImaginedVecEnv"):
        env.set_attr("horizon", 3)


def test_mistakes_are_told(make) -> None:
    env = make()
    with pytest.raises(ResetNeededError):
        env.step(np.zeros(4, np.int64))
    env.reset()
    with pytest.raises(ResetNeededError, match="step"):
        env.step_wait()
    with pytest.raises(InvalidActionError):
        env.step(np.full(4, 3))
    env.close()
    with pytest.raises(ClosedEnvironmentError):
        env.step(np.zeros(4, np.int64))
    with pytest.raises(ClosedEnvironmentError):
        env.reset()
    with pytest.raises(CheckpointError, match="worldgpt train"):
        ImaginedVecEnv("no-such-world")
    with pytest.raises(ConfigurationError, match="latent"):
        make(obs_mode="pixels")
    with pytest.raises(ConfigurationError, match="reward_scale"):
        make(reward_scale=0.0)


@pytest.mark.parametrize("algorithm", [PPO, A2C, DQN])
@pytest.mark.parametrize("obs_mode", ["latent", "decoded"])
def test_sb3_learns_in_it(make, algorithm, obs_mode: str) -> None:
    env = make(obs_mode=obs_mode)
    name, kwargs = default_policy(env.observation_space, obs_mode)
    settings = {"policy_kwargs": kwargs, "device": "cpu", "seed": 0}
    if algorithm is PPO:
        settings |= {"n_steps": 8, "batch_size": 16, "n_epochs": 1}
    elif algorithm is DQN:
        settings |= {"buffer_size": 200, "learning_starts": 8}
    agent = algorithm(name, env, **settings).learn(64)
    assert agent.num_timesteps >= 64 and len(agent.ep_info_buffer) > 0
    mean, _ = evaluate_policy(agent, env, 4)
    assert np.isfinite(mean)


def test_episodes_are_reported_without_a_monitor(make, recwarn) -> None:
    env = make(obs_mode="latent")
    agent = PPO("MultiInputPolicy", env, n_steps=8, batch_size=16, n_epochs=1, device="cpu")
    agent.learn(32)
    assert agent.ep_info_buffer[0]["l"] <= 5
    evaluate_policy(agent, env, 2)
    assert not recwarn.list


def test_ppo_bootstraps_at_a_cut_and_not_at_an_end(make) -> None:
    """SB3 adds the value of the last observation only where ``TimeLimit.truncated`` says so."""
    env = make(horizon=1)  # every step is cut that does not end
    name, kwargs = default_policy(env.observation_space, "latent")
    agent = PPO(name, env, n_steps=6, batch_size=24, policy_kwargs=kwargs, device="cpu", gamma=0.5)
    ends, raw = [], []
    step = env.step_wait

    def watch():
        result = step()
        raw.append(result[1].copy())
        ends.append([not info["TimeLimit.truncated"] for info in result[3]])
        return result

    env.step_wait = watch  # type: ignore[method-assign]
    _, callback = agent._setup_learn(24)
    agent.collect_rollouts(env, callback, agent.rollout_buffer, 6)
    assert 0 < np.mean(ends) < 1
    added = agent.rollout_buffer.rewards - np.array(raw)
    assert not added[np.array(ends)].any()
    assert (added[~np.array(ends)] != 0).all()


def test_a_model_that_gives_nan_is_stopped(dreamer, start_states) -> None:
    broken = copy.deepcopy(dreamer)
    env = ImaginedVecEnv(broken, 2, start_states=start_states, seed=0)
    env.reset()
    with torch.no_grad():
        broken.dynamics.outcome.reward_head.read.outer.bias.fill_(math.nan)
    agent = PPO("MultiInputPolicy", env, n_steps=8, batch_size=16, device="cpu")
    with pytest.raises(NonFiniteError, match="NaN"):
        agent.learn(16)
