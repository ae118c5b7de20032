"""Policies on disk: the same actions, bit for bit, or a refusal; never code from a file."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from toy_worlds import ButtonWorld

from worldgpt_env.model.errors import CheckpointError, ConfigurationError, WriteError
from worldgpt_env.policies import store
from worldgpt_env.policies.extractors import default_policy
from worldgpt_env.policies.settings import space_from_json, space_to_json
from worldgpt_env.policies.store import load_policy, read_policy, save_policy, weights_sha256


def trained(algorithm, obs_mode: str = "latent", steps: int = 200, **settings):
    env = make_vec_env(lambda: ButtonWorld(obs_mode), n_envs=4, seed=0)
    name, kwargs = default_policy(env.observation_space, obs_mode)
    settings = {"policy_kwargs": kwargs, "seed": 1, "device": "cpu", **settings}
    if algorithm is DQN:
        settings |= {"buffer_size": 500, "learning_starts": 50}
    elif algorithm is PPO:
        settings = {"n_steps": 25, "batch_size": 50, "n_epochs": 2, **settings}
    return algorithm(name, env, **settings).learn(steps), env


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    agent, _ = trained(PPO)
    return save_policy(agent, tmp_path / "policy")


@pytest.mark.parametrize("obs_mode", ["latent", "decoded"])
@pytest.mark.parametrize("algorithm", [PPO, A2C, DQN])
def test_round_trip_gives_the_same_actions_and_values(algorithm, obs_mode, tmp_path) -> None:
    agent, env = trained(algorithm, obs_mode)
    save_policy(agent, tmp_path / "policy", obs_mode=obs_mode, extra={"note": [1, None, "x"]})
    loaded = load_policy(tmp_path / "policy")
    assert type(loaded) is algorithm and loaded.num_timesteps == agent.num_timesteps
    for _ in range(20):
        observation = env.observation_space.sample()
        tensor, _ = agent.policy.obs_to_tensor(observation)
        assert np.array_equal(
            agent.predict(observation, deterministic=True)[0],
            loaded.predict(observation, deterministic=True)[0],
        )
        if algorithm is DQN:
            assert torch.equal(agent.q_net(tensor), loaded.q_net(tensor))
        else:
            assert torch.equal(
                agent.policy.predict_values(tensor), loaded.policy.predict_values(tensor)
            )
    record = read_policy(tmp_path / "policy")
    assert record.obs_mode == obs_mode and record.extra == {"note": [1, None, "x"]}
    assert record.observation_space == agent.observation_space


@pytest.mark.parametrize("algorithm", [PPO, A2C, DQN])
def test_a_loaded_policy_keeps_its_settings_and_goes_on_learning(algorithm, tmp_path) -> None:
    agent, env = trained(algorithm, gamma=0.9, learning_rate=LinearSchedule(1e-3, 1e-4, 0.5))
    save_policy(agent, tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy", env)
    assert loaded.gamma == 0.9 and loaded.lr_schedule(0.75) == agent.lr_schedule(0.75)
    assert loaded.policy_kwargs == agent.policy_kwargs
    before = {k: v.clone() for k, v in loaded.policy.state_dict().items()}
    loaded.learn(200, reset_num_timesteps=False)
    assert loaded.num_timesteps > agent.num_timesteps
    assert any(not torch.equal(v, before[k]) for k, v in loaded.policy.state_dict().items())


def test_saving_again_replaces_the_tensors_and_leaves_other_files(policy: Path) -> None:
    (policy / "notes.txt").write_text("mine")
    agent, _ = trained(PPO, steps=400)
    save_policy(agent, policy)
    assert len(list(policy.glob("*.safetensors"))) == 1
    assert (policy / "notes.txt").read_text() == "mine"
    assert read_policy(policy).steps == agent.num_timesteps


def test_a_crash_while_saving_leaves_the_old_policy_whole(policy: Path, monkeypatch) -> None:
    before = load_policy(policy).policy.state_dict()
    agent, _ = trained(PPO, steps=400)

    def full_disk(path: Path, content: dict) -> None:
        raise WriteError(path, "No space left on device")

    monkeypatch.setattr(store, "write_json", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        save_policy(agent, policy)
    after = load_policy(policy).policy.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_truncated_files_are_refused(policy: Path, keep: float) -> None:
    for path in [policy / "policy.json", next(policy.glob("*.safetensors"))]:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(keep * len(whole))])
        with pytest.raises(CheckpointError, match="truncated"):
            load_policy(policy)
        path.write_bytes(whole)
    load_policy(policy)


def test_every_flipped_bit_is_refused(policy: Path) -> None:
    generator = np.random.default_rng(0)
    for path in [policy / "policy.json", next(policy.glob("*.safetensors"))]:
        whole = path.read_bytes()
        for place in generator.integers(len(whole), size=60):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(generator.integers(7))
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError):
                load_policy(policy)
        path.write_bytes(whole)


def test_a_missing_policy_says_how_to_make_one(tmp_path: Path, policy: Path) -> None:
    with pytest.raises(CheckpointError, match="worldgpt dream"):
        load_policy(tmp_path / "nowhere")
    next(policy.glob("*.safetensors")).unlink()
    with pytest.raises(CheckpointError, match="missing"):
        load_policy(policy)


def test_a_policy_file_can_name_no_foreign_file_or_class(policy: Path) -> None:
    path = policy / "policy.json"

    def write(change) -> None:
        content = json.loads(path.read_text())
        content.pop("sha256")
        change(content)
        content["sha256"] = store._json_sha256(content)
        path.write_text(json.dumps(content))

    write(lambda c: c["files"]["policy"].update(name="../../secret.safetensors"))
    with pytest.raises(CheckpointError, match="not ours"):
        load_policy(policy)
    write(lambda c: c["settings"].update(policy_kwargs={"class": "os.system"}))
    with pytest.raises(CheckpointError, match="unknown setting"):
        load_policy(policy)


class Payload:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_zip_is_opened_only_by_the_flag(tmp_path: Path, recwarn) -> None:
    agent, env = trained(PPO)
    agent.payload = Payload(tmp_path / "ran")
    agent.save(tmp_path / "foreign.zip")
    (tmp_path / "ran").unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="allow_code_execution=True"):
        load_policy(tmp_path / "foreign.zip")
    with pytest.raises(ConfigurationError, match="algorithm"):
        load_policy(tmp_path / "foreign.zip", allow_code_execution=True)
    assert not (tmp_path / "ran").exists()
    loaded = load_policy(tmp_path / "foreign.zip", allow_code_execution=True, algorithm="ppo")
    assert (tmp_path / "ran").exists(), "the flag says that code runs; this shows that it does"
    observation = env.observation_space.sample()
    action, _ = loaded.predict(observation, deterministic=True)
    assert agent.predict(observation, deterministic=True)[0] == action


def test_a_file_that_is_no_policy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK nothing")
    with pytest.raises(CheckpointError, match="neither"):
        load_policy(tmp_path / "x.zip", allow_code_execution=True, algorithm="ppo")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="runs code"):
        load_policy(tmp_path / "y.zip")


def test_the_wrong_environment_is_refused(policy: Path) -> None:
    with pytest.raises(ConfigurationError, match="obs_mode='latent'"):
        load_policy(policy, make_vec_env(lambda: ButtonWorld("decoded")))


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    agent, _ = trained(PPO, learning_rate=lambda remaining: remaining * 1e-3)
    with pytest.raises(ConfigurationError, match="learning_rate"):
        save_policy(agent, tmp_path / "a")
    space = spaces.Box(-1, 1, (2,), np.float32)
    env = make_vec_env("Pendulum-v1")
    with pytest.raises(ConfigurationError, match="SAC"):
        save_policy(SAC("MlpPolicy", env, buffer_size=10), tmp_path / "b")
    with pytest.raises(ConfigurationError, match="obs_mode"):
        save_policy(agent, tmp_path / "c", obs_mode="pixels")
    assert space_from_json(space_to_json(space)) == space
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(np.float32([0.1, -np.inf]), np.float32([0.30000001, np.inf])),
        spaces.Box(0, 255, (4, 4, 3), np.uint8),
        spaces.Discrete(4, start=-2),
        spaces.MultiDiscrete([3, 7]),
        spaces.MultiBinary(5),
        ButtonWorld("decoded").observation_space,
    ],
)
def test_spaces_survive_json_exactly(space: spaces.Space) -> None:
    assert space_from_json(json.loads(json.dumps(space_to_json(space)))) == space


def test_the_hash_of_a_model_is_that_of_its_bits() -> None:
    model = torch.nn.Linear(3, 2)
    before = weights_sha256(model)
    assert before == weights_sha256(model)
    with torch.no_grad():
        model.bias[0] += 1e-7
    assert weights_sha256(model) != before
