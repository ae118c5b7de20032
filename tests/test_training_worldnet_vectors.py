"""Vectors: the numbers and a header on disk, found again by media path."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import small_worldnet as small

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.training.worldnet.format import vectors as module
from worldgpt_env.training.worldnet.format.annotation import WorldNetError
from worldgpt_env.training.worldnet.format.load import load_worldnet
from worldgpt_env.training.worldnet.format.vectors import (
    VectorStore,
    compute_vectors,
    write_vectors,
)


def mean_colour(images: np.ndarray) -> np.ndarray:
    """Stand for an encoder: ``(B, H, W, 3)`` to ``(B, 4)``."""
    means = images.reshape(len(images), -1, 3).mean(1)
    places = (images[..., 0] > 128).any(1).argmax(1)
    return np.concatenate([means, places[:, None]], 1).astype(np.float32)


def test_a_file_is_its_numbers_and_a_header(tmp_path: Path) -> None:
    """One 768-vector a file took 393 996 bytes in the authors' data: 128 times the numbers."""
    rows = np.random.default_rng(0).normal(size=(128, 768)).astype(np.float32)
    table = {f"image/train/{n:06d}.jpg": rows[n] for n in range(len(rows))}  # views of one array
    (path,) = write_vectors(tmp_path, "train", Modality.IMAGE, "clip", table)
    header = struct.unpack("<Q", path.read_bytes()[:8])[0]
    assert path.stat().st_size == rows.nbytes + 8 + header
    assert header < 128 * 40 + 400
    one = write_vectors(tmp_path, "one", Modality.IMAGE, "clip", dict(list(table.items())[:1]))
    assert one[0].stat().st_size < 768 * 4 + 400
    assert path == tmp_path / "image" / "train_pt" / "clip-00000.safetensors"


def test_many_vectors_fill_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 3)
    table = {f"{n}.wav": np.full(2, n, np.float16) for n in range(8)}
    assert len(write_vectors(tmp_path, "train", Modality.AUDIO, "clap", table)) == 3
    states = [module.StateFiles(audio=f"{n}.wav") for n in (7, 0, 7)] + [
        module.StateFiles(text="x")
    ]
    found = VectorStore(tmp_path, "clap").rows(states, small.SPECS)
    assert found[Modality.AUDIO].tolist() == [[7, 7], [0, 0], [7, 7], [0, 0]]
    assert found[Modality.AUDIO].dtype == np.float32


def test_vectors_lie_beside_the_moments_of_a_recording(tmp_path: Path) -> None:
    root = small.write_small(tmp_path / "dots")
    spec = small.SPECS[Modality.IMAGE]
    assert not compute_vectors(root, "train", Modality.IMAGE, spec, "colour", mean_colour, chunk=3)
    loaded = load_worldnet(root, vectors="colour")
    images = [e.observations[Modality.IMAGE] for e in loaded.recording.episodes]
    wanted = mean_colour(np.concatenate(images))
    assert np.array_equal(loaded.vectors[Modality.IMAGE], wanted)
    assert list(loaded.vectors) == [Modality.IMAGE]
    with pytest.raises(WorldNetError, match="has no vector of 'colour'"):
        load_worldnet(root, "test", vectors="colour")
    with pytest.raises(WorldNetError, match="no vectors of 'colou'"):
        load_worldnet(root, vectors="colou")


def test_a_broken_file_is_left_out_of_the_vectors(tmp_path: Path) -> None:
    root = small.write_small(tmp_path / "dots")
    (root / "image" / "train" / "000000-0002.jpg").write_bytes(b"")
    spec = small.SPECS[Modality.IMAGE]
    (rejected,) = compute_vectors(root, "train", Modality.IMAGE, spec, "colour", mean_colour)
    assert "000000-0002.jpg: has no bytes" in rejected.reason
    assert len(load_worldnet(root, vectors="colour").vectors[Modality.IMAGE]) == 2 + 2 + 5


def test_a_damaged_file_of_vectors_is_refused(tmp_path: Path) -> None:
    table = {"a.jpg": np.ones(4, np.float32)}
    (path,) = write_vectors(tmp_path, "train", Modality.IMAGE, "clip", table)
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        data = bytearray(whole)
        data[place] ^= 4
        path.write_bytes(data)
        try:
            found = VectorStore(tmp_path, "clip").rows([module.StateFiles("a.jpg")], small.SPECS)
        except WorldNetError:
            continue
        assert found[Modality.IMAGE].tolist() == [[1, 1, 1, 1]]
    path.write_bytes(whole[:-3])
    with pytest.raises(WorldNetError, match="Compute it again"):
        VectorStore(tmp_path, "clip")


def test_names_and_shapes_that_do_not_fit(tmp_path: Path) -> None:
    good = {"a.jpg": np.ones(4, np.float32)}
    for name in ("../clip", "", ".clip", "a/b"):
        with pytest.raises(ConfigurationError, match="no plain name"):
            write_vectors(tmp_path, "train", Modality.IMAGE, name, good)
        with pytest.raises(ConfigurationError, match="no plain name"):
            VectorStore(tmp_path, name)
    for vectors in (
        {},
        good | {"b.jpg": np.ones(3, np.float32)},
        {"a": np.ones((2, 2), np.float32)},
    ):
        with pytest.raises(ConfigurationError, match="give one float32 or float16 vector"):
            write_vectors(tmp_path, "train", Modality.IMAGE, "clip", vectors)
    assert not list(tmp_path.iterdir())


def test_the_metadata_is_plain_json(tmp_path: Path) -> None:
    table = {"a.jpg": np.ones(4, np.float32)}
    (path,) = write_vectors(tmp_path, "train", Modality.IMAGE, "clip", table)
    size = struct.unpack("<Q", path.read_bytes()[:8])[0]
    told = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    told = json.loads(told["worldgpt"])
    assert told["encoder"] == "clip" and json.loads(told["files"]) == ["a.jpg"]
