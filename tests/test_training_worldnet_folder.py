"""Folders: written as a whole or not at all, sealed by hashes, and every change is noticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_worldnet as small

from worldgpt_env.model.checkpoint import verify
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import ActionSpec, Modality
from worldgpt_env.training.worldnet.format import writer as module
from worldgpt_env.training.worldnet.format.annotation import (
    Rejection,
    StateFiles,
    WorldNetError,
    WorldNetTransition,
)
from worldgpt_env.training.worldnet.format.folder import WorldNetDescription, WorldNetFolder
from worldgpt_env.training.worldnet.format.media import MediaError
from worldgpt_env.training.worldnet.format.writer import WorldNetWriter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small.write_small(tmp_path / "dots")


def test_a_folder_is_what_was_written(root: Path) -> None:
    folder = WorldNetFolder.open(root)
    assert folder.description == small.DESCRIPTION
    assert list(folder.splits) == ["train", "test"]
    assert folder.counts["train"] == {"transitions": 8, "episodes": 2}
    rows = folder.annotations("train").transitions
    assert [row.step for row in rows] == [0, 1, 2, 3] * 2
    assert [row.reward for row in rows[:4]] == [0, 1, 2, 3]
    assert [row.terminated for row in rows] == [False] * 7 + [True]
    assert rows[0].state1 == rows[1].state0 != rows[1].state1
    assert rows[0].state0.vector == (0.0,) and rows[4].state0.vector == ()
    assert len(list((root / "image" / "train").iterdir())) == 10  # five moments a sequence
    verify(root)
    assert [path.name for path in root.parent.iterdir()] == ["dots"]


def test_a_folder_is_never_half_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power"):
        with WorldNetWriter(tmp_path / "dots", small.DESCRIPTION) as writer:
            writer.add_sequence("train", [small.moment(0), small.moment(1)], ["wait"])
            raise RuntimeError("power")
    assert not list(tmp_path.iterdir())
    with pytest.raises(WorldNetError, match="would hold no transition"):
        with WorldNetWriter(tmp_path / "dots", small.DESCRIPTION):
            pass
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("write_image", "write_annotations", "seal"):
        with monkeypatch.context() as patch, pytest.raises(WorldNetError, match="is unchanged"):
            patch.setattr(module, name, full)
            with WorldNetWriter(root, small.DESCRIPTION, overwrite=True) as writer:
                writer.add_sequence("train", [small.moment(0), small.moment(1)], ["wait"])
        verify(root)
    assert [path.name for path in root.parent.iterdir()] == ["dots"]


def test_an_old_folder_is_replaced_only_when_asked(root: Path) -> None:
    with pytest.raises(WorldNetError, match="is there already"):
        WorldNetWriter(root, small.DESCRIPTION)
    small.write_small(root, steps=2, overwrite=True)
    assert WorldNetFolder.open(root).counts["test"]["transitions"] == 2


def test_an_episode_is_in_one_split(tmp_path: Path) -> None:
    moments = [small.moment(0), small.moment(1)]
    with WorldNetWriter(tmp_path / "dots", small.DESCRIPTION) as writer:
        writer.add_sequence("train", moments, ["wait"], scenario="day", episode="one")
        writer.add_sequence("train", moments, ["wait"], scenario="day", episode="one", first_step=9)
        writer.add_sequence("test", moments, ["wait"], scenario="night", episode="one")
        with pytest.raises(WorldNetError, match="'one' of 'day' is in the split 'train' already"):
            writer.add_sequence("test", moments, ["wait"], scenario="day", episode="one")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    two = [small.moment(0), small.moment(1)]
    with WorldNetWriter(tmp_path / "dots", small.DESCRIPTION) as writer:
        writer.add_sequence("train", two, ["wait"])
        for split, moments, actions, reason in (
            ("train", two, ["wait"] * 2, "2 moments, 2 actions"),
            ("train", two[:1], [], "1 moments, 0 actions"),
            ("../out", two, ["wait"], "no plain word"),
            ("manifest", two, ["wait"], "no plain word"),
            ("train", two, ["go left now"], "3 words"),
            ("train", [small.moment(0, text="a b c d"), two[1]], ["wait"], "4 words"),
            ("train", [module.Moment(), two[1]], ["wait"], "moment 0 is empty"),
            ("train", [small.moment(0, vector=(np.inf,)), two[1]], ["wait"], "not finite"),
        ):
            with pytest.raises(ConfigurationError, match=reason):
                writer.add_sequence(split, moments, actions)
    assert len(WorldNetFolder.open(tmp_path / "dots").annotations().transitions) == 1
    with pytest.raises(ConfigurationError, match="discrete actions"):
        WorldNetDescription("x", small.SPECS, ActionSpec("discrete", (3,)))


def test_files_of_another_folder_are_linked_once(root: Path, tmp_path: Path) -> None:
    source = WorldNetFolder.open(root)
    rows = source.annotations("train").transitions
    rows += [
        WorldNetTransition(StateFiles("../secret.jpg"), rows[0].state0, "go", episode="x"),
        WorldNetTransition(StateFiles("none.jpg"), rows[0].state0, "go", episode="x"),
        WorldNetTransition(StateFiles(image=rows[0].state0.audio), rows[0].state0, "go"),
    ]
    with WorldNetWriter(tmp_path / "copy", small.DESCRIPTION) as writer:
        writer.add_files("train", rows, root)
        writer.reject(Rejection("elsewhere", 3, "too short"))
    copy = WorldNetFolder.open(tmp_path / "copy")
    new = copy.annotations("train").transitions
    assert len(new) == 8 and new[0].state1 == new[1].state0
    for kind in ("image", "video", "audio"):
        assert copy.read(getattr(new[3].state0, kind)) == source.read(getattr(rows[3].state0, kind))
        assert len(list((tmp_path / "copy" / kind / "train").iterdir())) == 10
    assert [item.row for item in copy.left_out()] == [8, 9, 10, 3]
    told = " ".join(item.reason for item in copy.left_out())
    assert "leads outside the root" in told and "is no file" in told and "is no image" in told


def changed(path: Path, place: int, change: int) -> None:
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= change
    path.write_bytes(data)


def contents(root: Path) -> dict[str, bytes]:
    """Open a folder and read every file that its annotations name, as loading does."""
    folder = WorldNetFolder.open(root)
    rows = [row for split in folder.splits for row in folder.annotations(split).transitions]
    states = [state for row in rows for state in (row.state0, row.state1)]
    names = {n for s in states for n in (s.image, s.video, s.audio)}
    return {name: folder.read(name) for name in sorted(names)}


def test_any_flipped_bit_and_any_truncation_of_any_file_is_noticed(root: Path) -> None:
    """What a single jpg or wav cannot tell: of 180 changes none is silent in a sealed folder."""
    draw, whole = np.random.default_rng(0), contents(root)
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    assert set(names) == {*whole, "manifest.json", "rejected.jsonl", "worldnet.json"} | {
        f"{split}.json" for split in ("train", "test")
    }
    for number in range(180):
        path = root / names[number % len(names)]
        data = path.read_bytes()
        if number % 3 == 0 or not data:
            path.write_bytes(data[: int(draw.integers(len(data) or 1))] or b"x")
        else:
            changed(path, int(draw.integers(len(data))), 1 << int(draw.integers(8)))
        try:
            found = contents(root)
        except (WorldNetError, MediaError):
            pass
        else:  # such as the name of the manifest's own format, which nothing is read by
            assert path.name == "manifest.json" and found == whole
        path.write_bytes(data)
    assert contents(root) == whole


@pytest.mark.parametrize("kind", ["image", "video", "audio"])
def test_a_changed_media_file_is_refused_when_it_is_read(root: Path, kind: str) -> None:
    folder = WorldNetFolder.open(root)
    name = getattr(folder.annotations().transitions[0].state0, kind)
    changed(root / name, -40, 1)
    with pytest.raises(MediaError, match="not as it was written"):
        folder.read(name)
    (root / "image" / "new.jpg").write_bytes(b"x")
    with pytest.raises(MediaError, match=r"is not in manifest\.json"):
        folder.read("image/new.jpg")


@pytest.mark.parametrize("name", ["train.json", "worldnet.json", "rejected.jsonl"])
def test_a_changed_annotation_or_description_is_refused(root: Path, name: str) -> None:
    with (root / name).open("a") as file:
        file.write(" ")
    with pytest.raises(WorldNetError, match=f"{name} is not as it was written"):
        WorldNetFolder.open(root)


def test_what_is_no_worldnet_says_so(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorldNetError, match="worldgpt worldnet build"):
        WorldNetFolder.open(tmp_path / "empty")
    with pytest.raises(WorldNetError, match=r"no split 'dev'; it has \['train', 'test'\]"):
        WorldNetFolder.open(root).annotations("dev")
    for text in ("{", "[]", '{"format": 1}', '{"format": 9}'):
        (root / "worldnet.json").write_text(text)
        with pytest.raises(WorldNetError):
            WorldNetFolder.open(root)


def test_a_description_cannot_name_annotations_elsewhere(root: Path) -> None:
    (root.parent / "secret.json").write_text("[]")
    told = json.loads((root / "worldnet.json").read_text())
    told["annotations"] = ["../secret.json"]
    (root / "worldnet.json").write_text(json.dumps(told))
    module.seal(root)
    with pytest.raises(WorldNetError, match="leads outside the root"):
        WorldNetFolder.open(root)


def test_bare_annotation_files_and_the_layout_of_the_authors(root: Path, tmp_path: Path) -> None:
    row = WorldNetFolder.open(root).annotations().transitions[0]
    subset = tmp_path / "ag"
    for kind in ("image", "audio"):
        (subset / kind / "Train").mkdir(parents=True)
        ending = {"image": "jpg", "audio": "wav"}[kind]
        for number, state in enumerate((row.state0, row.state1)):
            shutil.copy(
                root / getattr(state, kind), subset / kind / "Train" / f"1_state{number}.{ending}"
            )
    (subset / "state").mkdir()
    states = [
        {"video": "", "audio": f"1_state{n}.wav", "image": f"1_state{n}.jpg", "text": ""}
        for n in (0, 1)
    ]
    rows = [{"state0": states[0], "state1": states[1], "action": {"text": "adjust the mold"}}]
    path = subset / "state" / "action_train.json"
    path.write_text(json.dumps(rows))
    for opened in (WorldNetFolder.open(subset), WorldNetFolder.open(path)):
        assert opened.description is None and list(opened.splits) == ["train"]
        (found,) = opened.annotations("train").transitions
        assert found.state1.image == "image/Train/1_state1.jpg"
        assert opened.read(found.state1.audio) == (root / row.state1.audio).read_bytes()


def test_specs_may_leave_text_and_sound_out(tmp_path: Path) -> None:
    specs = {Modality.IMAGE: small.SPECS[Modality.IMAGE]}
    description = WorldNetDescription("images", specs, small.ACTION)
    moments = [small.moment(n, audio=None, video=None, vector=()) for n in range(2)]
    with WorldNetWriter(tmp_path / "dots", description) as writer:
        writer.add_sequence("train", moments, ["wait"])
        with pytest.raises(ConfigurationError, match="give audio_rate"):
            writer.add_sequence("train", [small.moment(0), small.moment(1)], ["wait"])
    assert WorldNetFolder.open(tmp_path / "dots").annotations().transitions[0].state0.text
