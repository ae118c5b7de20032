"""A WorldNet folder, or a bare annotation file: opened, and compared with its hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from worldgpt_env.model.checkpoint import MANIFEST, digest
from worldgpt_env.model.safe_json import Fields, one_line, parse_json, shorten

from .annotation import (
    MEDIA,
    Annotations,
    Rejection,
    WorldNetError,
    WorldNetTransition,
    read_annotations,
)
from .description import DESCRIPTION, REJECTED, SPLITS, WorldNetDescription, read_json
from .gate import LIMITS, MediaError, MediaLimits, read_bytes
from .writer import MediaSettings, Moment, WorldNetWriter

__all__ = [
    "SPLITS",
    "MediaSettings",
    "Moment",
    "WorldNetDescription",
    "WorldNetFolder",
    "WorldNetWriter",
]


@dataclass(frozen=True)
class WorldNetFolder:
    """An opened folder; ``description`` and ``entries`` are empty for files that are not ours.

    Attributes:
        root: what all paths in the annotations are relative to.
        description: None for a bare file or a folder without ``worldnet.json``.
        splits: the annotation file of each split.
        counts: figures of each split, as they were written.
        entries: the size and sha256 of every file, by its name relative to the root.
        prefixes: what stands before the names in the annotations, by kind of media: the authors'
            layout is ``ROOT/image/Train/NAME`` with annotations in ``ROOT/state/``.
    """

    root: Path
    description: WorldNetDescription | None
    splits: dict[str, Path]
    counts: Mapping[str, Any] = field(default_factory=dict)
    entries: Mapping[str, tuple[int, str]] = field(default_factory=dict, repr=False)
    prefixes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, root: str | Path) -> WorldNetFolder:
        """Open ``root`` and compare its description and annotations with their hashes.

        Media are compared one by one when they are read.

        Raises:
            WorldNetError: there is nothing, or not what was written.
        """
        root = Path(root)
        if root.is_file() and root.name != DESCRIPTION:
            name = _split_name(root)
            splits = {name if name in SPLITS else "train": root}
            folder = next((f for f in root.absolute().parents[:2] if _has_media(f)), root.parent)
            return cls(folder, None, splits, prefixes=_prefixes(folder))
        folder = root.parent if root.is_file() else root
        if not (folder / DESCRIPTION).is_file():
            sealed = folder / MANIFEST
            if sealed.is_file() and f'"{DESCRIPTION}"'.encode() in sealed.read_bytes():
                raise WorldNetError(f"{folder / DESCRIPTION} is missing; copy the folder again.")
            return cls(folder, None, _bare_splits(folder), prefixes=_prefixes(folder))
        return _open_sealed(folder)

    def annotations(self, split: str = "train") -> Annotations:
        """Return the transitions of one split, rejected rows beside them.

        Raises:
            WorldNetError: there is no such split, or its file is no list.
        """
        if split not in self.splits:
            raise WorldNetError(f"{self.root} has no split {split!r}; it has {list(self.splits)}.")
        found = read_annotations(self.splits[split])
        return replace(found, transitions=[self._placed(t) for t in found.transitions])

    def read(self, name: str, limits: MediaLimits = LIMITS) -> bytes:
        """Return the bytes of the media file ``name``, compared with its hash if it has one.

        Raises:
            MediaError: it is outside the root, missing, empty, too big, or not as it was written.
        """
        data = read_bytes(self.root, name, limits)
        if self.entries:
            if name not in self.entries:
                raise MediaError(name, f"is not in {MANIFEST}, which names every file.")
            if hashlib.sha256(data).hexdigest() != self.entries[name][1]:
                raise MediaError(name, "is not as it was written (truncated or changed).")
        return data

    def _placed(self, transition: WorldNetTransition) -> WorldNetTransition:
        """Return a transition whose media are named relative to the root."""
        if not self.prefixes:
            return transition
        states = [
            replace(
                state,
                **{
                    kind: prefix + getattr(state, kind)
                    for kind, prefix in self.prefixes.items()
                    if getattr(state, kind)
                },
            )
            for state in (transition.state0, transition.state1)
        ]
        return replace(transition, state0=states[0], state1=states[1])

    def left_out(self) -> list[Rejection]:
        """Return what was rejected when the folder was built.

        Raises:
            WorldNetError: a line of rejected.jsonl is damaged.
        """
        path = self.root / REJECTED
        if not path.is_file():
            return []
        found = []
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise WorldNetError(f"{path} cannot be read: {error.strerror}.") from error
        for number, line in enumerate(lines):
            try:
                data = parse_json(line)
                found.append(Rejection(str(data["source"]), int(data["row"]), str(data["reason"])))
            except (ValueError, KeyError, TypeError) as error:
                raise WorldNetError(f"{path} is damaged in line {number + 1}.") from error
        return found


def _bare_splits(folder: Path) -> dict[str, Path]:
    """Return the annotation files of a folder without a description."""
    places = (folder, folder / "state")
    files = [path for place in places for path in sorted(place.glob("*.json"))]
    files = [path for path in files if path.name != MANIFEST and path.is_file()]
    if not files:
        raise WorldNetError(
            f"there is no WorldNet in {folder}: no {DESCRIPTION} and no annotation file. "
            f"Make one: worldgpt worldnet build --help"
        )
    names = [_split_name(path) for path in files]
    return {
        name if names.count(name) == 1 else path.stem: path
        for name, path in zip(names, files, strict=True)
    }


def _split_name(path: Path) -> str:
    """Return ``"train"`` for ``train.json`` and ``action_train.json``, and so on."""
    return next((name for name in SPLITS if f"_{path.stem}".endswith(f"_{name}")), path.stem)


def _has_media(folder: Path) -> bool:
    return any((folder / kind).is_dir() for kind in MEDIA)


def _prefixes(folder: Path) -> dict[str, str]:
    """Return where the authors' layout keeps media of which the annotations give bare names."""
    return {kind: f"{kind}/Train/" for kind in MEDIA if (folder / kind / "Train").is_dir()}


def _open_sealed(folder: Path) -> WorldNetFolder:
    """Open a folder that :class:`~.writer.WorldNetWriter` made."""
    data, manifest = read_json(folder / DESCRIPTION), read_json(folder / MANIFEST)
    try:
        description = WorldNetDescription.from_json(data)
        told = Fields(data, folder / DESCRIPTION, WorldNetError)
        names = told.texts("annotations", 1000)
        entries = {
            str(name): (int(entry["size"]), str(entry["sha256"]))
            for name, entry in manifest["files"].items()
        }
        counts = dict(data["counts"])
    except WorldNetError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise WorldNetError(f"{folder} is no WorldNet of this version ({reason}).") from error
    for name in (DESCRIPTION, REJECTED, *names):
        _verify(folder, name, entries)
    return WorldNetFolder(
        folder, description, {Path(n).stem: folder / n for n in names}, counts, entries
    )


def _verify(folder: Path, name: str, entries: Mapping[str, tuple[int, str]]) -> None:
    """Compare a file of the folder with its hash."""
    if Path(name).name != name or len(name) > 255:
        told = f"{folder / DESCRIPTION} names {shorten(name)}"
        raise WorldNetError(f"{told}, which is no file name, or leads outside the root.")
    try:
        found = digest(folder / name)
    except OSError as error:
        raise WorldNetError(f"{folder / name} cannot be read: {one_line(error)}.") from error
    if name not in entries or found != entries[name][1]:
        raise WorldNetError(
            f"{folder / name} is not as it was written (truncated or changed). "
            "Copy the whole folder again, or build it anew."
        )
