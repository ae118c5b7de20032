"""Recordings on disk: the arrays of a Minari dataset (HDF5), written and read."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

from worldgpt_env.model.errors import WorldGPTError
from worldgpt_env.model.modalities import Modality, ModalitySpec
from worldgpt_env.model.safe_io import atomic_folder
from worldgpt_env.model.safe_json import one_line
from worldgpt_env.spaces import action_space, decoded_space

from .data_checks import EpisodeCheck
from .dataset_description import (
    DATA,
    METADATA,
    SUM,
    Description,
    check_sum,
    read_description,
    read_metadata,
    seal,
)
from .episode import Episode, RecordingError
from .stored_observations import IN_MEMORY, StoredObservations

__all__ = [
    "DATA",
    "METADATA",
    "Description",
    "Episode",
    "RecordingError",
    "check_dataset",
    "read_description",
    "read_episodes",
    "write_dataset",
]

MOST_PACKED = 1100  # times that gzip makes bytes fewer, at most
PRESENT = "infos/present"  # in the group of an episode, a mask per modality that is partly absent


def write_dataset(
    folder: Path, description: Description, episodes: Iterable[Episode], size: int
) -> None:
    """Write ``episodes`` as a Minari dataset into ``folder/data``, which appears in one step.

    Args:
        folder: what the user named; ``minari.MinariDataset(folder / "data")`` opens it too.
        description: goes into the metadata.
        episodes: read one at a time, so that they need not fit in memory; they have passed
            :class:`EpisodeCheck`.
        size: how many bytes they have.

    Raises:
        WriteError: the disk is full or not writable; ``folder/data`` is as it was.
    """
    namespace = re.sub(r"[^\w-]", "-", description.world)  # "gym:CartPole-v1" is none
    identity = f"{namespace}/recording-v0"
    with atomic_folder(folder / "data") as draft:
        _check_room(draft, 2 * size + 2**20)  # as Minari writes them, and packed
        scenarios: list[str] = []
        with _minari_root(draft), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Minari misses an author and a permalink
            dataset = minari.create_dataset_from_buffers(
                identity,
                (_to_buffer(episode, scenarios) for episode in episodes),
                action_space=action_space(description.action_spec),
                observation_space=decoded_space(description.specs),
                algorithm_name=str(description.settings.get("policy", "unknown")),
                description=f"A recording of the world {description.world}.",
                data_format="hdf5",
                jpeg_encoding=False,  # the default loses pixels
            )
        written = draft / identity / "data"
        _compress(written / DATA, scenarios)
        dataset.storage.update_metadata({"worldgpt": description.to_json()})
        seal(written)
        for name in (DATA, METADATA):
            os.replace(written / name, draft / name)
        shutil.rmtree(draft / namespace)


def read_episodes(folder: str | Path) -> list[Episode]:
    """Return all episodes of the dataset in ``folder``; they are views of one array per key.

    Raises:
        RecordingError: the dataset is missing, foreign, empty, truncated or was changed, or an
            episode does not fit the specs, whoever wrote it.
    """
    folder = Path(folder)
    metadata, description = read_metadata(folder)
    path = folder / "data" / DATA
    check_sum(path, metadata)
    try:
        with h5py.File(path, "r") as file:
            groups = [file[f"episode_{number}"] for number in range(metadata["total_episodes"])]
            lengths = [int(group.attrs["total_steps"]) for group in groups]
            if not lengths or sum(lengths) != metadata["total_steps"]:
                raise RecordingError(f"{folder} holds no episode; record it again.")
            stored = _observed_bytes(description.specs, lengths) > IN_MEMORY
            columns = {
                key: _read_column(groups, key, [n + extra for n in lengths])
                for key, extra in _columns({} if stored else description.specs)
            }
            told = [
                _read_rest(group, length) for group, length in zip(groups, lengths, strict=True)
            ]
    except WorldGPTError:
        raise
    except Exception as error:  # h5py raises a dozen kinds for damaged bytes
        raise RecordingError(
            f"{path} is truncated or damaged ({one_line(error)}); record it again with worldgpt "
            "collect."
        ) from error
    check = EpisodeCheck(description.specs, description.action_spec)
    observations: Iterable[Mapping[Modality, np.ndarray]]
    if stored:
        observations = (
            StoredObservations(path, f"episode_{number}", description.specs, length)
            for number, length in enumerate(lengths)
        )
    else:
        observations = _cut_observations(columns, description.specs, lengths)
    episodes = zip(observations, _cut(columns, lengths, told), strict=True)
    return [
        check(
            dataclasses.replace(episode, observations=observed, source=(folder.resolve(), number)),
            f"{folder}, episode {number} of world {description.world!r}",
        )
        for number, (observed, episode) in enumerate(episodes)
    ]


def _observed_bytes(specs: Mapping[Modality, ModalitySpec], lengths: Sequence[int]) -> int:
    """Return how many bytes the observations of episodes of ``lengths`` have."""
    each = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs.values())
    return each * (sum(lengths) + len(lengths))


def check_dataset(folder: Path) -> Description:
    """Return the description of the dataset in ``folder`` if all of it is as it was written.

    Raises:
        RecordingError: it is missing, foreign, truncated, damaged or was changed.
    """
    metadata, description = read_metadata(folder)
    if SUM in metadata:
        check_sum(folder / "data" / DATA, metadata)
    else:
        read_episodes(folder)
    return description


def _check_room(folder: Path, size: int) -> None:
    """Raise OSError unless ``size`` bytes fit on the disk: HDF5 crashes the process otherwise."""
    room = folder / "room"
    try:
        with room.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    finally:
        room.unlink(missing_ok=True)


def _compress(path: Path, scenarios: list[str]) -> None:
    """Pack the arrays of an HDF5 file without loss: a recording shrinks by a factor of 3 to 40.

    Where an episode has a scenario, it becomes an attribute of its group.
    """
    packed = path.with_suffix(".packed")
    with h5py.File(path) as source, h5py.File(packed, "w", track_order=True) as target:
        for number, scenario in enumerate(scenarios):
            group = source[f"episode_{number}"]
            episode = target.create_group(f"episode_{number}")
            episode.attrs.update(group.attrs)
            if scenario:
                episode.attrs["scenario"] = scenario
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
    for group, count in zip(groups, rows, strict=True):
        part = group[key]
        if (part.shape, part.dtype) != ((count, *first.shape[1:]), first.dtype):
            raise RecordingError(
                f"{part.name} has shape {part.shape} and dtype {part.dtype} instead of "
                f"{(count, *first.shape[1:])} {first.dtype}: the dataset is damaged; record it "
                "again."
            )
        if part.nbytes > MOST_PACKED * part.id.get_storage_size() + 2**16:
            raise RecordingError(
                f"{part.name} claims {part.nbytes} bytes and holds "
                f"{part.id.get_storage_size()}: the dataset is damaged; record it again."
            )
    column = np.empty((sum(rows), *first.shape[1:]), first.dtype)
    start = 0
    for group, count in zip(groups, rows, strict=True):
        group[key].read_direct(column, dest_sel=np.s_[start : start + count])
        start += count
    return column


@dataclass(frozen=True)
class _Rest:
    """What an episode has beside its columns: seed, scenario, and where modalities are present."""

    seed: int
    scenario: str
    present: dict[Modality, np.ndarray]


def _read_rest(group: h5py.Group, steps: int) -> _Rest:
    """Read the attributes of an episode, and the masks of its modalities."""
    masks = group[PRESENT] if PRESENT in group else {}
    return _Rest(
        int(group.attrs["seed"]),
        str(group.attrs.get("scenario", "")),
        {Modality(key): mask[()] for key, mask in masks.items()},
    )


def _cut_observations(
    columns: Mapping[str, np.ndarray],
    specs: Mapping[Modality, ModalitySpec],
    lengths: list[int],
) -> Iterator[dict[Modality, np.ndarray]]:
    """Cut the observations at the episode borders; nothing is copied."""
    first = 0
    for length in lengths:
        rows = slice(first, first + length + 1)
        yield {modality: columns[f"observations/{modality}"][rows] for modality in specs}
        first += length + 1


def _cut(
    columns: Mapping[str, np.ndarray], lengths: list[int], told: list[_Rest]
) -> Iterator[Episode]:
    """Cut the other columns at the episode borders; nothing is copied."""
    rewards = _float32(columns["rewards"])
    start = 0
    for length, rest in zip(lengths, told, strict=True):
        steps = slice(start, start + length)
        terminated, truncated = (
            _end(columns[name][steps], name) for name in ("terminations", "truncations")
        )
        yield Episode(
            {},
            columns["actions"][steps],
            rewards[steps],
            terminated,
            truncated or not terminated,  # it just stops: the end of the recording cut it
            rest.seed,
            rest.present,
            rest.scenario,
        )
        start += length


def _float32(rewards: np.ndarray) -> np.ndarray:
    """Return rewards as float32; format 1 kept those of other dtypes, too."""
    if rewards.dtype.kind not in "fiu":
        return rewards  # the check refuses them
    with np.errstate(over="ignore"):  # the check refuses infinity
        return rewards.astype(np.float32, copy=False)


def _end(flags: np.ndarray, name: str) -> bool:
    """Return the last of ``flags``; only there may an episode end."""
    if flags.shape != (len(flags),) or flags.dtype != np.bool_ or flags[:-1].any():
        raise RecordingError(
            f"the {name} of an episode do not say that it ends with its last step alone: the "
            "dataset is damaged; record it again."
        )
    return bool(flags[-1])


def _to_buffer(episode: Episode, scenarios: list[str]) -> EpisodeBuffer:
    """Return ``episode`` as Minari wants it, end flags per step; note its scenario."""
    scenarios.append(episode.scenario)
    last = np.zeros(len(episode), bool)
    last[-1] = True
    kind, name = PRESENT.split("/")
    masks = {str(key): there for key, there in episode.present.items()}
    return EpisodeBuffer(
        seed=episode.seed,
        observations={str(key): value for key, value in episode.observations.items()},
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=last & episode.terminated,
        truncations=last & episode.truncated,
        **{kind: {name: masks} if masks else None},
    )


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
