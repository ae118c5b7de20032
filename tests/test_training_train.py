"""From recording to model: the dream follows the world step by step, and a cut run goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from worldgpt_env.model import Modality, WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.start_states import StartStates
from worldgpt_env.training.recording import Recording
from worldgpt_env.training.train import TrainConfig, build_model, train
from worldgpt_env.training.windows import WindowSampler


def test_the_dream_follows_the_world_step_by_step(corridor: Path) -> None:
    """Golden test: state, reward and end of every step, in one unbroken dream per episode."""
    model = WorldGPT.from_pretrained(corridor / "model")
    for episode in Recording.load(corridor / "held_out").episodes[:30]:
        engine = model.imagination(1)
        state = model.encode({m: o[:1] for m, o in episode.observations.items()})
        for step, action in enumerate(episode.actions):
            dream = engine.step(state, torch.tensor([int(action)]))
            last = step + 1 == len(episode.actions)
            assert bool(dream.termination > 0.5) == (last and episode.terminated), step
            assert dream.reward.item() == pytest.approx(episode.rewards[step], abs=0.05), step
            seen = model.decode(dream.state)
            for modality, truth in episode.observations.items():
                assert np.array_equal(seen[modality][0].numpy(), truth[step + 1]), (step, modality)
            state = dream.state


def test_windows_line_up_with_the_recording(corridor: Path) -> None:
    model = WorldGPT.from_pretrained(corridor / "model")
    recording = Recording.load(corridor / "recording")
    data = TransitionStore.encode(model.processor, recording.episodes)
    batch = WindowSampler(data, length=4, rows=256, event_share=0.5, seed=0).batch(3)
    place = model.decode({Modality.VECTOR: batch.state[Modality.VECTOR].flatten(0, 1)})
    place = place[Modality.VECTOR].view(256, 5)  # (B, T + 1)
    valid = batch.valid.bool()
    moved = place[:, 1:] - place[:, :-1]
    assert torch.equal(moved[valid], (2 * batch.action - 1)[valid].float())
    ended = (place[:, 1:] == 0) | (place[:, 1:] == 6)
    assert torch.equal(batch.terminated.bool()[valid], ended[valid])
    assert torch.equal(batch.reward.ne(0)[valid], ended[valid])
    assert not valid.all() and valid[:, 0].all()


def test_events_and_rare_states_are_drawn_more_often(corridor: Path) -> None:
    model = WorldGPT.from_pretrained(corridor / "model")
    data = TransitionStore.encode(model.processor, Recording.load(corridor / "recording").episodes)

    def share(**settings: float) -> float:
        sampler = WindowSampler(data, 1, 512, seed=0, **settings)  # type: ignore[arg-type]
        return float(torch.stack([sampler.batch(i).terminated.mean() for i in range(8)]).mean())

    assert share(event_share=0.5) > 0.45 > share(event_share=0.0)
    plain, rare = (
        np.diff(WindowSampler(data, 1, 8, 0.0, 0, rarity=r).rare_sums, prepend=0.0)
        for r in (0.0, 1.0)
    )
    assert np.allclose(plain, 1 / len(plain))
    states = np.concatenate([c.flatten(1).numpy() for c in data.state.values()], 1)
    kinds = len(np.unique(states[WindowSampler(data, 1, 8, 0.0, 0).acted], axis=0))
    assert kinds * rare.min() < 1 < len(rare) * rare.max()
    assert rare.sum() == pytest.approx(1)  # and every state has the same share:
    _, which = np.unique(
        states[WindowSampler(data, 1, 8, 0.0, 0).acted], axis=0, return_inverse=True
    )
    assert np.allclose(np.bincount(which.reshape(-1), rare), 1 / kinds)


def test_the_same_update_draws_the_same_windows(corridor: Path) -> None:
    model = WorldGPT.from_pretrained(corridor / "model")
    data = TransitionStore.encode(model.processor, Recording.load(corridor / "recording").episodes)
    one, other = (WindowSampler(data, 4, 16, 0.25, seed=5) for _ in range(2))
    other.batch(0)
    assert torch.equal(one.batch(7).action, other.batch(7).action)
    assert not torch.equal(one.batch(7).action, one.batch(8).action)


class Interrupt:
    """Stops training in the dynamics."""

    def start(self, stage: str, updates: int, done: int) -> None: ...

    def log(self, stage: str, update: int, metrics: dict[str, float]) -> None:
        if update >= 40:
            raise KeyboardInterrupt


def test_a_cut_training_ends_as_if_it_never_was(corridor: Path, tmp_path: Path) -> None:
    settings = {"preset": "tiny", "updates": 60, "rows": 16}
    recorded = (corridor / "recording",)
    train(TrainConfig(recorded, tmp_path / "whole", **settings))  # type: ignore[arg-type]
    cut = TrainConfig(recorded, tmp_path / "cut", **settings)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        train(cut, Interrupt())
    assert not (tmp_path / "cut").exists()
    train(cut)
    one, other = (WorldGPT.from_pretrained(tmp_path / name) for name in ("whole", "cut"))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_what_a_trained_folder_holds(corridor: Path) -> None:
    folder = corridor / "model"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md", "config.json", "manifest.json", "metrics.json",
        "model.safetensors", "start_states.safetensors",
    }  # fmt: skip
    assert len(StartStates.load(folder)) > 100
    assert "worldgpt train" in (folder / "README.md").read_text()
    assert list((corridor / "model.run" / "tensorboard").glob("events*"))


def test_impossible_settings_are_refused(corridor: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--data"):
        TrainConfig((), tmp_path)
    with pytest.raises(ConfigurationError, match="event_share"):
        TrainConfig((corridor,), tmp_path, event_share=1.5)
    with pytest.raises(ConfigurationError, match="enormous"):
        recording = Recording.load(corridor / "recording")
        build_model(TrainConfig((corridor,), tmp_path, preset="enormous"), recording, recording)
