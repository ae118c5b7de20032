"""Shelf: the finished episodes of a recording that is still being made, safe on disk."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.errors import WorldGPTError
from worldgpt_env.model.safe_io import recover_folder, write_json
from worldgpt_env.model.safe_json import parse_json, shorten

from .data_checks import EpisodeCheck
from .dataset import Description, check_dataset, write_dataset
from .episode import Episode, RecordingError, RecordingWarning
from .part_files import DamagedPartError, Part, flush, read_part, write_part

SETTINGS = "collect.json"
PARTS = "parts"
DATA = "data"
LEFT = (".draft", ".lock")  # what killed processes may leave in the folder
MOST_MISSING = 10_000  # episodes; no damage takes so many, and a list of them fills the memory
FLUSH_EVERY = 1.0  # seconds of recording that a power cut may cost


@dataclass(frozen=True)
class _Kept:
    """Figures of an episode on the shelf."""

    total: float
    terminated: bool


class Shelf:
    """Episodes kept one file each, until :meth:`finish` makes a dataset of them.

    ``folder/collect.json`` says what is being recorded, ``folder/parts/000000.npz`` and so on are
    the episodes; at the end both give way to ``folder/data``. Every file appears in one step, and
    within a second it survives a power cut, too. What is damaged all the same is found by its
    checksums when the recording goes on: that episode is recorded again, with the same seed.

    Use it under a :class:`~worldgpt_env.model.safe_io.RunLock`.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Look into ``folder``; nothing is written before the first episode is done.

        Args:
            folder: of the recording.
            settings: everything that decides what is recorded, as JSON values.

        Raises:
            RecordingError: the folder holds something else, or a damaged dataset.
        """
        self.folder = folder
        self.settings = dict(settings)
        self.identity = _digest(self.settings)
        self.kept: dict[int, _Kept] = {}
        self.steps = 0
        self._next = 0
        self._unflushed: list[Path] = []
        self._flushed = time.monotonic()
        self._known = False  # whether collect.json says what this command says
        self.complete = self._is_complete()
        if not self.complete:
            self._look()

    def next_number(self) -> int:
        """Return the number of the first episode that is not on the shelf."""
        while self._next in self.kept:
            self._next += 1
        return self._next

    def resume(self, check: EpisodeCheck, seed_of: Callable[[int], int]) -> None:
        """Count the episodes that are there and whole; warn of each that is to be recorded again.

        Args:
            check: of the world as it is now.
            seed_of: returns the seed of an episode by its number.

        Raises:
            RecordingError: an episode is of another recording, or does not fit the world.
        """
        damaged, owned = [], False
        for number in self._numbers():
            try:
                part = read_part(self._path(number))
            except DamagedPartError as error:
                damaged.append(str(error))
                continue
            owned = owned or part.recording == self.identity
            self._count(number, self._own(number, part, check, seed_of(number)))
        self._refuse_unknown(owned, damaged)
        for reason in damaged:
            warnings.warn(f"{reason}: that episode is recorded again.", RecordingWarning, 2)

    def add(self, number: int, episode: Episode) -> None:
        """Keep ``episode``.

        Raises:
            RecordingError: the disk is full; the episodes before it are safe.
        """
        path = self._path(number)
        try:
            if not self._known:
                self._begin()
            write_part(path, Part(episode, self.identity))
            self._unflushed.append(path)
            if time.monotonic() - self._flushed > FLUSH_EVERY:
                self.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        self._count(number, episode)

    def flush(self) -> None:
        """Make all episodes survive a power cut."""
        flush(self._unflushed)
        self._unflushed.clear()
        self._flushed = time.monotonic()

    def finish(self, description: Description) -> None:
        """Turn the episodes into a Minari dataset and clear the shelf.

        Raises:
            RecordingError: the disk is full; the episodes are still on the shelf.
        """
        try:
            size = sum(self._path(number).stat().st_size for number in self.kept)
            write_dataset(self.folder, description, self._episodes(), size)
        except OSError as error:
            raise self._unwritable(error) from error
        self.clear()

    def totals(self) -> dict[str, Any]:
        """Return what is on the shelf in figures."""
        kept = [self.kept[number] for number in sorted(self.kept)]
        return {
            "episodes": len(kept),
            "mean_return": float(np.mean([one.total for one in kept])),
            "terminated": float(np.mean([one.terminated for one in kept])),
        }

    def clear(self) -> None:
        """Remove what a finished recording needs no more."""
        (self.folder / SETTINGS).unlink(missing_ok=True)
        for name in (PARTS, ".draft"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _is_complete(self) -> bool:
        """Return whether the dataset is there and whole; the episodes can replace a damaged one."""
        recover_folder(self.folder / DATA)
        if not (self.folder / DATA).exists():
            return False
        try:
            description = check_dataset(self.folder)
        except RecordingError as error:
            if self._numbers():
                warnings.warn(f"{error} It is made anew of its parts.", RecordingWarning, 3)
                return False
            raise RecordingError(
                f"{error} Nothing of {self.folder} can be gone on with: move it away, and repeat "
                "the command to record it again."
            ) from error
        self._compare(_without_totals(description.settings))
        return True

    def _look(self) -> None:
        """Find out what is in the folder, which has no dataset."""
        path = self.folder / SETTINGS
        if path.is_file():
            before = _read_settings(path)
            if before is not None:
                self._compare(before)
                self._known, self.identity = True, _digest(before)  # 1 and 1.0 are equal
        elif self.folder.is_dir():
            others = {found.name for found in self.folder.iterdir()} - {PARTS, DATA, *LEFT}
            if others:
                raise RecordingError(
                    f"{self.folder} holds other files, such as {min(others)}; choose "
                    "an empty or new folder with --out."
                )
        elif self.folder.exists():
            raise RecordingError(
                f"{self.folder} is a file; choose an empty or new folder with --out."
            )

    def _own(self, number: int, part: Part, check: EpisodeCheck, seed: int) -> Episode:
        """Return the episode of a part that is of this recording and fits the world."""
        problem = "it is not of this recording"
        if part.recording in ("", self.identity) and part.episode.seed == seed:
            try:
                return check(part.episode, "the episode")
            except RecordingError as error:
                problem = f"{error} Another version of the world recorded it"
        raise RecordingError(
            f"{self._path(number)} cannot be gone on with: {problem}. Move it away and repeat the "
            "command, which records that episode again."
        )

    def _refuse_unknown(self, owned: bool, damaged: list[str]) -> None:
        """Refuse episodes of which nothing says what they are; they may be of another recording."""
        if self._known or owned or not (self.kept or damaged):
            return
        raise RecordingError(
            f"{self.folder / SETTINGS} is missing or damaged, and nothing else says of what its "
            f"{len(self.kept) + len(damaged)} episodes are a recording. Restore that file, or move "
            f"{self.folder} away and repeat the command to record it again."
        )

    def _begin(self) -> None:
        """Write down what is being recorded."""
        (self.folder / PARTS).mkdir(parents=True, exist_ok=True)
        told = {"settings": self.settings, "sha256": self.identity}
        write_json(self.folder / SETTINGS, told)
        self._known = True

    def _compare(self, before: Mapping[str, Any]) -> None:
        """Refuse to mix two recordings."""
        if before != self.settings:
            differing = {
                key: (before.get(key), self.settings.get(key))
                for key in {*before, *self.settings}
                if before.get(key) != self.settings.get(key)
            }
            told = ", ".join(
                f"{key if key in self.settings else shorten(key)} "
                f"{shorten(a, 200)}, not {shorten(b, 200)}"
                for key, (a, b) in sorted(differing.items())
            )
            raise RecordingError(
                f"{self.folder} holds a recording of {told}; repeat that command to go on with it, "
                "or choose another --out."
            )

    def _numbers(self) -> list[int]:
        """Return the numbers of all episodes from the first to the last that has a file."""
        names = (path.name for path in (self.folder / PARTS).glob("*.npz"))
        there = [int(name[:-4]) for name in names if re.fullmatch(r"\d{6,9}\.npz", name, re.ASCII)]
        last = max(there, default=-1)
        if last >= len(there) + MOST_MISSING:
            raise RecordingError(
                f"{self._path(last)} is of no recording of this folder: over {MOST_MISSING} "
                "episodes before it are missing. Move it away and repeat the command."
            )
        return list(range(last + 1))

    def _episodes(self) -> Iterator[Episode]:
        """Read the episodes back one at a time."""
        for number in sorted(self.kept):
            try:
                yield read_part(self._path(number), known=True).episode
            except DamagedPartError as error:
                raise RecordingError(
                    f"{error}; repeat the command, which records that episode again."
                ) from error

    def _path(self, number: int) -> Path:
        """Return the file of one episode."""
        return self.folder / PARTS / f"{number:06d}.npz"

    def _count(self, number: int, episode: Episode) -> None:
        total = float(episode.rewards.sum())
        self.kept[number] = _Kept(total, episode.terminated)
        self.steps += len(episode)

    def _unwritable(self, error: OSError) -> WorldGPTError:
        cause = error.__cause__ if isinstance(error, WorldGPTError) else error
        reason = getattr(cause, "strerror", None) or cause or error
        return RecordingError(
            f"cannot write to {self.folder}: {reason}. Make room or choose another --out and "
            f"repeat the command; {len(self.kept)} finished episodes are kept."
        )


def _read_settings(path: Path) -> dict[str, Any] | None:
    """Return what a recording was begun with; None if the file is damaged."""
    try:
        told = parse_json(path.read_bytes())
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    if "world" in told:  # as older versions wrote it
        return told
    settings = told.get("settings")
    if not isinstance(settings, dict) or told.get("sha256") != _digest(settings):
        return None
    return settings


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _without_totals(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in settings.items() if k not in ("episodes", "mean_return", "terminated")}
