"""A world in video, end to end: recorded, learned, dreamt, judged, and an agent that watches it."""

from __future__ import annotations

import warnings
from pathlib import Path

import gymnasium as gym
import h5py
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3
from toy_worlds import FilmedCorridorWorld

import worldgpt_env  # noqa: F401  (registers WorldGPT-v0)
from worldgpt_env.errors import ContractError
from worldgpt_env.model import Modality, WorldGPT
from worldgpt_env.model.modalities import ImageSpec, ModalitySpec
from worldgpt_env.policies.baselines import RandomPolicy
from worldgpt_env.policies.extractors import default_policy
from worldgpt_env.policies.vec_env import ImaginedVecEnv
from worldgpt_env.rendering import SIDE
from worldgpt_env.testing import check_dream, check_model, check_world
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.dataset import DATA
from worldgpt_env.training.evaluation.fidelity import FidelityConfig, evaluate_fidelity
from worldgpt_env.training.film import HOLD, film
from worldgpt_env.training.recording import Recording
from worldgpt_env.training.train import TrainConfig, train
from worldgpt_env.worlds import register_world
from worldgpt_env.wrappers import LatentObservation


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ``recording`` of the filmed corridor and a ``model`` learned from it."""
    register_world(FilmedCorridorWorld)
    folder = tmp_path_factory.mktemp("filmed")
    collect(CollectConfig("corridor-video", 600, str(folder / "recording")))
    codecs = {"video": {"digits": 4, "width": 32, "batch_size": 32}}
    train(
        TrainConfig(
            (folder / "recording",), folder / "model", "tiny",
            updates=150, codec_updates=150, rows=32, horizon=20, codecs=codecs,
        )
    )  # fmt: skip
    return folder


class Watched(FilmedCorridorWorld):
    """The filmed corridor with an image beside the video: of one of its frames."""

    frame = -1

    def _specs(self) -> dict[Modality, ModalitySpec]:
        return {Modality.IMAGE: ImageSpec(16, 112)} | super()._specs()

    def _observe(self) -> tuple[dict[str, np.ndarray], str]:
        observation, text = super()._observe()
        return {"image": observation["video"][self.frame].copy()} | observation, text


class Late(Watched):
    """Its image is a frame behind."""

    frame = -2


def test_a_filmed_world_keeps_the_contract() -> None:
    check_world(FilmedCorridorWorld())
    check_world(Watched())
    with pytest.raises(ContractError, match="newest frame"):
        check_world(Late())


def test_a_recording_of_video_is_exact_and_small(filmed: Path) -> None:
    recording = Recording.load(filmed / "recording")
    episode, world = recording.episodes[0], FilmedCorridorWorld()
    lived = [world.reset(seed=episode.seed)[0]["video"]]
    lived += [world.step(action)[0]["video"] for action in episode.actions]
    assert np.array_equal(episode.observations[Modality.VIDEO], np.stack(lived))
    raw = sum(e.observations[Modality.VIDEO].nbytes for e in recording.episodes)
    with h5py.File(filmed / "recording" / "data" / DATA) as file:
        stored = sum(g["observations/video"].id.get_storage_size() for g in file.values())
    assert stored < 0.05 * raw


def test_a_model_of_video_and_its_dream_keep_the_contracts(filmed: Path) -> None:
    model = WorldGPT.from_pretrained(filmed / "model")
    check_model(model)
    decoded = gym.make("WorldGPT-v0", model=str(filmed / "model"), render_mode="rgb_array")
    check_dream(decoded)
    check_dream(gym.make("WorldGPT-v0", model=str(filmed / "model"), obs_mode="latent"))
    observation, _ = decoded.reset(seed=1)
    assert observation["video"].shape == (3, 16, 112, 3) and observation["video"].dtype == np.uint8
    panel = np.asarray(decoded.render())
    factor = SIDE // 16
    assert np.array_equal(panel[:SIDE:factor, : 112 * factor : factor], observation["video"][-1])


def test_what_is_dreamt_looks_like_what_comes(filmed: Path) -> None:
    report = evaluate_fidelity(
        FidelityConfig(
            str(filmed / "model"), (filmed / "recording",), (filmed / "recording",), (1, 3)
        )
    )
    figures = report.to_json()["figures"]
    for name in ("video PSNR (dB)", *(f"video frame {n} PSNR (dB)" for n in (1, 2, 3))):
        assert figures[name]["model"] > figures[name]["copy_last"], name
    error = figures["video foreground error"]
    assert error["model"] < 0.5 * error["copy_last"] and error["count"] > 0
    assert figures["video exact, never seen"]["count"] == 0  # it was trained on these
    assert "video PSNR (dB) @3" in figures and "video frame 1 PSNR (dB) @3" not in figures


def test_an_agent_watches_the_dream_in_latents_and_plays_in_the_world(
    filmed: Path, tmp_path: Path
) -> None:
    model = WorldGPT.from_pretrained(filmed / "model")
    env = ImaginedVecEnv(model, num_envs=16, obs_mode="latent")
    name, kwargs = default_policy(env.observation_space, "latent")
    agent = PPO(name, env, n_steps=16, batch_size=64, policy_kwargs=kwargs, seed=0, device="cpu")
    before = {key: value.clone() for key, value in agent.policy.state_dict().items()}
    agent.learn(512)
    assert any(not torch.equal(v, before[k]) for k, v in agent.policy.state_dict().items())
    world = LatentObservation(FilmedCorridorWorld(), model)
    assert world.observation_space == env.observation_space
    seen, _ = world.reset(seed=0)
    assert agent.predict(seen)[0] in world.action_space
    picture = env.get_images()[0]
    assert picture is not None and picture.shape == (16, 112, 3)


def test_a_film_shows_the_newest_frame(filmed: Path, tmp_path: Path) -> None:
    model, world = WorldGPT.from_pretrained(filmed / "model"), FilmedCorridorWorld()
    chance = RandomPolicy(world.action_space, seed=0)
    path = tmp_path / "film.gif"
    frames = film(model, chance, lambda seen: seen, world, path, episodes=1, steps=3)
    assert path.stat().st_size > 0 and frames == 4 + HOLD


def test_an_agent_that_sees_frames_can_learn_from_them() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*unconventional shape"
        )  # of anything but images
        check_env_of_sb3(FilmedCorridorWorld())
    name, kwargs = default_policy(FilmedCorridorWorld().observation_space, "decoded")
    agent = PPO(
        name, FilmedCorridorWorld(), n_steps=32, batch_size=32, policy_kwargs=kwargs, device="cpu"
    )
    world = FilmedCorridorWorld()
    raw, _ = world.reset(seed=0)
    tensors, _ = agent.policy.obs_to_tensor({"video": raw["video"][None]})
    features = agent.policy.extract_features(tensors)
    assert features.shape == (1, 256)
    for frame in range(3):  # each frame counts
        changed = raw["video"].copy()
        changed[frame] = 255 - changed[frame]
        tensors, _ = agent.policy.obs_to_tensor({"video": changed[None]})
        assert not torch.equal(agent.policy.extract_features(tensors), features), frame
