"""The door of recordings: what does not fit is refused before anything is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from door_samples import (
    ACTIONS,
    AUDIO,
    DRAWN,
    IMAGE,
    SPECS,
    TEXT,
    VECTOR,
    T,
    episode,
    equal,
    moments,
)

from worldgpt_env.model.modalities import (
    ImageSpec,
    Modality,
    VectorSpec,
)
from worldgpt_env.training.recording import Episode, Recording, RecordingError

NAN, INF = float("nan"), float("inf")


def put(modality: Modality, change: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """Return observations of which one modality is changed."""
    parts: dict[Modality, Any] = moments(np.random.default_rng(0), T + 1)
    parts[modality] = change(parts[modality])
    return {"observations": parts}


def at(index: Any, value: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return a change of one value."""

    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[index] = value
        return array

    return change


def refused(folder: Path, message: str, kind: str = "discrete", **changes: Any) -> None:
    """Check that an episode with ``changes`` is refused, and nothing is written."""
    lived = [episode(0, kind), episode(1, kind), episode(2, kind, **changes)]
    recording = Recording("mine", SPECS, ACTIONS[kind], lived)
    with pytest.raises(RecordingError, match=f"episode 2 of world 'mine'.*{message}"):
        recording.save(folder / "broken")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ACTIONS)
def test_what_is_saved_is_loaded_to_the_last_bit(kind: str, tmp_path: Path) -> None:
    silent = {AUDIO: np.arange(T + 1) % 2 == 0, IMAGE: np.ones(T + 1, bool)}
    saved = [
        episode(0, kind),
        episode(1, kind, scenario="kitchen / café", present=silent),
        episode(2, kind, terminated=False, truncated=True, seed=2**63 - 1),
        episode(3, kind, present={VECTOR: np.zeros(T + 1, bool)}),
    ]
    saved[1].observations[AUDIO][1::2] = 0
    saved[3].observations[VECTOR][:] = 0  # outside no range, yet nothing is there
    Recording("mine", SPECS, ACTIONS[kind], saved, {"video": True}).save(tmp_path / "r")
    read = Recording.load(tmp_path / "r")
    assert (read.world, read.specs, read.action_spec) == ("mine", SPECS, ACTIONS[kind])
    assert read.world_options == {"video": True} and len(read.episodes) == 4
    assert all(equal(a, b) for a, b in zip(saved, read.episodes, strict=True))
    Recording("mine", read.specs, read.action_spec, read.episodes).save(tmp_path / "again")
    again = Recording.load(tmp_path / "again").episodes
    assert all(equal(a, b) for a, b in zip(saved, again, strict=True))
    theirs = list(minari.MinariDataset(tmp_path / "r" / "data").iterate_episodes())
    assert [len(e.rewards) for e in theirs] == [T] * 4
    assert np.array_equal(theirs[1].infos["present"]["audio"], silent[AUDIO])


def test_what_is_absent_may_hold_zeros_outside_the_range(tmp_path: Path) -> None:
    specs = {VECTOR: VectorSpec(("day",), (1.0,), (31.0,))}
    there = np.array([True, False, True])
    days = np.float32([[1], [0], [31]])
    lone = Episode({VECTOR: days}, np.zeros(2, np.int64), np.zeros(2, np.float32), True, False, 0)
    with pytest.raises(RecordingError, match="moment 1 .*the vector has day 0.0"):
        Recording("mine", specs, ACTIONS["discrete"], [lone]).save(tmp_path / "r")
    lone = dataclasses.replace(lone, present={VECTOR: there})
    Recording("mine", specs, ACTIONS["discrete"], [lone]).save(tmp_path / "r")
    assert equal(Recording.load(tmp_path / "r").episodes[0], lone)
    lone.observations[VECTOR][1] = np.nan
    with pytest.raises(RecordingError, match="moment 1 .*the vector has day nan"):
        Recording("mine", specs, ACTIONS["discrete"], [lone]).save(tmp_path / "other")


def test_other_layouts_and_widths_are_stored_without_loss(tmp_path: Path) -> None:
    plain = episode(0)
    parts = {m: np.asfortranarray(array) for m, array in plain.observations.items()}
    for array in parts.values():
        array.setflags(write=False)
    parts[TEXT] = np.repeat(plain.observations[TEXT], 2, 0)[::2]  # not contiguous
    other = dataclasses.replace(
        plain,
        observations=parts,
        actions=plain.actions.astype(np.uint8),
        rewards=plain.rewards.astype(np.float64),
        terminated=np.True_,
        seed=np.int32(0),
    )
    Recording("mine", SPECS, ACTIONS["discrete"], [other]).save(tmp_path / "r")
    assert equal(Recording.load(tmp_path / "r").episodes[0], plain)


