"""Part files: one finished episode each, of a recording that is still being made."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.modalities import Modality

from .episode import Episode, RecordingError

MANY = 64  # files; from here on one sync of all disks is faster than one per file
OWN = ("actions", "rewards", "flags", "seed")
RECORDING = "recording"


class DamagedPartError(RecordingError):
    """A part file is missing, or not what was written."""


@dataclass(frozen=True)
class Part:
    """What a part file holds.

    Attributes:
        episode: as it was recorded; no check has seen it.
        recording: identity of the recording that it is part of; "" in files of older versions.
    """

    episode: Episode
    recording: str


def write_part(path: Path, part: Part) -> None:
    """Write ``part`` to ``path``, which appears in one step; :func:`flush` makes it durable.

    Raises:
        OSError: the disk is full or not writable; nothing new is at ``path``.
    """
    episode, draft = part.episode, path.with_suffix(".draft")
    arrays: dict[str, Any] = {
        RECORDING: np.frombuffer(part.recording.encode(), np.uint8),
        "seed": np.int64(episode.seed),
        "actions": episode.actions,
        "rewards": episode.rewards,
        **{str(modality): array for modality, array in episode.observations.items()},
        # Last: a damaged list of contents loses its end first, and this is always looked for.
        "flags": np.array([episode.terminated, episode.truncated]),
    }
    try:
        with draft.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)  # Ctrl-C in the middle of a file leaves nothing of it


def read_part(path: Path, known: bool = False) -> Part:
    """Return the part in ``path``, all of it compared with its checksums.

    Args:
        path: of the file.
        known: this process has written or read it: it need not be compared before it is read.

    Raises:
        DamagedPartError: the file is missing or damaged.
        RecordingError: it may not be read.
    """
    try:
        if not known:
            _compare(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("a part of it is no array")
        return _to_part(arrays)
    except FileNotFoundError as error:
        raise DamagedPartError(f"{path} is missing") from error
    except (PermissionError, IsADirectoryError) as error:
        raise RecordingError(
            f"{path} cannot be read: {error.strerror}. Mend that, or move it away, and repeat the "
            "command."
        ) from error
    except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
        raise DamagedPartError(f"{path} is damaged ({error or type(error).__name__})") from error


def _compare(path: Path) -> None:
    """Refuse a file with a wrong checksum, before numpy believes a size that is written in it."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise ValueError(f"the checksum of its part {broken} is wrong")


def flush(paths: Iterable[Path]) -> None:
    """Make files, and their names in their folders, survive a power cut."""
    files = list(paths)
    if len(files) > MANY:
        os.sync()
        return
    for path in [*files, *{path.parent for path in files}]:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _to_part(arrays: dict[str, np.ndarray]) -> Part:
    actions, rewards, flags, seed = (arrays.pop(name) for name in OWN)
    recording = arrays.pop(RECORDING, np.zeros(0, np.uint8))
    terminated, truncated = flags.tolist()
    observations = {Modality(name): array for name, array in arrays.items()}
    episode = Episode(observations, actions, rewards, terminated, truncated, int(seed))
    return Part(episode, recording.tobytes().decode())
