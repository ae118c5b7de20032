"""Judging in the real world: every episode once, the right eyes, honest refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_world import TinyWorld, build_model, save_model
from toy_worlds import CorridorWorld

from worldgpt_env.errors import WorldMismatchError
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import CheckpointError, ConfigurationError
from worldgpt_env.policies.baselines import ConstantPolicy, RandomPolicy
from worldgpt_env.policies.store import read_policy
from worldgpt_env.training.imagination import DreamConfig, dream
from worldgpt_env.training.policy_evaluation import (
    EvaluateConfig,
    evaluate,
    evaluate_episodes,
    eyes,
)
from worldgpt_env.worlds import register_world


@pytest.fixture(scope="module")
def policy(tiny_folder: str, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("policies") / "tiny"
    settings = {"n_steps": 8, "batch_size": 64, "n_epochs": 1, "net_arch": [16]}
    dream(DreamConfig(out, tiny_folder, steps=256, num_envs=16, horizon=5, settings=settings))
    register_world(TinyWorld)
    return out


def plain(observation: dict) -> dict:
    return observation


@pytest.mark.parametrize("num_envs", [1, 3, 50])
def test_every_episode_counts_once_whatever_runs_beside_it(num_envs: int) -> None:
    world = CorridorWorld()
    always_right = ConstantPolicy(1, world.action_space)
    judged = evaluate_episodes(
        always_right, CorridorWorld, plain, episodes=20, num_envs=num_envs, seed=100
    )
    expected = []
    for episode in range(20):
        world.reset(seed=100 + episode)
        expected.append(1.0 if world.prize else -1.0)
    assert judged.returns.tolist() == expected
    assert judged.successes.tolist() == [value > 0 for value in expected]
    assert set(judged.lengths) <= {2, 3, 4}


def test_success_is_an_end_with_a_reward_and_not_a_time_limit() -> None:
    waiting = ConstantPolicy(0, TinyWorld().action_space)
    judged = evaluate_episodes(waiting, TinyWorld, plain, episodes=3)
    assert judged.lengths.tolist() == [10, 10, 10] and not judged.successes.any()
    ending = ConstantPolicy(2, TinyWorld().action_space)
    judged = evaluate_episodes(ending, TinyWorld, plain, episodes=3)
    assert judged.lengths.tolist() == [1, 1, 1] and judged.successes.all()


def test_figures_have_intervals() -> None:
    world = CorridorWorld()
    figures = evaluate_episodes(
        RandomPolicy(world.action_space, 0), CorridorWorld, plain, episodes=200
    ).to_json()
    assert figures["return_low"] < 0 < figures["return_high"]  # a fair coin
    assert figures["success_low"] < 0.5 < figures["success_high"]
    assert figures["return_low"] < figures["return"] < figures["return_high"]
    one = evaluate_episodes(
        RandomPolicy(world.action_space, 0), CorridorWorld, plain, episodes=1
    ).to_json()
    assert one["return_low"] is None


def test_worlds_are_closed_even_after_an_error() -> None:
    opened: list[CorridorWorld] = []

    def open_world() -> CorridorWorld:
        opened.append(CorridorWorld())
        return opened[-1]

    def blind(observation: dict) -> dict:
        raise RuntimeError("no eyes")

    with pytest.raises(RuntimeError, match="no eyes"):
        evaluate_episodes(RandomPolicy(CorridorWorld().action_space), open_world, blind, episodes=4)
    assert len(opened) == 4 and all(world._phase == "closed" for world in opened)


def test_the_policy_sees_the_latents_that_it_learned_with(policy, tiny_model) -> None:
    world = TinyWorld()
    see = eyes(read_policy(policy), world)
    observation, _ = world.reset(seed=1)
    batch = {key: np.stack([value] * 2) for key, value in observation.items()}
    latents = see(batch)
    for modality, value in tiny_model.latent(tiny_model.encode(batch)).items():
        assert np.array_equal(latents[str(modality)], value.numpy())


def test_a_stored_policy_is_judged_and_repeats_itself(policy) -> None:
    config = EvaluateConfig(str(policy), "tiny", episodes=6, num_envs=4)
    first, again = evaluate(config), evaluate(config)
    assert first["world"] == "tiny" and first["episodes"] == 6
    for name in ("return", "success", "length"):
        assert first[name] == again[name]
    assert evaluate(EvaluateConfig(str(policy), episodes=1))["world"] == "tiny"  # as stored


def test_random_is_judged_without_a_model(policy) -> None:
    assert evaluate(EvaluateConfig("random", "tiny", episodes=5))["length"] <= 10


def test_another_model_has_other_eyes_and_is_refused(policy, tmp_path) -> None:
    other = build_model()
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    save_model(other, tmp_path / "other")
    with pytest.raises(ConfigurationError, match="codecs were others"):
        evaluate(EvaluateConfig(str(policy), "tiny", model=str(tmp_path / "other")))


def test_a_policy_survives_a_change_of_the_dynamics(policy, tmp_path) -> None:
    other = WorldGPT.from_pretrained(read_policy(policy).model)
    with torch.no_grad():
        for parameter in other.dynamics.parameters():
            parameter.add_(1e-3)
    save_model(other, tmp_path / "other")
    judged = evaluate(
        EvaluateConfig(str(policy), "tiny", episodes=2, model=str(tmp_path / "other"))
    )
    same = evaluate(EvaluateConfig(str(policy), "tiny", episodes=2))
    assert judged["return"] == same["return"], "it sees through the same codecs"


def test_another_world_is_refused(policy, corridor) -> None:
    with pytest.raises((ConfigurationError, WorldMismatchError), match="tiny"):
        evaluate(EvaluateConfig(str(policy), "corridor"))


@pytest.mark.parametrize(
    ("config", "error", "told"),
    [
        ({"policy": "random"}, ConfigurationError, "--world"),
        ({"policy": "nowhere", "world": "tiny"}, CheckpointError, "worldgpt dream"),
        ({"policy": "random", "world": "nowhere"}, ConfigurationError, "nowhere"),
        ({"policy": "random", "episodes": 0}, ConfigurationError, "episodes"),
        ({"policy": "random", "seed": -1}, ConfigurationError, "seed"),
    ],
)
def test_mistakes_are_told(policy, config: dict, error: type, told: str) -> None:
    with pytest.raises(error, match=told):
        evaluate(EvaluateConfig(**config))
