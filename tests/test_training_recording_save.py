"""Recordings made elsewhere: saved, loaded again, and refused where they do not fit together."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldgpt_env.model.modalities import ActionSpec, ImageSpec, Modality, VectorSpec
from worldgpt_env.training.recording import Episode, Recording, RecordingError

SPECS = {Modality.IMAGE: ImageSpec(16, 16), Modality.VECTOR: VectorSpec(("x",), (0.0,), (1.0,))}
ACTIONS = ActionSpec("discrete", (2,), ("left", "right"))


def episode(seed: int, steps: int = 4) -> Episode:
    """Return an episode of random moments."""
    draw = np.random.default_rng(seed)
    return Episode(
        {
            Modality.IMAGE: draw.integers(0, 256, (steps + 1, 16, 16, 3), np.uint8),
            Modality.VECTOR: draw.random((steps + 1, 1), np.float32),
        },
        draw.integers(0, 2, steps),
        draw.random(steps, np.float32),
        terminated=True,
        truncated=False,
        seed=seed,
    )


def test_a_recording_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    made = Recording("mine", SPECS, ACTIONS, [episode(0), episode(1, steps=2)])
    made.save(tmp_path / "mine")
    read = Recording.load(tmp_path / "mine")
    assert (read.world, read.specs, read.action_spec) == ("mine", SPECS, ACTIONS)
    assert read.steps == 6
    for ours, theirs in zip(made.episodes, read.episodes, strict=True):
        for modality in SPECS:
            np.testing.assert_array_equal(
                ours.observations[modality], theirs.observations[modality]
            )
        np.testing.assert_array_equal(ours.actions, theirs.actions)
        np.testing.assert_array_equal(ours.rewards, theirs.rewards)
        assert (ours.terminated, ours.truncated, ours.seed) == (
            theirs.terminated,
            theirs.truncated,
            theirs.seed,
        )
    with pytest.raises(RecordingError, match="already"):
        made.save(tmp_path / "mine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewards": np.zeros(3, np.float32)}, "4 actions and 3 rewards"),
        ({"rewards": np.full(4, np.nan, np.float32)}, "NaN"),
        ({"actions": np.zeros(5, np.int64), "rewards": np.zeros(5, np.float32)}, "one moment more"),
        ({"observations": {Modality.IMAGE: np.zeros((5, 16, 16, 3), np.uint8)}}, "modalities"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    broken = dataclasses.replace(episode(0), **change)
    with pytest.raises(RecordingError, match=f"episode 1 .*{message}"):
        Recording("mine", SPECS, ACTIONS, [episode(1), broken]).save(tmp_path / "mine")
    assert not (tmp_path / "mine" / "data").exists()


def test_a_wrong_dtype_and_an_empty_recording_are_refused(tmp_path: Path) -> None:
    broken = episode(0)
    broken.observations[Modality.IMAGE] = broken.observations[Modality.IMAGE].astype(np.float32)
    with pytest.raises(RecordingError, match="dtype float32"):
        Recording("mine", SPECS, ACTIONS, [broken]).save(tmp_path / "mine")
    with pytest.raises(RecordingError, match="no episode"):
        Recording("mine", SPECS, ACTIONS, []).save(tmp_path / "mine")


def test_a_recording_knows_how_its_world_was_opened(tmp_path: Path) -> None:
    options = {"video": True}
    Recording("mine", SPECS, ACTIONS, [episode(0)], options).save(tmp_path / "mine")
    assert Recording.load(tmp_path / "mine").world_options == options
    Recording("mine", SPECS, ACTIONS, [episode(0)]).save(tmp_path / "other")
    with pytest.raises(RecordingError, match="world_options"):
        Recording.load([tmp_path / "mine", tmp_path / "other"])
