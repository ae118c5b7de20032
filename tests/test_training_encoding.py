"""Encoding: once per time step, in the order of the recording, kept beside it, read from disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_world import TinyWorld, build_model

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.codecs import Codec
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.training import dataset, stored_observations
from worldgpt_env.training import recording as recordings
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.encoding import encode_part, encode_recording
from worldgpt_env.training.recording import Recording
from worldgpt_env.worlds import register_world


@pytest.fixture(scope="module")
def model() -> WorldGPT:
    return build_model()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    register_world(TinyWorld)
    collect(CollectConfig("tiny", 60, str(tmp_path / "recording")))
    return tmp_path / "recording"


def same(one: TransitionStore, other: TransitionStore) -> bool:
    """Return whether two stores hold the same bits under the same names."""
    parts, others = one.tensors(), other.tensors()
    return parts.keys() == others.keys() and all(
        torch.equal(part.nan_to_num(7.0), others[name].nan_to_num(7.0))
        for name, part in parts.items()
    )


def encoded_frames(monkeypatch: pytest.MonkeyPatch, model: WorldGPT) -> list[int]:
    """Return a list that grows by the number of images of each call of the image codec."""
    seen: list[int] = []
    codec = model.codec(Modality.IMAGE)
    encode = type(codec).encode

    def counted(self: Codec, raw: torch.Tensor) -> torch.Tensor:
        seen.append(len(raw))
        return encode(self, raw)  # type: ignore[no-any-return]

    monkeypatch.setattr(type(codec), "encode", counted)
    return seen


def test_a_store_holds_what_happened(model: WorldGPT, folder: Path) -> None:
    recording = Recording.load(folder)
    store = encode_recording(model.processor, recording)
    row = 0
    for number, episode in enumerate(recording.episodes):
        rows = torch.arange(row, row + len(episode) + 1)
        raw: Mapping[Modality, np.ndarray] = episode.observations
        state = model.encode(dict(raw))
        for modality in model.specs:
            assert torch.equal(store.states(rows)[modality], state[modality]), modality
        assert (store.episode[rows] == number).all() and store.first[number] == row
        assert torch.equal(store.step[rows], torch.arange(len(episode) + 1))
        assert np.array_equal(store.action[rows[:-1]], episode.actions)
        assert np.array_equal(store.reward[rows[:-1]], episode.rewards)
        ends = store.terminated[rows[:-1]]
        assert float(ends.sum()) == float(episode.terminated) == float(ends[-1])
        row += len(episode) + 1
    assert len(store) == row and len(store.begins) == recording.steps


def test_every_time_step_is_encoded_once_and_then_read(
    model: WorldGPT, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording.load(folder)
    seen = encoded_frames(monkeypatch, model)
    first = encode_recording(model.processor, recording)
    assert sum(seen) == recording.steps + len(recording.episodes)
    again = encode_recording(model.processor, Recording.load(folder))
    assert sum(seen) == recording.steps + len(recording.episodes), "the second run reads the disk"
    assert same(first, again)
    learned, held_out = recording.split(0.3, seed=1)
    for part in (learned, held_out):
        chosen = encode_part(model.processor, first, recording, part)
        assert same(chosen, TransitionStore.encode(model.processor, part.episodes))


def test_other_codecs_and_damage_are_encoded_anew(model: WorldGPT, folder: Path) -> None:
    recording = Recording.load(folder)
    store = encode_recording(model.processor, recording)
    other = build_model()
    with torch.no_grad():
        for parameter in other.processor.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
    encode_recording(other.processor, recording)
    files = sorted((folder / "encoded").iterdir())
    assert len(files) == 2
    for file in files:
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(bytes(data))
    assert same(encode_recording(model.processor, recording), store)


def test_a_large_recording_stays_on_disk(
    model: WorldGPT, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Recording.load(folder)
    monkeypatch.setattr(dataset, "IN_MEMORY", 1)
    large = Recording.load(folder)
    kinds = {type(episode.observations) for episode in large.episodes}
    assert kinds == {stored_observations.StoredObservations}
    stores = [TransitionStore.encode(model.processor, r.episodes) for r in (whole, large)]
    assert same(*stores)
    monkeypatch.setattr(recordings, "SAMPLE", 40_000)
    some = large.in_memory(seed=0)
    assert 0 < len(some.episodes) < len(large.episodes)
    assert sum(episode.nbytes for episode in some.episodes) < 40_000
    assert whole.in_memory() is whole


def test_joined_stores_are_numbered_anew(model: WorldGPT, folder: Path) -> None:
    recording = Recording.load(folder)
    store = encode_recording(model.processor, recording)
    count = len(recording.episodes)
    two = TransitionStore.join([store, store])
    assert same(two.episodes(range(count)), store)
    assert same(two.episodes(range(count, 2 * count)), store)
    assert len(two.first) == 2 * count and len(two.begins) == 2 * recording.steps
