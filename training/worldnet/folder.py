"""A WorldNet folder: description, annotations and media; written as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.modalities import ActionSpec, Modality, ModalitySpec

from .annotation import Annotations, Rejection, WorldNetTransition

DESCRIPTION = "worldnet.json"
REJECTED = "rejected.jsonl"
SPLITS = ("train", "test", "knowledge")


@dataclass(frozen=True)
class WorldNetDescription:
    """What a WorldNet says about itself.

    Attributes:
        name: of the whole.
        specs: shape of each modality that the media are fitted to by default.
        action: a text action with its vocabulary.
        scenarios: the kinds of worlds in it.
        built: how it was made (command, seeds, rates), plain JSON values.
    """

    name: str
    specs: dict[Modality, ModalitySpec]
    action: ActionSpec
    scenarios: tuple[str, ...] = ()
    built: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """One state as arrays, to be written as media; None or "" is missing.

    Attributes:
        image: ``(H, W, 3)`` uint8.
        video: ``(T, H, W, 3)`` uint8, oldest first.
        audio: ``(S, channels)`` float32 in [-1, 1].
        text: in words.
        vector: ``(n,)`` numbers.
    """

    image: np.ndarray | None = None
    video: np.ndarray | None = None
    audio: np.ndarray | None = None
    text: str = ""
    vector: Sequence[float] | np.ndarray = ()


class WorldNetWriter:
    """Fills a draft beside ``root``, which takes its place at :meth:`finish`."""

    def __init__(
        self, root: str | Path, description: WorldNetDescription, *,
        video_rate: float = 16.0, audio_rate: int | None = None, quality: int = 95,
        overwrite: bool = False,
    ) -> None:  # fmt: skip
        """Open the draft; an existing ``root`` is refused unless ``overwrite``."""
        raise NotImplementedError

    def __enter__(self) -> WorldNetWriter:
        """Return the writer; leaving the block by an error removes the draft."""
        raise NotImplementedError

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Finish the folder, or remove the draft after an error."""
        raise NotImplementedError

    def add_sequence(
        self, split: str, moments: Sequence[Moment], actions: Sequence[str], *,
        scenario: str = "", episode: str = "", first_step: int = 0,
        rewards: Sequence[float] | None = None, terminated: bool = False,
    ) -> None:  # fmt: skip
        """Write ``T + 1`` moments and ``T`` actions as ``T`` transitions that share their files."""
        raise NotImplementedError

    def add_files(
        self, split: str, transitions: Iterable[WorldNetTransition], source: str | Path
    ) -> None:
        """Take over transitions whose media lie inside the folder ``source`` (hard links)."""
        raise NotImplementedError

    def reject(self, rejection: Rejection) -> None:
        """Keep a line about what was left out."""
        raise NotImplementedError

    def finish(self) -> WorldNetFolder:
        """Seal the draft and put it in the place of ``root``."""
        raise NotImplementedError


@dataclass(frozen=True)
class WorldNetFolder:
    """An opened folder, or a bare annotation file of the authors.

    Attributes:
        root: what all paths in the annotations are relative to.
        description: None for a bare file.
        splits: the annotation file of each split.
    """

    root: Path
    description: WorldNetDescription | None
    splits: dict[str, Path]

    @classmethod
    def open(cls, root: str | Path) -> WorldNetFolder:
        """Open ``root`` and compare its description and annotations with their hashes."""
        raise NotImplementedError

    def annotations(self, split: str = "train") -> Annotations:
        """Return the transitions of one split, rejected rows beside them."""
        raise NotImplementedError
