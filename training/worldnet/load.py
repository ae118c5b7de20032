"""From media files to a recording in memory: how training and evaluation read WorldNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worldgpt_env.model.modalities import Modality, ModalitySpec

from ..recording import Paths, Recording
from .annotation import Rejection


@dataclass(frozen=True)
class LoadedWorldNet:
    """One split in memory.

    Attributes:
        recording: its sequences as episodes, with ``present`` and ``scenario``.
        rejected: rows that were left out: annotation, row, reason.
        vectors: precomputed encoder vectors per modality, ``(M, F)`` float32 over all moments of
            all episodes in order, zeros where a modality is missing; ``{}`` unless asked for.
    """

    recording: Recording
    rejected: list[Rejection]
    vectors: dict[Modality, np.ndarray] = field(default_factory=dict)


def load_worldnet(
    root: str | Path,
    split: str = "train",
    specs: Mapping[Modality, ModalitySpec] | None = None,
    scenarios: Sequence[str] | None = None,
    vectors: str | None = None,
) -> LoadedWorldNet:
    """Read one split, its media fitted to ``specs``.

    Args:
        root: a WorldNet folder, or a bare annotation file whose folder holds its media.
        split: ``"train"``, ``"test"``, ``"knowledge"`` or another annotation file's stem.
        specs: the modalities to read and their shapes; default: the folder's own.
        scenarios: only rows of these; default: all.
        vectors: name of an encoder whose precomputed vectors are read too.
    """
    raise NotImplementedError


def load_recording(paths: Paths, split: str = "train") -> Recording:
    """Return what ``paths`` hold: WorldNet folders or dataset folders, not mixed."""
    raise NotImplementedError
