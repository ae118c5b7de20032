"""StoredObservations: the observations of an episode that stay on disk until they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from worldgpt_env.model.modalities import Modality, ModalitySpec

from .episode import RecordingError

IN_MEMORY = 2**30
"""Bytes of raw observations above which a recording is read from disk episode by episode."""

SAMPLE = 2**28
"""Bytes of raw observations of such a recording that codecs are trained on."""


class StoredObservations(Mapping[Modality, np.ndarray]):
    """Per modality ``(T + 1, *spec.shape)``, read from an HDF5 file each time it is asked for.

    Args:
        path: of the HDF5 file.
        group: of the episode.
        specs: shape and dtype of each modality.
        steps: T.
    """

    def __init__(
        self, path: Path, group: str, specs: Mapping[Modality, ModalitySpec], steps: int
    ) -> None:
        """Read nothing yet."""
        self.path, self.group, self.specs, self.steps = path, group, specs, steps
        self._version = path.stat().st_mtime_ns

    def __getitem__(self, modality: Modality) -> np.ndarray:
        """Read one modality.

        Raises:
            RecordingError: the file is damaged, or was changed since it was opened.
        """
        spec = self.specs[modality]
        try:
            part: np.ndarray = _open(self.path, self._version)[
                f"{self.group}/observations/{modality}"
            ][()]
        except (OSError, LookupError, ValueError, RuntimeError) as error:
            raise RecordingError(
                f"{self.path} is truncated or damaged ({error}); record it again with "
                "worldgpt collect."
            ) from error
        if part.shape != (self.steps + 1, *spec.shape) or part.dtype != spec.dtype:
            raise RecordingError(
                f"{self.path} holds {modality} as {part.shape} {part.dtype} instead of "
                f"{(self.steps + 1, *spec.shape)} {spec.dtype}; record it again."
            )
        return part

    def __iter__(self) -> Iterator[Modality]:
        """Return the modalities."""
        return iter(self.specs)

    def __len__(self) -> int:
        """Return the number of modalities."""
        return len(self.specs)


@lru_cache(maxsize=8)
def _open(path: Path, version: int) -> h5py.File:
    """Return the open file; to open it for every episode would take longer than to read one.

    A file that was replaced has another ``version`` and is opened anew.
    """
    return h5py.File(path, "r")
