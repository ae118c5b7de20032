"""Recording: read back whole, cut right, and refused when it is not what it should be."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from worldgpt_env.model.modalities import ActionSpec, ImageSpec, Modality, ModalitySpec, VectorSpec
from worldgpt_env.training.dataset import DATA, METADATA, Description, write_dataset
from worldgpt_env.training.recording import Episode, Recording, RecordingError

SPECS: dict[Modality, ModalitySpec] = {
    Modality.IMAGE: ImageSpec(16, 24),
    Modality.VECTOR: VectorSpec(("episode", "moment"), (0.0, 0.0), (99.0, 99.0)),
}
DISCRETE = ActionSpec("discrete", (3,), ("left", "right", "stay"))


def episode(number: int, length: int, actions: ActionSpec = DISCRETE) -> Episode:
    """An episode whose vector says where each moment belongs; odd ones are cut, even ones end."""
    generator = np.random.default_rng(number)
    vector = np.stack([np.full(length + 1, number), np.arange(length + 1)], -1)
    taken = generator.integers(0, 3, length)
    if actions.kind == "box":
        taken = generator.uniform(-1, 1, (length, 2)).astype(np.float32)
    return Episode(
        {
            Modality.IMAGE: generator.integers(0, 256, (length + 1, 16, 24, 3)).astype(np.uint8),
            Modality.VECTOR: vector.astype(np.float32),
        },
        taken,
        np.arange(length, dtype=np.float32) - 1,
        number % 2 == 0,
        number % 2 == 1,
        number + 100,
    )


LENGTHS = (5, 1, 40, 12)


def write(
    folder: Path, world: str = "made-up", actions: ActionSpec = DISCRETE, **spec: Any
) -> Path:
    """Write the four episodes to ``folder`` and return it."""
    episodes = [episode(number, length, actions) for number, length in enumerate(LENGTHS)]
    specs = SPECS | {Modality(key): value for key, value in spec.items()}
    folder.mkdir(exist_ok=True)
    write_dataset(folder, Description(world, specs, actions, {"seed": 0}), iter(episodes), 1000)
    return folder


def test_what_was_written_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    recording = Recording.load(write(tmp_path / "r"))
    assert (recording.world, recording.specs, recording.action_spec) == ("made-up", SPECS, DISCRETE)
    assert list(recording.specs) == list(SPECS)
    assert recording.steps == sum(LENGTHS)
    for number, (got, length) in enumerate(zip(recording.episodes, LENGTHS, strict=True)):
        made = episode(number, length)
        assert len(got) == length
        assert (got.terminated, got.truncated, got.seed) == (
            made.terminated,
            made.truncated,
            made.seed,
        )
        for modality, values in made.observations.items():
            assert np.array_equal(got.observations[modality], values)
            assert got.observations[modality].dtype == values.dtype
        assert np.array_equal(got.actions, made.actions) and got.actions.dtype == np.int64
        assert np.array_equal(got.rewards, made.rewards) and got.rewards.dtype == np.float32


def test_continuous_actions_keep_shape_and_bounds(tmp_path: Path) -> None:
    spec = ActionSpec("box", (2,), ("gas", "wheel"), (-1.0, -1.0), (1.0, 1.0))
    recording = Recording.load(write(tmp_path / "r", actions=spec))
    assert recording.action_spec == spec
    assert recording.episodes[2].actions.shape == (40, 2)
    assert recording.episodes[2].actions.dtype == np.float32


def test_several_recordings_of_one_world_are_one(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    recording = Recording.load([one, str(two)])
    assert recording.steps == 2 * sum(LENGTHS)
    assert [len(e) for e in recording.episodes] == [*LENGTHS, *LENGTHS]


def test_a_split_shares_no_episode_and_is_the_same_again(tmp_path: Path) -> None:
    write(tmp_path / "r")
    recording = Recording.load([tmp_path / "r"] * 5)
    train, held_out = recording.split(0.25, seed=3)
    assert len(train.episodes) == 15 and len(held_out.episodes) == 5
    assert not {id(e) for e in train.episodes} & {id(e) for e in held_out.episodes}
    assert train.steps + held_out.steps == recording.steps
    assert (train.world, train.specs) == (recording.world, recording.specs)
    again = recording.split(0.25, seed=3)[1].episodes
    assert all(a is b for a, b in zip(held_out.episodes, again, strict=True))
    other = recording.split(0.25, seed=4)[1].episodes
    assert any(a is not b for a, b in zip(held_out.episodes, other, strict=True))


def test_a_split_has_something_on_each_side(tmp_path: Path) -> None:
    recording = Recording.load(write(tmp_path / "r"))
    for share in (0.001, 0.999):
        assert all(part.episodes for part in recording.split(share))
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(RecordingError, match="hold out"):
            recording.split(share)
    recording.episodes = recording.episodes[:1]
    with pytest.raises(RecordingError, match="two episodes"):
        recording.split()


def test_a_missing_recording_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", [tmp_path / "nowhere"]):
        with pytest.raises(RecordingError, match="worldgpt collect --world"):
            Recording.load(path)
    with pytest.raises(RecordingError, match="at least one"):
        Recording.load([])


def test_a_dataset_of_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with pytest.warns(UserWarning):  # it misses an author
        minari.create_dataset_from_buffers(
            "foreign-v0",
            [EpisodeBuffer(None, 0, None, np.zeros(3), np.zeros(2), [0], [True], [False])],
            observation_space=gym.spaces.Box(0, 1, ()),
            action_space=gym.spaces.Box(0, 1, ()),
        )
    with pytest.raises(RecordingError, match="did not make"):
        Recording.load(tmp_path / "foreign-v0")


def test_a_dataset_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r") / "data" / METADATA
    metadata = json.loads(path.read_text())
    metadata["worldgpt"]["format"] = 99
    path.write_text(json.dumps(metadata))
    with pytest.raises(RecordingError, match="format 99"):
        Recording.load(tmp_path / "r")


def test_an_empty_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    write_dataset(tmp_path / "r", Description("made-up", SPECS, DISCRETE, {}), [], 0)
    with pytest.raises(RecordingError, match="no episode"):
        Recording.load(tmp_path / "r")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(share: float, tmp_path: Path) -> None:
    path = write(tmp_path / "r") / "data" / DATA
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(RecordingError, match="record it again"):
        Recording.load(tmp_path / "r")


def test_truncated_or_missing_metadata_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r") / "data" / METADATA
    os.truncate(path, 100)
    with pytest.raises(RecordingError, match="truncated"):
        Recording.load(tmp_path / "r")
    path.unlink()
    with pytest.raises(RecordingError, match="no recording"):
        Recording.load(tmp_path / "r")


def damage_rows(file: h5py.File) -> None:
    rewards = file["episode_2/rewards"][:-1]
    del file["episode_2/rewards"]
    file["episode_2/rewards"] = rewards


def damage_shape(file: h5py.File) -> None:
    del file["episode_1/observations/image"]
    file["episode_1/observations/image"] = np.zeros((2, 16, 16, 3), np.uint8)


def damage_keys(file: h5py.File) -> None:
    del file["episode_3/observations/vector"]


def damage_episodes(file: h5py.File) -> None:
    del file["episode_3"]


@pytest.mark.parametrize("damage", [damage_rows, damage_shape, damage_keys, damage_episodes])
def test_a_damaged_dataset_is_refused(damage: Any, tmp_path: Path) -> None:
    write(tmp_path / "r")
    with h5py.File(tmp_path / "r" / "data" / DATA, "a") as file:
        damage(file)
    with pytest.raises(RecordingError, match="damaged"):
        Recording.load(tmp_path / "r")


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("world", {"world": "another"}),
        ("specs", {"image": ImageSpec(16, 24), "vector": VectorSpec(("a", "b"), (0, 0), (9, 9))}),
        ("action_spec", {"actions": ActionSpec("discrete", (3,), ("up", "down", "stay"))}),
    ],
)
def test_recordings_of_different_worlds_are_not_mixed(
    what: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two", **changes)
    with pytest.raises(RecordingError, match=f"differ in their {what}"):
        Recording.load([one, two])


def test_a_recording_may_be_moved(tmp_path: Path) -> None:
    write(tmp_path / "r")
    shutil.move(tmp_path / "r", tmp_path / "elsewhere")
    assert Recording.load(tmp_path / "elsewhere").steps == sum(LENGTHS)


def test_it_says_what_nobody_can_learn_from_it() -> None:
    def of(*rewards: list[float], ended: bool = False) -> list[str]:
        specs = {Modality.VECTOR: VectorSpec(("x",), (0.0,), (1.0,))}
        episodes = [
            Episode(
                {Modality.VECTOR: np.zeros((len(paid) + 1, 1), np.float32)},
                np.zeros(len(paid), np.int64),
                np.array(paid, np.float32),
                terminated=ended,
                truncated=not ended,
                seed=number,
            )
            for number, paid in enumerate(rewards)
        ]
        return Recording("w", specs, ActionSpec("discrete", (2,)), episodes).lacks()

    assert of([-1, -1], [-1]) == ["no episode is ended by the world", "every step pays -1"]
    assert of([1, 1], ended=True) == []  # how long it goes on differs
    assert of([0, 0, 0, -5], ended=True) == ["no step pays more than the usual 0"]
    assert of([0, 0, 1], ended=True) == []
    assert of([-0.3, -0.1, -0.2]) == ["no episode is ended by the world"]
    assert of([np.nan, np.nan]) == []
