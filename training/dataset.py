"""Recordings on disk: a Minari dataset (HDF5) with the specs of the world in its metadata."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

from worldgpt_env.model.errors import WorldGPTError
from worldgpt_env.model.modalities import (
    ActionSpec,
    Modality,
    ModalitySpec,
    specs_from_json,
    specs_to_json,
)
from worldgpt_env.spaces import action_space, decoded_space

METADATA = "metadata.json"
DATA = "main_data.hdf5"
FORMAT = 1


class RecordingError(WorldGPTError, ValueError):
    """A recording is missing, empty, truncated, foreign, or does not fit the others."""


@dataclass
class Episode:
    """One episode of a real world, ``T`` steps.

    Attributes:
        observations: per modality ``(T + 1, *shape)``: the first moment, then one after each step.
        actions: ``(T,)`` int64 for discrete actions, ``(T, n)`` otherwise.
        rewards: ``(T,)`` float32; ``rewards[t]`` follows ``actions[t]``.
        terminated: the world ended after the last action.
        truncated: the episode was cut there by a time limit, or by the end of the recording.
        seed: what the world was reset with.
        present: per modality ``(T + 1,)`` bool, which moments have it; a modality that is not
            named here is there in all of them. What is absent holds zeros that nothing reads.
        scenario: what kind of episode it is, such as the game; "" if there is one kind.
    """

    observations: dict[Modality, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    truncated: bool
    seed: int
    present: dict[Modality, np.ndarray] = field(default_factory=dict)
    scenario: str = ""

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.actions)

    def first(self, steps: int) -> Episode:
        """Return the first ``steps`` of it, or all if it has no more."""
        if steps >= len(self):
            return self
        return Episode(
            {m: observed[: steps + 1] for m, observed in self.observations.items()},
            self.actions[:steps],
            self.rewards[:steps],
            terminated=False,
            truncated=True,
            seed=self.seed,
            present={m: there[: steps + 1] for m, there in self.present.items()},
            scenario=self.scenario,
        )


@dataclass(frozen=True)
class Description:
    """What a dataset says about itself.

    Attributes:
        world: name of the recorded world.
        specs: shape of each modality.
        action_spec: what an agent may do.
        settings: how it was collected (policy, seed, ...), plain JSON values.
    """

    world: str
    specs: dict[Modality, ModalitySpec]
    action_spec: ActionSpec
    settings: dict[str, Any]

    @property
    def world_options(self) -> dict[str, Any]:
        """Keyword arguments of ``make_world`` with which the world was recorded."""
        return dict(self.settings.get("world_options", {}))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "format": FORMAT,
            "world": self.world,
            "specs": specs_to_json(self.specs),
            "action_spec": dataclasses.asdict(self.action_spec),
            "settings": self.settings,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Description:
        """Return the description written by :meth:`to_json`."""
        if data["format"] != FORMAT:
            raise RecordingError(
                f"the dataset has the format {data['format']!r} and this version reads {FORMAT}; "
                "open it with the version that wrote it."
            )
        return cls(
            data["world"],
            specs_from_json(data["specs"]),
            ActionSpec(**data["action_spec"]),
            data["settings"],
        )


def write_dataset(
    folder: Path, description: Description, episodes: Iterable[Episode], size: int
) -> None:
    """Write ``episodes`` as a Minari dataset into ``folder/data``, which appears in one step.

    Args:
        folder: what the user named; ``minari.MinariDataset(folder / "data")`` opens it too.
        description: goes into the metadata.
        episodes: read one at a time, so that they need not fit in memory.
        size: how many bytes they have.

    Raises:
        OSError: the disk is full or not writable; ``folder/data`` is then not there.
    """
    folder = folder.resolve()  # Minari joins paths twice when they are relative
    draft = folder / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    identity = f"{description.world}/recording-v0"
    try:
        draft.mkdir(parents=True)
        _check_room(draft, 2 * size + 2**20)  # as Minari writes them, and packed
        with _minari_root(draft), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Minari misses an author and a permalink
            dataset = minari.create_dataset_from_buffers(
                identity,
                (_to_buffer(episode) for episode in episodes),
                action_space=action_space(description.action_spec),
                observation_space=decoded_space(description.specs),
                algorithm_name=str(description.settings.get("policy", "unknown")),
                description=f"A recording of the world {description.world}.",
                data_format="hdf5",
                jpeg_encoding=False,  # the default loses pixels
            )
            dataset.storage.update_metadata({"worldgpt": description.to_json()})
        _compress(draft / identity / "data" / DATA)
        os.replace(draft / identity / "data", folder / "data")
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_description(folder: str | Path) -> Description:
    """Return what the dataset in ``folder`` says about itself.

    Raises:
        RecordingError: there is no dataset, or not one of ours.
    """
    return Description.from_json(_read_metadata(Path(folder))["worldgpt"])


def read_episodes(folder: str | Path) -> list[Episode]:
    """Return all episodes of the dataset in ``folder``; they are views of one array per key.

    Raises:
        RecordingError: the dataset is missing, foreign, empty or truncated.
    """
    folder = Path(folder)
    metadata = _read_metadata(folder)
    description = Description.from_json(metadata["worldgpt"])
    path = folder / "data" / DATA
    try:
        with h5py.File(path, "r") as file:
            groups = [file[f"episode_{number}"] for number in range(metadata["total_episodes"])]
            lengths = [int(group.attrs["total_steps"]) for group in groups]
            if not lengths or sum(lengths) != metadata["total_steps"]:
                raise RecordingError(f"{folder} holds no episode; record it again.")
            columns = {
                key: _read_column(groups, key, [n + extra for n in lengths])
                for key, extra in _columns(description.specs)
            }
            seeds = [int(group.attrs["seed"]) for group in groups]
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(
            f"{path} is truncated or damaged ({error}); record it again with worldgpt collect."
        ) from error
    return list(_cut(columns, description.specs, lengths, seeds))


def _check_room(folder: Path, size: int) -> None:
    """Raise OSError unless ``size`` bytes fit on the disk: HDF5 crashes the process otherwise."""
    room = folder / "room"
    try:
        with room.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    finally:
        room.unlink(missing_ok=True)


def _compress(path: Path) -> None:
    """Pack the arrays of an HDF5 file without loss: a recording shrinks by a factor of 3 to 40."""
    packed = path.with_suffix(".packed")
    with h5py.File(path) as source, h5py.File(packed, "w", track_order=True) as target:
        for name, group in source.items():
            episode = target.create_group(name)
            episode.attrs.update(group.attrs)
            group.visititems(lambda key, item, to=episode: _pack(to, key, item))
    os.replace(packed, path)


def _pack(episode: h5py.Group, key: str, item: h5py.Group | h5py.Dataset) -> None:
    """Copy one array into ``episode``; observations are read in blocks of 32 moments."""
    if isinstance(item, h5py.Dataset):
        values = item[()]
        chunks = (min(32, len(values)), *values.shape[1:])
        episode.create_dataset(
            key, data=values, chunks=chunks, compression="gzip", compression_opts=1
        )


def _columns(specs: Mapping[Modality, ModalitySpec]) -> list[tuple[str, int]]:
    """Return each HDF5 key, with how many rows more than steps it has in an episode."""
    observations = [(f"observations/{modality}", 1) for modality in specs]
    return [*observations, *((k, 0) for k in ("actions", "rewards", "terminations", "truncations"))]


def _read_column(groups: list[h5py.Group], key: str, rows: list[int]) -> np.ndarray:
    """Read ``key`` of all episodes into one array, ``(sum(rows), ...)``."""
    first = groups[0][key]
    column = np.empty((sum(rows), *first.shape[1:]), first.dtype)
    start = 0
    for group, count in zip(groups, rows, strict=True):
        dataset = group[key]
        if dataset.shape != (count, *first.shape[1:]):
            raise RecordingError(
                f"{dataset.name} has the shape {dataset.shape} instead of "
                f"{(count, *first.shape[1:])}: the dataset is damaged; record it again."
            )
        dataset.read_direct(column, dest_sel=np.s_[start : start + count])
        start += count
    return column


def _cut(
    columns: Mapping[str, np.ndarray],
    specs: Mapping[Modality, ModalitySpec],
    lengths: list[int],
    seeds: list[int],
) -> Iterator[Episode]:
    """Cut the columns at the episode borders; nothing is copied."""
    start, first = 0, 0  # of the steps, of the observations
    for length, seed in zip(lengths, seeds, strict=True):
        steps, moments = slice(start, start + length), slice(first, first + length + 1)
        yield Episode(
            {modality: columns[f"observations/{modality}"][moments] for modality in specs},
            columns["actions"][steps],
            columns["rewards"][steps].astype(np.float32),
            bool(columns["terminations"][steps][-1]),
            bool(columns["truncations"][steps][-1]),
            seed,
        )
        start, first = start + length, first + length + 1


def _to_buffer(episode: Episode) -> EpisodeBuffer:
    """Return ``episode`` as Minari wants it: end flags per step."""
    last = np.zeros(len(episode), bool)
    last[-1] = True
    return EpisodeBuffer(
        seed=episode.seed,
        observations={str(key): value for key, value in episode.observations.items()},
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=last & episode.terminated,
        truncations=last & episode.truncated,
    )


def _read_metadata(folder: Path) -> dict[str, Any]:
    """Return Minari's metadata of ``folder``, with our part in it."""
    path = folder / "data" / METADATA
    if not path.is_file():
        if (folder / "collect.json").is_file():
            raise RecordingError(
                f"the recording {folder} is not complete; go on with the worldgpt collect command "
                "that began it."
            )
        raise RecordingError(
            f"there is no recording in {folder}; "
            f"make one with: worldgpt collect --world NAME --steps N --out {folder}"
        )
    try:
        metadata = json.loads(path.read_text())
    except ValueError as error:
        raise RecordingError(f"{path} is truncated or damaged; record it again.") from error
    if "worldgpt" not in metadata:
        raise RecordingError(
            f"{folder} is a Minari dataset that worldgpt collect did not make: it lacks the specs "
            "of its modalities. Record the world with worldgpt collect."
        )
    return metadata


@contextmanager
def _minari_root(folder: Path) -> Iterator[None]:
    """Let Minari write into ``folder`` instead of the user's home."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before