def test_a_generator_of_episodes_is_kept(tmp_path: Path) -> None:
    lived = Recording("mine", SPECS, ACTIONS["discrete"], (episode(n) for n in range(3)))  # type: ignore[arg-type]
    assert lived.steps == 3 * T
    lived.save(tmp_path / "r")
    assert Recording.load(tmp_path / "r").steps == 3 * T
    with pytest.raises(RecordingError, match="no episode"):
        Recording("mine", SPECS, ACTIONS["discrete"], (e for e in ())).save(tmp_path / "none")  # type: ignore[arg-type]


WRONG_ACTIONS: list[tuple[str, Any, str]] = [
    ("discrete", at(3, -1), "step 3: the action is -1; expected is a whole number from 0 to 2"),
    ("discrete", at(0, 3), "step 0: the action is 3"),
    ("discrete", lambda a: a.astype(np.float32), "dtype float32"),
    ("discrete", lambda a: a.astype(bool), "dtype bool"),
    ("discrete", lambda a: a[:, None], r"shape \(5, 1\)"),
    ("discrete", lambda a: a.astype(object), "dtype object"),
    ("discrete", lambda a: a.astype(str), "dtype <U"),
    ("discrete", lambda a: list(a), "list"),
    ("discrete", lambda a: np.ma.masked_array(a, True), "MaskedArray"),
    ("discrete", lambda a: np.full(T, 2**64 - 1, np.uint64), "step 0: the action is 1844"),
    ("multidiscrete", at((2, 1), 2), r"step 2: the action has 2 at \[1\]"),
    ("multidiscrete", at((4, 0), -1), "step 4: the action has -1"),
    ("multidiscrete", lambda a: a[:, :1], r"shape \(5, 1\)"),
    ("multidiscrete", lambda a: a.astype(np.float64), "dtype float64"),
    ("box", at((1, 0), -0.1), r"step 1: the action has gas -0.1.*gas in \[0, 1\]"),
    ("box", at((1, 1), 1.5), "step 1: the action has wheel 1.5"),
    ("box", at((2, 1), NAN), "step 2: the action has wheel nan"),
    ("box", at((2, 1), INF), "step 2: the action has wheel inf"),
    ("box", lambda a: a.astype(np.float64), "dtype float64"),
    ("box", lambda a: np.zeros((T, 2), np.int64), "dtype int64"),
    ("box", lambda a: a[:, 0], r"shape \(5,\)"),
    ("text", at((0, 1), 4), r"step 0: the action has 4 at \[1\]"),
    ("text", at((0, 0), -1), "step 0: the action has -1"),
    ("text", lambda a: a[:, :1], r"shape \(5, 1\)"),
    ("text", lambda a: ["go left"] * T, "list"),
]


@pytest.mark.parametrize(("kind", "change", "message"), WRONG_ACTIONS)
def test_actions_outside_their_space_are_refused(
    kind: str, change: Callable[[np.ndarray], Any], message: str, tmp_path: Path
) -> None:
    taken = DRAWN[kind](np.random.default_rng(2), T)
    refused(tmp_path, message, kind, actions=change(taken))


WRONG_OBSERVATIONS: list[tuple[Modality, Any, str]] = [
    *[(m, lambda a: a[:-1], r"the \w+ has shape \(5, .*one moment more") for m in Modality],
    *[(m, lambda a: a[..., :-1], r"the \w+ has shape .*expected is shape \(6, ") for m in Modality],
    *[(m, lambda a: a[0], r"the \w+ has shape") for m in Modality],
    *[(m, lambda a: a.astype(np.float64), "dtype float64") for m in Modality],
    *[(m, lambda a: a.astype(np.int32), "dtype int32") for m in (IMAGE, TEXT, VECTOR)],
    *[(m, lambda a: a.astype(bool), "dtype bool") for m in Modality],
    *[(m, lambda a: a.tolist(), "list") for m in Modality],
    *[(m, lambda a: np.ma.masked_array(a, True), "MaskedArray") for m in (IMAGE, VECTOR)],
    *[(m, lambda a: a.astype(a.dtype.newbyteorder()), "dtype") for m in (AUDIO, TEXT, VECTOR)],
    (AUDIO, at((3, 4, 1), 1.01), r"moment 3 \(after step 2\): the audio has 1.0.* at \[4, 1\]"),
    (AUDIO, at((0, 0, 0), NAN), r"moment 0 \(before the first step\): the audio has nan"),
    (AUDIO, at((0, 0, 0), -INF), "the audio has -inf"),
    (TEXT, at((5, 2), 4), r"moment 5 .*the text has 4 at \[2\].*word ids from 0 to 3"),
    (TEXT, at((5, 2), -1), "the text has -1"),
    (VECTOR, at((2, 0), 100.5), r"the vector has health 100.5.*health in \[0, 100\]"),
    (VECTOR, at((2, 1), -1.5), "the vector has ammo -1.5"),
    (VECTOR, at((2, 1), NAN), "the vector has ammo nan"),
    (VECTOR, at((2, 0), INF), "the vector has health inf"),
]


