"""Datasets: what others wrote, or what was damaged, is refused when it is read."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from door_samples import (
    ACTIONS,
    AUDIO,
    IMAGE,
    SPECS,
    TEXT,
    T,
    damaged,
    episode,
    equal,
)

from worldgpt_env.model.modalities import (
    ImageSpec,
    TextSpec,
)
from worldgpt_env.training.data_checks import check_for_model
from worldgpt_env.training.dataset_description import SEAL, SUM
from worldgpt_env.training.recording import Recording, RecordingError

NAN, INF = float("nan"), float("inf")
MASK = np.ones(T + 1, bool)


def forge(folder: Path, change: Callable[[h5py.File], None]) -> None:
    """Change the arrays of a dataset as a program of format 1 could have written them."""
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        change(file)
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["worldgpt"]["format"] = 1
    del metadata[SUM], metadata[SEAL]
    path.write_text(json.dumps(metadata))


def instead(key: str, value: Any) -> Callable[[h5py.File], None]:
    """Return a change of one array of the episode 1."""

    def change(file: h5py.File) -> None:
        del file[f"episode_1/{key}"]
        file[f"episode_1/{key}"] = value

    return change


def attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
    """Return a change of one attribute of the episode 1."""

    def change(file: h5py.File) -> None:
        del file["episode_1"].attrs[name]
        if value is not None:
            file["episode_1"].attrs[name] = value

    return change


LAST = np.arange(T) == T - 1
FORGED: list[tuple[Callable[[h5py.File], None], str]] = [
    (instead("actions", np.array([-1, 0, 1, 1, 0])), "episode 1 .*step 0: the action is -1"),
    (instead("actions", np.full(T, 1.7)), "damaged"),
    (instead("actions", np.full((T, 1), 1)), "damaged"),
    (instead("rewards", np.full(T, NAN, np.float32)), "episode 1 .*NaN"),
    (instead("rewards", np.zeros((T, 1), np.float32)), "damaged"),
    (instead("observations/vector", np.full((T + 1, 2), 500, np.float32)), "health 500"),
    (instead("observations/text", np.full((T + 1, 3), 4)), "the text has 4"),
    (instead("observations/audio", np.full((T + 1, 10, 2), NAN, np.float32)), "audio has nan"),
    (instead("observations/vector", np.zeros((T + 1, 2))), "damaged"),
    (instead("truncations", LAST), "terminated and truncated at once"),
    (instead("terminations", ~LAST), "ends with its last step alone"),
    (instead("terminations", LAST.astype(float)), "damaged"),
    (attribute("seed", -3), "the seed is -3"),
    (attribute("seed", None), "damaged"),
    (attribute("seed", "tomorrow"), "damaged"),
    (attribute("total_steps", 4), "no episode|damaged"),
    (lambda file: file.__delitem__("episode_1"), "damaged"),
    (lambda file: file["episode_1"].__delitem__("observations"), "damaged"),
]


@pytest.mark.parametrize(("change", "message"), FORGED)
def test_datasets_of_others_pass_the_same_door(
    change: Callable[[h5py.File], None], message: str, tmp_path: Path
) -> None:
    Recording("mine", SPECS, ACTIONS["discrete"], [episode(n) for n in range(3)]).save(tmp_path)
    forge(tmp_path, change)
    with pytest.raises(RecordingError, match=message):
        Recording.load(tmp_path)


def test_datasets_of_the_first_format_are_still_read(tmp_path: Path) -> None:
    """They have float64 rewards, and episodes that just stop, where somebody saved such ones."""
    saved = [episode(n) for n in range(3)]
    Recording("mine", SPECS, ACTIONS["discrete"], saved).save(tmp_path)

    def older(file: h5py.File) -> None:
        for group in file.values():
            rewards = group["rewards"][()].astype(np.float64)
            del group["rewards"]
            group["rewards"] = rewards
        instead("terminations", np.zeros(T, bool))(file)

    forge(tmp_path, older)
    read = Recording.load(tmp_path).episodes
    assert equal(read[0], saved[0]) and equal(read[2], saved[2])
    assert equal(read[1], dataclasses.replace(saved[1], terminated=False, truncated=True))


@pytest.mark.parametrize("command", ["train", "tune", "knowledge"])
def test_no_command_learns_from_actions_outside_their_space(
    command: str, tmp_path: Path, corridor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from worldgpt_env.training.cli import main

    recording = Recording.load(corridor / "held_out")
    Recording("corridor", recording.specs, recording.action_spec, recording.episodes[:9]).save(
        tmp_path / "r"
    )

    def change(file: h5py.File) -> None:
        actions = file["episode_1/actions"][()]
        actions[-1] = -1
        file["episode_1/actions"][...] = actions

    forge(tmp_path / "r", change)
    options = ["--data", str(tmp_path / "r"), "--out", str(tmp_path / "out")]
    options += ["--preset", "tiny"] if command == "train" else ["--model", str(corridor / "model")]
    assert main([command, *options]) == 2
    said = capsys.readouterr().err
    assert re.search("episode 1 of world 'corridor': step .*the action is -1", said)
    assert not (tmp_path / "out").exists()


def test_no_model_is_shown_a_recording_of_another_world() -> None:
    recording = Recording("mine", SPECS, ACTIONS["discrete"], [episode(n) for n in range(2)])
    check_for_model(recording, SPECS, ACTIONS["discrete"])
    check_for_model(recording, {IMAGE: SPECS[IMAGE]}, ACTIONS["discrete"])
    for specs, actions, what in (
        (SPECS, ACTIONS["box"], "the actions"),
        ({**SPECS, TEXT: TextSpec.of(["red"], 3)}, ACTIONS["discrete"], "the text"),
        ({IMAGE: ImageSpec(16, 24)}, ACTIONS["discrete"], "the image"),
    ):
        with pytest.raises(RecordingError, match=f"'mine' does not belong to the model: {what}"):
            check_for_model(recording, specs, actions)
    recording.episodes.append(episode(2, rewards=np.full(T, NAN, np.float32)))  # not told: fine
    check_for_model(recording, SPECS, ACTIONS["discrete"])
    recording.episodes.append(episode(3, rewards=np.full(T, INF, np.float32)))
    with pytest.raises(RecordingError, match="episode 3 .*the reward of step 0 is infinite"):
        check_for_model(recording, SPECS, ACTIONS["discrete"])
    recording.episodes[3] = episode(3, actions=np.full(T, -1))
    with pytest.raises(RecordingError, match="episode 3 .*the action is -1"):
        check_for_model(recording, SPECS, ACTIONS["discrete"])


@pytest.mark.parametrize("count", [120, pytest.param(1500, marks=pytest.mark.slow)])
def test_no_damage_of_a_dataset_goes_unnoticed(count: int, tmp_path: Path) -> None:
    saved = [episode(n, scenario="day", present={AUDIO: MASK}) for n in range(3)]
    Recording("mine", SPECS, ACTIONS["discrete"], saved).save(tmp_path)
    draw, noticed = np.random.default_rng(0), 0
    for number in range(count):
        path = tmp_path / "data" / ("main_data.hdf5", "metadata.json")[number % 2]
        before = path.read_bytes()
        after = damaged(before, draw)
        path.write_bytes(after)
        try:
            read = Recording.load(tmp_path)
        except RecordingError:
            noticed += 1
        else:  # damage of what Minari alone reads, such as the name of an author
            assert path.name == "metadata.json" or after == before
            assert (read.world, read.specs) == ("mine", SPECS)
            assert all(equal(a, b) for a, b in zip(saved, read.episodes, strict=True))
        path.write_bytes(before)
    assert noticed > count / 2
