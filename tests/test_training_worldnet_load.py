"""Loading: sequences become episodes, media are fitted, broken rows are left out and counted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_worldnet as small

from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    ImageSpec,
    Modality,
    TextSpec,
    VectorSpec,
    VideoSpec,
)
from worldgpt_env.training.recording import Recording, RecordingError
from worldgpt_env.training.worldnet.format import fitting, media, states
from worldgpt_env.training.worldnet.format.annotation import WorldNetError
from worldgpt_env.training.worldnet.format.folder import WorldNetFolder
from worldgpt_env.training.worldnet.format.load import is_worldnet, load_recording, load_worldnet
from worldgpt_env.training.worldnet.format.writer import WorldNetWriter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small.write_small(tmp_path / "dots")


def test_sequences_are_episodes_with_all_their_moments(root: Path) -> None:
    loaded = load_worldnet(root)
    recording = loaded.recording
    assert (recording.world, recording.specs) == ("dots", small.SPECS)
    assert recording.action_spec == small.ACTION
    assert (loaded.rejected, loaded.changes, loaded.vectors) == ([], {}, {})
    day, night = recording.episodes
    assert (day.scenario, night.scenario) == ("day", "night")
    assert (day.terminated, day.truncated) == (False, True)
    assert (night.terminated, night.truncated) == (True, False)
    for episode in recording.episodes:
        assert episode.rewards.tolist() == [0, 1, 2, 3]
        assert {small.ACTION.vocabulary.decode(ids) for ids in episode.actions} == {"go right"}
        for modality, spec in small.SPECS.items():
            part = episode.observations[modality]
            assert part.shape == (5, *spec.shape) and part.dtype == spec.dtype
    for step in range(5):
        wanted = small.moment(3 * step)
        assert abs(day.observations[Modality.IMAGE][step].astype(int) - wanted.image).max() < 20
        assert abs(day.observations[Modality.VIDEO][step].astype(int) - wanted.video).max() < 20
        assert abs(day.observations[Modality.AUDIO][step] - wanted.audio).max() <= 2**-15
        text = small.SPECS[Modality.TEXT]
        assert isinstance(text, TextSpec)
        assert text.decode(day.observations[Modality.TEXT][step]) == wanted.text
        assert day.observations[Modality.VECTOR][step] == 3 * step


def test_a_missing_modality_is_marked_and_holds_zeros(root: Path) -> None:
    day, night = load_worldnet(root).recording.episodes
    assert day.present == {}
    assert list(night.present) == [Modality.VECTOR]
    assert not night.present[Modality.VECTOR].any()
    assert not night.observations[Modality.VECTOR].any()


def test_moments_are_views_of_one_table(root: Path) -> None:
    first, second = load_worldnet(root).recording.episodes
    images = [episode.observations[Modality.IMAGE] for episode in (first, second)]
    assert images[0].base is not None and images[0].base is images[1].base


def test_only_what_is_asked_for(root: Path) -> None:
    specs = {Modality.IMAGE: ImageSpec(16, 16), Modality.TEXT: small.SPECS[Modality.TEXT]}
    recording = load_worldnet(root, "train", specs, ["night"]).recording
    assert recording.specs == specs and len(recording.episodes) == 1
    with pytest.raises(WorldNetError, match=r"no row of the scenarios \['dusk'\]"):
        load_worldnet(root, scenarios=["dusk"])
    with pytest.raises(WorldNetError, match="no split 'dev'"):
        load_worldnet(root, "dev")


def test_media_are_fitted_to_other_shapes_and_it_is_counted(root: Path) -> None:
    specs = {
        Modality.IMAGE: ImageSpec(32, 32),
        Modality.VIDEO: VideoSpec(2, 16, 16),
        Modality.AUDIO: AudioSpec(300, 2, 1600),
        Modality.TEXT: TextSpec.of(["dot"], 3),
        Modality.VECTOR: VectorSpec(("place",), (0.0,), (5.0,)),
    }
    loaded = load_worldnet(root, specs=specs, action=ActionSpec.text(["go"], 3))
    assert loaded.changes == {
        "images resized": 10,
        "videos thinned out": 10,
        "frames resized": 20,
        "sounds made stereo": 10,
        "sounds resampled": 10,
        "sounds cut to their end": 10,
        "texts with unknown words": 10,
        "actions with unknown words": 8,
    }
    episode = loaded.recording.episodes[0]
    assert episode.actions.tolist() == [[2, 1, 0]] * 4
    newest = load_worldnet(root).recording.episodes[0].observations[Modality.VIDEO][2, -1]
    bright = episode.observations[Modality.VIDEO][2, -1].mean((0, 2))  # (16,) by column
    assert abs(bright.argmax() * 1.5 - newest.mean((0, 2)).argmax()) < 3
    sound = episode.observations[Modality.AUDIO][1]
    tone = small.moment(3).audio
    assert tone is not None
    assert np.array_equal(sound[:, 0], sound[:, 1])
    assert abs(sound[-40:-10:2, 0] - tone[-20:-5, 0]).max() < 0.1  # twice the rate, its end


def test_a_short_sound_and_a_short_clip(root: Path) -> None:
    specs = {Modality.VIDEO: VideoSpec(6, 16, 24), Modality.AUDIO: AudioSpec(250, 1, 800)}
    loaded = load_worldnet(root, "test", specs)
    assert loaded.changes == {"videos with repeated frames": 5, "sounds with silence in front": 5}
    moments = loaded.recording.episodes[0].observations
    assert not moments[Modality.AUDIO][:, :50].any() and moments[Modality.AUDIO][:, 51:].any()
    clip = moments[Modality.VIDEO][1]
    same = [np.array_equal(clip[n], clip[n + 1]) for n in range(5)]
    assert same == [False, True, False, False, True]


def test_numbers_are_found_by_their_names(root: Path) -> None:
    other = {Modality.VECTOR: VectorSpec(("health",), (0.0,), (1.0,))}
    with pytest.raises(WorldNetError, match=r"no numbers \['health'\], only \['place'\]"):
        load_worldnet(root, specs=other)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["image", "video", "audio"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink], ids=["cut", "flip", "gone"])
def test_a_broken_file_rejects_its_rows_and_cuts_the_sequence(
    root: Path, kind: str, damage: Callable[[Path], None]
) -> None:
    name = getattr(WorldNetFolder.open(root).annotations().transitions[2].state0, kind)
    load_worldnet(root)  # so that a copy of what was read is there
    damage(root / name)
    loaded = load_worldnet(root)
    assert [item.row for item in loaded.rejected] == [1, 2]
    assert all(item.source.endswith("train.json") for item in loaded.rejected)
    assert all(name in item.reason for item in loaded.rejected)
    episodes = loaded.recording.episodes
    assert [len(episode) for episode in episodes] == [1, 1, 4]
    assert [episode.rewards.tolist() for episode in episodes[:2]] == [[0], [3]]
    assert [episode.truncated for episode in episodes] == [True, True, False]
    with pytest.warns(UserWarning, match=r"2 rows of the split 'train' .* row 1: "):
        assert load_recording(root).steps == 6


def test_nothing_left_is_an_error_that_says_why(root: Path) -> None:
    for path in (root / "image" / "test").iterdir():
        path.write_bytes(b"")
    with pytest.raises(WorldNetError, match="the first of 4 rejected rows: image/test/.* no bytes"):
        load_worldnet(root, "test")


def test_what_was_read_is_kept_and_not_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_worldnet(root).recording
    monkeypatch.setattr(fitting, "decode_image", lambda *_: pytest.fail("read again"))
    second = load_worldnet(root).recording
    for one, other in zip(first.episodes, second.episodes, strict=True):
        for modality in small.SPECS:
            assert np.array_equal(one.observations[modality], other.observations[modality])
        assert list(one.present) == list(other.present)
    (kept,) = (root / states.KEPT).iterdir()
    flip(kept)
    with pytest.raises(pytest.fail.Exception, match="read again"):
        load_worldnet(root)


def test_a_copy_that_is_out_of_date_is_made_anew(root: Path) -> None:
    load_worldnet(root)
    load_worldnet(root, "test")
    load_worldnet(root, specs={Modality.IMAGE: ImageSpec(16, 16)})
    names = {path.name for path in (root / states.KEPT).iterdir()}
    assert len(names) == 3
    small.write_small(root, steps=3, overwrite=True)  # the copies go with the old folder
    assert load_worldnet(root).recording.steps == 6
    (first,) = (root / states.KEPT).iterdir()
    image = next((root / "image" / "train").iterdir())
    for time in range(1, states.COPIES + 1):
        os.utime(image, (time, time))
        load_worldnet(root)
        assert len(list((root / states.KEPT).iterdir())) == min(time + 1, states.COPIES)
    assert not first.exists()


def test_a_folder_that_cannot_be_written_is_read_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(states, "write_tensors", full)
    assert load_worldnet(root).recording.steps == 8
    assert not (root / states.KEPT).exists()


def test_a_bare_annotation_file(tmp_path: Path) -> None:
    rows = []
    for number in range(2):
        media.write_image(tmp_path / f"{number}.jpg", np.full((40, 50, 3), 90 * number, np.uint8))
        media.write_audio(tmp_path / f"{number}.wav", np.full((4000, 2), 0.1 * number), 16_000)
    states = [
        {"video": "", "audio": f"{n}.wav", "image": f"{n}.jpg", "text": "A cup"} for n in (0, 1)
    ]
    rows = [
        {"state0": states[0], "state1": states[1], "action": {"text": "adjust the mold"}},
        {"state0": states[1], "state1": {**states[0], "image": "3.jpg"}, "action": {"text": "go"}},
        {"state0": states[1], "state1": {"text": "a CUP"}, "action": {"text": "wait"}},
    ]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    loaded = load_worldnet(tmp_path / "mine.json")
    assert [item.row for item in loaded.rejected] == [1]
    assert "3.jpg: is no file" in loaded.rejected[0].reason
    recording = loaded.recording
    assert list(recording.specs) == [Modality.IMAGE, Modality.AUDIO, Modality.TEXT]
    assert [len(episode) for episode in recording.episodes] == [1, 1]
    last = recording.episodes[1]
    assert last.present[Modality.IMAGE].tolist() == [True, False]
    assert (
        last.observations[Modality.TEXT][0].tolist() == last.observations[Modality.TEXT][1].tolist()
    )
    assert recording.action_spec.vocabulary.decode(recording.episodes[0].actions[0]) == (
        "adjust the mold"
    )
    assert not list(tmp_path.glob(".*"))  # nothing is kept in a folder that is not ours


def test_a_state_that_comes_back_is_read_once(tmp_path: Path, monkeypatch) -> None:
    with WorldNetWriter(tmp_path / "dots", small.DESCRIPTION) as writer:
        writer.add_sequence("train", [small.moment(n) for n in (0, 1)], ["wait"], episode="a")
    folder = WorldNetFolder.open(tmp_path / "dots")
    (row,) = folder.annotations().transitions
    with WorldNetWriter(tmp_path / "back", small.DESCRIPTION) as writer:
        there_and_back = [row, type(row)(row.state1, row.state0, "go left", episode="a", step=1)]
        writer.add_files("train", there_and_back, tmp_path / "dots")
    counted: list[str] = []
    decode = fitting.decode_image
    monkeypatch.setattr(fitting, "decode_image", lambda n, *a: counted.append(n) or decode(n, *a))
    (episode,) = load_worldnet(tmp_path / "back").recording.episodes
    assert len(counted) == 2 and len(episode) == 2
    images = episode.observations[Modality.IMAGE]
    assert np.array_equal(images[0], images[2]) and not np.array_equal(images[0], images[1])


def test_load_recording_opens_both_kinds_of_folder(root: Path, tmp_path: Path) -> None:
    recording = load_worldnet(root, "test").recording
    plain = Recording("dots", recording.specs, recording.action_spec, recording.episodes)
    plain.save(tmp_path / "plain")
    assert is_worldnet(root) and not is_worldnet(tmp_path / "plain")
    assert load_recording(tmp_path / "plain").steps == 4
    assert load_recording([tmp_path / "plain"] * 2).steps == 8
    assert load_recording([root, root]).steps == 16
    assert load_recording(root, "test").steps == 4
    with pytest.raises(RecordingError, match="plain is no WorldNet and the others are"):
        load_recording([root, tmp_path / "plain"])
    other = small.WorldNetDescription("other", small.SPECS, ActionSpec.text(["wait"], 2))
    with WorldNetWriter(tmp_path / "other", other) as writer:
        writer.add_sequence("train", [small.moment(0), small.moment(1)], ["wait"])
    with pytest.raises(RecordingError, match="differ in their shapes or words"):
        load_recording([root, tmp_path / "other"])