@pytest.mark.parametrize(("modality", "change", "message"), WRONG_OBSERVATIONS)
def test_observations_outside_their_space_are_refused(
    modality: Modality, change: Callable[[np.ndarray], Any], message: str, tmp_path: Path
) -> None:
    refused(tmp_path, message, **put(modality, change))


MASK = np.ones(T + 1, bool)
WRONG_PARTS: list[tuple[dict[str, Any], str]] = [
    ({"rewards": np.zeros((T, 1), np.float32)}, r"rewards has shape \(5, 1\)"),
    ({"rewards": np.zeros(T - 1, np.float32)}, "5 actions and 4 rewards"),
    ({"rewards": np.full(T, NAN, np.float32)}, "NaN or infinite.*at step 0"),
    ({"rewards": np.float32([0, 0, INF, 0, 0])}, "inf at step 2"),
    ({"rewards": np.array([0, 1e300, 0, 0, 0])}, "1e[+]300 at step 1"),
    ({"rewards": np.array([0, 0, 0, 0, 0.1])}, "float32 would change .*0.1.* at step 4"),
    ({"rewards": np.zeros(T, np.int64)}, "dtype int64"),
    ({"rewards": np.zeros(T, bool)}, "dtype bool"),
    ({"rewards": np.zeros(T, np.complex64)}, "dtype complex64"),
    ({"rewards": [0.0] * T}, "list"),
    (
        {"rewards": np.ma.masked_array(np.zeros(T, np.float32), True)},
        "rewards is masked and has shape",
    ),
    ({"terminated": True, "truncated": True}, "terminated and truncated at once"),
    ({"terminated": False, "truncated": False}, "neither terminated nor truncated"),
    ({"terminated": 1}, "terminated is 1"),
    ({"terminated": None}, "terminated is None"),
    ({"truncated": np.zeros(T, bool)}, "truncated is array"),
    ({"seed": None}, "the seed is None"),
    ({"seed": -1}, "the seed is -1"),
    ({"seed": True}, "the seed is True"),
    ({"seed": 1.0}, "the seed is 1.0"),
    ({"seed": "7"}, "the seed is '7'"),
    ({"seed": 2**64}, "the seed is 1844"),
    ({"present": {AUDIO: MASK[:-1]}}, r"present of the audio .*shape \(5,\).*one moment more"),
    ({"present": {AUDIO: MASK[:, None]}}, r"present of the audio .*shape \(6, 1\)"),
    ({"present": {AUDIO: MASK.astype(np.float32)}}, "present of the audio .*dtype float32"),
    ({"present": {AUDIO: MASK.tolist()}}, "present of the audio is a list"),
    ({"present": {"smell": MASK}}, "present is of .*smell"),
    ({"present": None}, "present is of None"),
    ({"scenario": None}, "scenario is None"),
    ({"scenario": 3}, "scenario is 3"),
    ({"scenario": "a\0b"}, "scenario is"),
    ({"scenario": "\ud800"}, "scenario is"),
    ({"scenario": "x" * 2000}, "scenario is 'xxx"),
    ({"observations": {}}, r"modalities \[\]"),
    ({"actions": np.zeros(0, np.int64), "rewards": np.zeros(0, np.float32)}, "0 actions"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_PARTS)
def test_parts_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    refused(tmp_path, message, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"world": "w"}, "'w'; use 2 to 64"),
        ({"world": "my world"}, "2 to 64"),
        ({"world": "../evil"}, "2 to 64"),
        ({"world": "x" * 65}, "2 to 64"),
        ({"world": "über"}, "2 to 64"),
        ({"world": None}, "2 to 64"),
        ({"specs": {}}, "name one modality"),
        ({"specs": {**SPECS, VECTOR: ImageSpec(16, 16)}}, "for vector"),
        ({"specs": {"smell": ImageSpec(16, 16)}}, "for smell"),
        ({"action_spec": "discrete"}, "give an ActionSpec"),
        ({"world_options": {"size": np.int64(3)}}, "JSON"),
        ({"world_options": {"size": NAN}}, "JSON"),
        ({"world_options": {"size": {1, 2}}}, "JSON"),
        ({"world_options": {3: 4}}, "arguments of make_world"),
        ({"world_options": ["size"]}, "arguments of make_world"),
        ({"episodes": [None]}, "NoneType; give an Episode"),
    ],
)
def test_what_a_recording_says_of_itself_is_refused_if_it_cannot_be_read_again(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    parts: dict[str, Any] = {
        "world": "mine",
        "specs": SPECS,
        "action_spec": ACTIONS["discrete"],
        "episodes": [episode()],
        "world_options": {},
    }
    with pytest.raises(RecordingError, match=message):
        Recording(**(parts | changes)).save(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []
