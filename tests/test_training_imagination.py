"""Dreaming: an agent learns in a learned world and succeeds in the real one; runs survive stops."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from worldgpt_env.model.errors import CheckpointError, ConfigurationError
from worldgpt_env.policies.store import load_policy, read_policy
from worldgpt_env.policies.vec_env import ImaginedVecEnv
from worldgpt_env.training.imagination import DreamConfig, dream
from worldgpt_env.training.policy_evaluation import EvaluateConfig, evaluate

SMALL = {"n_steps": 8, "batch_size": 64, "n_epochs": 2, "net_arch": [16]}


@pytest.fixture
def config(tiny_folder: str, tmp_path: Path) -> DreamConfig:
    """A PPO run of 24 rollouts of 128 steps in the tiny world."""
    return DreamConfig(
        tmp_path / "policy", tiny_folder, steps=3072, num_envs=16, horizon=5, settings=SMALL
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_policy(folder).policy.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Press Ctrl-C in the middle of a rollout."""
    step, count = ImaginedVecEnv.step_wait, [0]

    def impatient(self: ImaginedVecEnv):
        count[0] += self.num_envs
        if count[0] > steps:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(ImaginedVecEnv, "step_wait", impatient)


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_an_agent_of_the_dream_succeeds_in_the_real_world(
    corridor: Path, tmp_path: Path, algo: str
) -> None:
    out = tmp_path / "policy"
    figures = dream(DreamConfig(out, str(corridor / "model"), algo, steps=20_480))
    assert figures["steps"] == figures["new_steps"] == 20_480
    judged = evaluate(EvaluateConfig(str(out), episodes=30, deterministic=True))
    assert judged["world"] == "corridor"
    assert judged["return"] >= 0.95, f"{algo}: real return {judged['return']}; random gets 0"


def test_a2c_learns_too(corridor: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy"
    dream(DreamConfig(out, str(corridor / "model"), "a2c", steps=20_480))
    assert evaluate(EvaluateConfig(str(out), episodes=30))["return"] >= 0.5


@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_a_stopped_run_goes_on_bit_for_bit(config, tmp_path, monkeypatch, algo: str) -> None:
    settings = SMALL if algo == "ppo" else {"n_steps": 8, "net_arch": [16]}
    config = replace(config, algo=algo, settings=settings)
    dream(replace(config, out=tmp_path / "straight"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 2800)
        dream(config)
    stopped = read_policy(config.out).steps
    assert 2048 <= stopped < 2800 and stopped % 128 == 0  # the start of a rollout
    figures = dream(config)
    assert figures["new_steps"] == 3072 - stopped and figures["steps"] == 3072
    assert same(weights(config.out), weights(tmp_path / "straight"))


def test_a_killed_run_goes_on_from_its_last_save(config, tmp_path, monkeypatch) -> None:
    def killed(self: ImaginedVecEnv):
        raise SystemExit  # nothing may be saved any more

    config = replace(config, steps=6144, save_every=2048)
    dream(replace(config, out=tmp_path / "straight"))
    step, count = ImaginedVecEnv.step_wait, [0]

    def doomed(self: ImaginedVecEnv):
        count[0] += self.num_envs
        return killed(self) if count[0] > 4500 else step(self)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(ImaginedVecEnv, "step_wait", doomed)
        dream(config)
    assert read_policy(config.out).steps == 4096
    dream(config)
    assert same(weights(config.out), weights(tmp_path / "straight"))


def test_a_finished_run_is_left_alone_and_can_be_extended(config) -> None:
    dream(config)
    before = weights(config.out)
    assert dream(config)["new_steps"] == 0
    assert same(before, weights(config.out))
    longer = dream(replace(config, steps=4096))
    assert longer["new_steps"] == 1024 and not same(before, weights(config.out))


def test_dqn_goes_on_though_not_exactly(config, monkeypatch) -> None:
    settings = {"buffer_size": 500, "learning_starts": 64, "batch_size": 32}
    config = replace(config, algo="dqn", settings=settings)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 2500)
        dream(config)
    assert dream(config)["steps"] >= 3072


@pytest.mark.parametrize("change", [{"seed": 1}, {"algo": "a2c", "settings": {}}, {"horizon": 9}])
def test_another_run_is_not_overwritten(config, change: dict) -> None:
    config = replace(config, steps=256)
    dream(config)
    with pytest.raises(ConfigurationError, match="another --out"):
        dream(replace(config, **change))


def test_a_damaged_run_is_refused(config) -> None:
    config = replace(config, steps=256)
    dream(config)
    path = next(config.out.glob("progress-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="truncated"):
        dream(replace(config, steps=512))


def test_what_the_run_leaves_behind(config) -> None:
    figures = dream(replace(config, steps=256))
    assert list((config.out / "tensorboard").glob("events*"))
    assert set(figures) >= {"steps", "imagined_return", "imagined_length", "cpu_seconds"}
    assert np.isfinite(figures["imagined_return"]) and figures["imagined_length"] <= 5
    record = read_policy(config.out)
    assert record.extra["world"] == "tiny" and Path(record.model).is_absolute()
    json.dumps(figures)


def test_decoded_observations_work(config) -> None:
    out = dream(replace(config, steps=128, obs_mode="decoded", modalities=("image", "text")))["out"]
    assert read_policy(out).obs_mode == "decoded"
    assert list(read_policy(out).observation_space.spaces) == ["image", "text"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"algo": "trpo"}, "ppo"),
        ({"steps": 0}, "whole number from 1"),
        ({"seed": -1}, "seed"),
        ({"settings": {"learning_rat": 1.0}}, "learning_rat"),
        ({"horizon": 0}, "horizon"),
        ({"obs_mode": "pixels"}, "latent"),
    ],
)
def test_impossible_settings_are_refused(config, change: dict, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        dream(replace(config, **change))
