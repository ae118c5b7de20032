"""Shelf: the finished episodes of a recording that is still being made, safe on disk."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.modalities import Modality

from .dataset import DATA, Description, Episode, RecordingError, read_description, write_dataset

SETTINGS = "collect.json"
PARTS = "parts"


class Shelf:
    """Episodes kept one file each, until :meth:`finish` makes a dataset of them.

    ``folder/collect.json`` says what is being recorded, ``folder/parts/000000.npz`` and so on are
    the episodes; at the end both give way to ``folder/data``. Every file appears in one step, so
    whatever stops the recording, what is there is whole.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Look into ``folder``; nothing is written before the first episode is done.

        Raises:
            RecordingError: the folder holds something else.
        """
        self.folder = folder
        self.settings = dict(settings)
        self.complete = (folder / "data" / DATA).is_file()
        self.lengths: list[int] = []
        self.returns: list[float] = []
        self.terminated: list[bool] = []
        if self.complete:
            self._compare(_without_totals(read_description(folder).settings))
            self._clear()
        elif (folder / SETTINGS).is_file():
            self._compare(json.loads((folder / SETTINGS).read_text()))
            self._resume()
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RecordingError(
                f"{folder} holds other files; choose an empty or new folder with --out."
            )

    @property
    def steps(self) -> int:
        """The number of steps on the shelf."""
        return sum(self.lengths)

    def add(self, episode: Episode) -> None:
        """Keep ``episode``.

        Raises:
            RecordingError: the disk is full; the episodes before it are safe.
        """
        arrays: dict[str, Any] = {str(k): value for k, value in episode.observations.items()}
        arrays["flags"] = np.array([episode.terminated, episode.truncated])
        path = self.folder / PARTS / f"{len(self.lengths):06d}.npz"
        draft = path.with_suffix(".draft")
        try:
            if not self.lengths:
                self._begin()
            with draft.open("wb") as file:
                np.savez(
                    file,
                    actions=episode.actions,
                    rewards=episode.rewards,
                    seed=np.int64(episode.seed),
                    **arrays,
                )
            os.replace(draft, path)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            draft.unlink(missing_ok=True)  # Ctrl-C in the middle of a file leaves nothing of it
        self._count(episode.rewards, episode.terminated)

    def finish(self, description: Description) -> None:
        """Turn the episodes into a Minari dataset and clear the shelf.

        Raises:
            RecordingError: the disk is full; the episodes are still on the shelf.
        """
        try:
            size = sum(path.stat().st_size for path in (self.folder / PARTS).iterdir())
            write_dataset(self.folder, description, self._episodes(description), size)
        except OSError as error:
            raise self._unwritable(error) from error
        self._clear()

    def totals(self) -> dict[str, Any]:
        """Return what is on the shelf in figures."""
        return {
            "episodes": len(self.lengths),
            "mean_return": float(np.mean(self.returns)),
            "terminated": float(np.mean(self.terminated)),
        }

    def _begin(self) -> None:
        """Write down what is being recorded."""
        (self.folder / PARTS).mkdir(parents=True, exist_ok=True)
        draft = self.folder / PARTS / f"{SETTINGS}.draft"
        draft.write_text(json.dumps(self.settings, indent=1))
        os.replace(draft, self.folder / SETTINGS)

    def _resume(self) -> None:
        """Count the episodes that are already there."""
        for number in range(len(list((self.folder / PARTS).glob("*.npz")))):
            with self._open(number) as part:
                self._count(part["rewards"], bool(part["flags"][0]))

    def _compare(self, before: Mapping[str, Any]) -> None:
        """Refuse to mix two recordings."""
        if before != self.settings:
            differing = {
                key: (before.get(key), self.settings.get(key))
                for key in {*before, *self.settings}
                if before.get(key) != self.settings.get(key)
            }
            told = ", ".join(f"{key} {a!r}, not {b!r}" for key, (a, b) in sorted(differing.items()))
            raise RecordingError(
                f"{self.folder} holds a recording of {told}; repeat that command to go on with it, "
                "or choose another --out."
            )

    def _episodes(self, description: Description) -> Iterator[Episode]:
        """Read the episodes back one at a time."""
        for number in range(len(self.lengths)):
            with self._open(number) as part:
                yield Episode(
                    {Modality(str(key)): part[str(key)] for key in description.specs},
                    part["actions"],
                    part["rewards"],
                    bool(part["flags"][0]),
                    bool(part["flags"][1]),
                    int(part["seed"]),
                )

    def _open(self, number: int) -> np.lib.npyio.NpzFile:
        """Open the file of one episode."""
        path = self.folder / PARTS / f"{number:06d}.npz"
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise RecordingError(
                f"{path} is missing or damaged; delete {self.folder} and record it again."
            ) from error

    def _count(self, rewards: np.ndarray, terminated: bool) -> None:
        self.lengths.append(len(rewards))
        self.returns.append(float(rewards.sum()))
        self.terminated.append(terminated)

    def _clear(self) -> None:
        (self.folder / SETTINGS).unlink(missing_ok=True)
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)

    def _unwritable(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"cannot write to {self.folder}: {error.strerror or error}. Make room or choose "
            f"another --out and repeat the command; {len(self.lengths)} finished episodes are kept."
        )


def _without_totals(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in settings.items() if k not in ("episodes", "mean_return", "terminated")}
