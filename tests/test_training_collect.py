"""Collect: what is recorded is what happened, whatever interrupted it."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import children
import minari
import numpy as np
import pytest
from stable_baselines3 import PPO
from tiny_world import TinyWorld

from worldgpt_env import make_world
from worldgpt_env.errors import CheckpointError, ConfigurationError
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.dataset import Episode, RecordingError
from worldgpt_env.training.imagination import DreamConfig, dream
from worldgpt_env.training.recording import Recording
from worldgpt_env.worlds import registry


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``make_world("tiny")`` open the tiny world."""
    monkeypatch.setitem(registry._WORLDS, "tiny", TinyWorld)


@pytest.fixture
def interruption(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list; the world raises Ctrl-C after so many steps as its first number says."""
    left: list[int] = []
    step = TinyWorld._step

    def counting(self: TinyWorld, action: int) -> Any:
        if left:
            left[0] -= 1
            if left[0] < 0:
                left.clear()
                raise KeyboardInterrupt
        return step(self, action)

    monkeypatch.setattr(TinyWorld, "_step", counting)
    return left


def config(out: Path, **changes: Any) -> CollectConfig:
    return CollectConfig(**({"world": "tiny", "steps": 60, "out": str(out), "seed": 1} | changes))


def equal(first: Episode, second: Episode) -> bool:
    return (
        (first.terminated, first.truncated, first.seed)
        == (second.terminated, second.truncated, second.seed)
        and np.array_equal(first.actions, second.actions)
        and np.array_equal(first.rewards, second.rewards)
        and all(
            np.array_equal(values, second.observations[modality])
            for modality, values in first.observations.items()
        )
    )


def relive(world: Any, episode: Episode) -> None:
    """Repeat ``episode`` in ``world`` and compare every moment, the last one too."""
    observation, _ = world.reset(seed=episode.seed)
    for number in range(len(episode) + 1):
        for modality, values in episode.observations.items():
            assert np.array_equal(values[number], observation[str(modality)])
            assert values.dtype == observation[str(modality)].dtype
        if number < len(episode):
            action = int(episode.actions[number])
            observation, reward, terminated, truncated, _ = world.step(action)
            assert reward == episode.rewards[number]
            assert not (terminated or truncated) or number == len(episode) - 1
    assert terminated == episode.terminated
    assert truncated == episode.truncated or (episode.truncated and not terminated)


def test_a_recording_can_be_lived_again(tmp_path: Path) -> None:
    summary = collect(config(tmp_path / "r"))
    recording = Recording.load(tmp_path / "r")
    assert recording.steps == summary["steps"] == summary["new_steps"] == 60
    assert len(recording.episodes) == summary["episodes"] > 5
    for episode in recording.episodes:
        relive(TinyWorld(), episode)
    returns = [episode.rewards.sum() for episode in recording.episodes]
    assert summary["mean_return"] == pytest.approx(np.mean(returns))
    assert summary["terminated"] == np.mean([e.terminated for e in recording.episodes])
    assert len({episode.seed for episode in recording.episodes}) == len(recording.episodes)
    assert {int(a) for e in recording.episodes for a in e.actions} == {0, 1, 2}


@pytest.mark.parametrize(
    ("name", "package", "steps"), [("doorkey", "minigrid", 400), ("doom-audio", "vizdoom", 120)]
)
def test_a_recording_of_a_real_world_can_be_lived_again(
    name: str, package: str, steps: int, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    collect(CollectConfig(name, steps, str(tmp_path / "r")))
    world = make_world(name)
    try:
        for episode in Recording.load(tmp_path / "r").episodes:
            relive(world, episode)
            assert all(values[-1].any() for values in episode.observations.values())
    finally:
        world.close()


def test_the_last_episode_is_cut_at_the_number_of_steps(tmp_path: Path) -> None:
    for steps in (1, 7, 31):
        collect(config(tmp_path / str(steps), steps=steps))
        recording = Recording.load(tmp_path / str(steps))
        assert recording.steps == steps
        assert all(episode.terminated != episode.truncated for episode in recording.episodes)


@pytest.mark.parametrize("steps", [0, 1, 23, 59])
def test_an_interrupted_recording_goes_on_as_if_nothing_had_been(
    steps: int, tmp_path: Path, interruption: list[int]
) -> None:
    collect(config(tmp_path / "whole"))
    interruption.append(steps)
    with pytest.raises(KeyboardInterrupt):
        collect(config(tmp_path / "broken"))
    if steps > 20:
        with pytest.raises(RecordingError, match="not complete"):
            Recording.load(tmp_path / "broken")
    summary = collect(config(tmp_path / "broken"))
    assert summary["new_steps"] <= 60 and summary["new_steps"] >= 60 - steps
    assert summary["new_steps"] < 60 or steps < 10, "finished episodes were lost"
    whole, broken = Recording.load(tmp_path / "whole"), Recording.load(tmp_path / "broken")
    assert all(equal(a, b) for a, b in zip(whole.episodes, broken.episodes, strict=True))
    assert sorted(path.name for path in (tmp_path / "broken").iterdir()) == ["data"]


def test_control_c_in_the_terminal_keeps_the_finished_episodes(tmp_path: Path) -> None:
    pytest.importorskip("minigrid")
    script = f"""
from worldgpt_env.training.collect import *
collect(CollectConfig("doorkey", 1_000_000, {str(tmp_path / "r")!r}))
"""
    command = [sys.executable, "-c", script]
    with children.child(command, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("r/parts/*.npz"))) < 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert said.rstrip().endswith("KeyboardInterrupt")
    kept = list(tmp_path.glob("r/parts/*"))
    assert len(kept) >= 3 and all(path.suffix == ".npz" for path in kept)
    for path in kept:
        with np.load(path, allow_pickle=False) as part:
            assert len(part["image"]) == len(part["actions"]) + 1


def test_a_finished_recording_is_not_recorded_again(
    tmp_path: Path, interruption: list[int]
) -> None:
    first = collect(config(tmp_path / "r"))
    interruption.append(0)  # one more step would raise
    again = collect(config(tmp_path / "r"))
    assert again["new_steps"] == 0 and again["episodes"] == first["episodes"]
    for changes in ({"seed": 2}, {"steps": 61}, {"world": "doorkey"}):
        with pytest.raises(RecordingError, match=f"{next(iter(changes))}.*--out"):
            collect(config(tmp_path / "r", **changes))


def test_two_recordings_are_never_mixed(tmp_path: Path, interruption: list[int]) -> None:
    interruption.append(30)
    with pytest.raises(KeyboardInterrupt):
        collect(config(tmp_path / "r"))
    with pytest.raises(RecordingError, match="seed 1, not 2"):
        collect(config(tmp_path / "r", seed=2))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("years of work")
    with pytest.raises(RecordingError, match="other files"):
        collect(config(tmp_path / "notes"))
    assert (tmp_path / "notes" / "thesis.txt").read_text() == "years of work"


def test_minari_opens_the_recording_and_no_pixel_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    collect(config(Path("r")))  # relative
    assert not (tmp_path / "elsewhere").exists()
    dataset = minari.MinariDataset(tmp_path / "r" / "data")
    recording = Recording.load("r")
    assert dataset.total_steps == 60 and dataset.total_episodes == len(recording.episodes)
    assert dataset.observation_space == TinyWorld().observation_space
    assert dataset.action_space == TinyWorld().action_space
    for theirs, ours in zip(dataset.iterate_episodes(), recording.episodes, strict=True):
        for modality, values in ours.observations.items():
            assert np.array_equal(theirs.observations[str(modality)], values)
        assert theirs.terminations[-1] == ours.terminated
        assert not theirs.terminations[:-1].any() and not theirs.truncations[:-1].any()
    metadata = json.loads((tmp_path / "r" / "data" / "metadata.json").read_text())
    assert metadata["worldgpt"]["world"] == "tiny"
    assert metadata["worldgpt"]["settings"]["seed"] == 1


def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    pytest.importorskip("minigrid")
    script = f"""
import resource, signal
from worldgpt_env.training.collect import *
from worldgpt_env.training.dataset import RecordingError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in (1_000_000, 1_900_000):  # no whole episode fits; both do, the dataset does not
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        collect(CollectConfig("doorkey", 300, {str(tmp_path / "r")!r}))
    except RecordingError as error:
        print(error)
"""
    result = children.run([sys.executable, "-c", script])
    first, second = result.stdout.splitlines()
    assert "cannot write" in first and "Make room" in first and "0 finished" in first
    assert "cannot write" in second and "2 finished" in second, result.stderr
    kept = sorted(path.name for path in (tmp_path / "r").rglob("*"))
    assert kept == ["000000.npz", "000001.npz", "collect.json", "parts"]
    assert collect(CollectConfig("doorkey", 300, str(tmp_path / "r")))["new_steps"] == 0
    assert Recording.load(tmp_path / "r").steps == 300


def test_a_disk_that_fills_up_at_the_end_keeps_the_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("worldgpt_env.training.dataset._compress", full)
        with pytest.raises(RecordingError, match="No space left.*finished episodes are kept"):
            collect(config(tmp_path / "r"))
    assert not (tmp_path / "r" / "data").exists() and not (tmp_path / "r" / ".draft").exists()
    assert collect(config(tmp_path / "r"))["new_steps"] == 0
    assert Recording.load(tmp_path / "r").steps == 60


def test_nothing_is_printed_where_nobody_watches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    collect(config(tmp_path / "quiet"))
    assert capsys.readouterr() == ("", "")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    collect(config(tmp_path / "watched"))
    assert "collect tiny" in screen.getvalue() and "60/60" in screen.getvalue()


def test_a_policy_that_sees_latents_acts_in_the_real_world(
    tmp_path: Path, tiny_model: Any, tiny_folder: str
) -> None:
    from stable_baselines3 import A2C

    from worldgpt_env.policies import save_policy
    from worldgpt_env.wrappers import LatentObservation

    algorithm = A2C("MultiInputPolicy", LatentObservation(TinyWorld(), tiny_model), device="cpu")
    policy = str(save_policy(algorithm, tmp_path / "policy", tiny_model, model_name=tiny_folder))
    for name in ("r", "again"):
        collect(config(tmp_path / name, policy=policy, steps=20))
    first, again = Recording.load(tmp_path / "r"), Recording.load(tmp_path / "again")
    assert all(equal(a, b) for a, b in zip(first.episodes, again.episodes, strict=True))
    for episode in first.episodes:
        relive(TinyWorld(), episode)


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_a_policy_that_remembers_sees_every_moment_of_its_episode(
    tmp_path: Path,
    tiny_model: Any,
    tiny_folder: str,
    monkeypatch: pytest.MonkeyPatch,
    epsilon: float,
) -> None:
    dreamt = DreamConfig(tmp_path / "policy", tiny_folder, steps=16, num_envs=2, remember=2)
    dream(replace(dreamt, settings={"n_steps": 8, "net_arch": [8]}))
    shown = []
    predict = PPO.predict

    def spy(self: PPO, observation: Any, *rest: Any, **options: Any) -> Any:
        shown.append(observation)
        return predict(self, observation, *rest, **options)

    monkeypatch.setattr(PPO, "predict", spy)
    policy = str(tmp_path / "policy")
    collect(config(tmp_path / "r", policy=policy, steps=30, epsilon=epsilon))
    moments = iter(shown)
    for episode in Recording.load(tmp_path / "r").episodes:
        states = tiny_model.encode({str(m): x for m, x in episode.observations.items()})
        seen = tiny_model.latent(states)["image"].numpy()
        for number in range(len(episode)):
            told = next(moments)
            assert np.array_equal(told["image"][0], seen[number])
            assert np.array_equal(told["first_image"][0], seen[0])
            assert told["past"].sum() == min(number, 2)
    assert next(moments, None) is None


def test_epsilon_is_the_share_of_random_actions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Always:
        def predict(
            self, observation: Any, state: None, deterministic: bool
        ) -> tuple[np.ndarray, None]:
            assert not deterministic and observation["image"].shape == (1, 32, 32, 3)
            return np.array([1]), None

    record = SimpleNamespace(extra={})
    monkeypatch.setattr("worldgpt_env.policies.store.read_policy", lambda path: record)
    monkeypatch.setattr("worldgpt_env.policies.store.load_policy", lambda path: Always())
    monkeypatch.setattr(
        "worldgpt_env.training.policy_evaluation.eyes", lambda record, world: lambda seen: seen
    )
    ones = {}
    for epsilon in (0.0, 0.5, 1.0):
        out = tmp_path / f"{epsilon}"
        collect(config(out, policy="always", epsilon=epsilon, steps=200, seed=0))
        actions = np.concatenate([e.actions for e in Recording.load(out).episodes])
        ones[epsilon] = (actions == 1).mean()
    assert ones[0.0] == 1.0
    assert ones[0.5] == pytest.approx(2 / 3, abs=0.1)
    assert ones[1.0] == pytest.approx(1 / 3, abs=0.1)


def test_bad_settings_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    for changes in ({"steps": 0}, {"seed": -1}, {"epsilon": 1.5}):
        with pytest.raises(ConfigurationError, match=next(iter(changes))):
            config(tmp_path / "r", **changes)
    with pytest.raises(ConfigurationError, match="there is no world"):
        collect(config(tmp_path / "r", world="atari"))
    with pytest.raises(CheckpointError, match="no policy"):
        collect(config(tmp_path / "r", policy=str(tmp_path / "nothing")))
    assert not (tmp_path / "r").exists()
