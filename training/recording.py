"""Recording: episodes of a real world in memory, what everything here learns from."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldgpt_env.model.errors import WriteError
from worldgpt_env.model.modalities import ActionSpec, Modality, ModalitySpec
from worldgpt_env.model.safe_io import RunLock

from .data_checks import EpisodeCheck, check_options, check_recording
from .dataset import Description, read_description, read_episodes, write_dataset
from .episode import Episode, RecordingError
from .stored_observations import SAMPLE, StoredObservations

__all__ = ["Episode", "Recording", "RecordingError"]

Paths = str | Path | Sequence[str | Path]


@dataclass
class Recording:
    """Episodes of one world.

    Attributes:
        world: name of the world, as ``make_world`` knows it.
        specs: shape of each modality, in token order.
        action_spec: what an agent may do.
        episodes: in the order in which they were lived; kept as a list, whatever gives them.
        world_options: keyword arguments of ``make_world`` that open the world as it was recorded.
    """

    world: str
    specs: dict[Modality, ModalitySpec]
    action_spec: ActionSpec
    episodes: list[Episode]
    world_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keep what a generator gives, which is read more than once."""
        if not isinstance(self.episodes, list):
            if not isinstance(self.episodes, Iterable):
                raise RecordingError(
                    f"the episodes are {self.episodes!r:.80}; give a list of them."
                )
            self.episodes = list(self.episodes)

    def lacks(self) -> list[str]:
        """Return, as sentences, what no world model can learn from this recording."""
        rewards = np.concatenate([episode.rewards for episode in self.episodes])
        rewards = rewards[np.isfinite(rewards)]
        if not len(rewards):
            return []  # nobody recorded rewards, and nobody expects any
        values, counts = np.unique(rewards, return_counts=True)
        ends = any(episode.terminated for episode in self.episodes)
        found = [] if ends else ["no episode is ended by the world"]
        if len(values) == 1 and not ends:
            found.append(f"every step pays {values[0]:g}")
        elif len(values) > 1 and values[counts.argmax()] == values[-1]:
            found.append(f"no step pays more than the usual {values[-1]:g}")
        return found

    def tell_lacks(self) -> None:
        """Say on the terminal what :meth:`lacks` finds."""
        if lacks := self.lacks():
            tqdm.write(
                f"note: in this recording of {self.world} {' and '.join(lacks)}, so that no dream "
                "will know better; record more steps, or with --policy.",
                sys.stderr,
            )

    @classmethod
    def load(cls, paths: Paths) -> Recording:
        """Read one dataset folder, or several of the same world one after another.

        Raises:
            RecordingError: a dataset is missing, empty, truncated, changed or foreign, an episode
                does not fit its specs, or they differ in world, shapes or actions.
        """
        folders = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        if not folders:
            raise RecordingError("no recording was named; give at least one folder.")
        first = read_description(folders[0])
        for folder in folders[1:]:
            other = read_description(folder)
            for what in ("world", "world_options", "specs", "action_spec"):
                if getattr(first, what) != getattr(other, what):
                    raise RecordingError(
                        f"{folders[0]} and {folder} differ in their {what}: "
                        f"{getattr(first, what)} and {getattr(other, what)}; "
                        "train on recordings of one world with the same options."
                    )
        episodes = [episode for folder in folders for episode in read_episodes(folder)]
        return cls(first.world, first.specs, first.action_spec, episodes, first.world_options)

    def save(self, folder: str | Path) -> None:
        """Write a dataset that :meth:`load` and ``worldgpt train`` read: for your own recordings.

        Every episode passes :class:`~worldgpt_env.training.data_checks.EpisodeCheck` before
        anything is written, and comes back from :meth:`load` as it is.

        Raises:
            RecordingError: an episode does not fit the specs, there is none, ``folder`` holds a
                dataset already, or cannot be written.
            LockedError: another process writes there.
        """
        folder = Path(folder)
        if not self.episodes:
            raise RecordingError("there is no episode to save; record at least one.")
        check_recording(self.world, self.specs, self.action_spec, self.world_options)
        check = EpisodeCheck(self.specs, self.action_spec)
        episodes = [
            check(episode, f"episode {number} of world {self.world!r}")
            for number, episode in enumerate(self.episodes)
        ]
        description = Description(
            self.world,
            self.specs,
            self.action_spec,
            {"world_options": check_options(self.world_options)},
        )
        size = sum(episode.nbytes for episode in episodes)
        try:
            with RunLock(folder):
                if any((folder / name).exists() for name in ("data", "collect.json")):
                    raise RecordingError(
                        f"{folder} holds a recording already; choose another folder."
                    )
                write_dataset(folder, description, episodes, size)
        except WriteError as error:
            reason = getattr(error.__cause__, "strerror", None) or error.__cause__ or error
            raise RecordingError(f"{folder} cannot be written: {reason}.") from error

    @property
    def steps(self) -> int:
        """The number of steps of all episodes."""
        return sum(len(episode) for episode in self.episodes)

    def split(self, held_out: float = 0.1, seed: int = 0) -> tuple[Recording, Recording]:
        """Return two recordings, the second with a share ``held_out`` of the episodes.

        Whole episodes are drawn, at least one on each side; the same seed draws the same ones.

        Raises:
            RecordingError: there are not two episodes, or the share is not between 0 and 1.
        """
        count = len(self.episodes)
        if not 0 < held_out < 1 or count < 2:
            raise RecordingError(
                f"cannot hold out {held_out} of {count} episodes; "
                "it takes two episodes and a share between 0 and 1."
            )
        held = min(max(round(held_out * count), 1), count - 1)
        drawn = set(np.random.default_rng(seed).permutation(count)[:held].tolist())
        train = [e for number, e in enumerate(self.episodes) if number not in drawn]
        test = [e for number, e in enumerate(self.episodes) if number in drawn]
        return self._with(train), self._with(test)

    @property
    def scenarios(self) -> list[str]:
        """The scenarios of the episodes, in alphabetical order; ``[]`` if they have none."""
        return sorted({e.scenario for e in self.episodes} - {""})

    def of(self, scenarios: Sequence[str]) -> Recording:
        """Return the episodes of ``scenarios``, all if none is named.

        Raises:
            RecordingError: a scenario has no episode.
        """
        unknown = set(scenarios) - set(self.scenarios)
        if unknown:
            raise RecordingError(
                f"no episode is of the scenarios {sorted(unknown)}; there are {self.scenarios}."
            )
        return self._with([e for e in self.episodes if not scenarios or e.scenario in scenarios])

    def sample(self, share: float, seed: int = 0) -> Recording:
        """Return a ``share`` of the steps: whole episodes in random order, the last one cut."""
        if share == 1:
            return self
        left, chosen = max(round(share * self.steps), 1), []
        for number in np.random.default_rng(seed).permutation(len(self.episodes)):
            chosen.append(self.episodes[number].first(left))
            left -= len(chosen[-1])
            if left <= 0:
                break
        return self._with(chosen)

    def in_memory(self, seed: int = 0) -> Recording:
        """Return the recording with its observations in memory.

        Of one that is too large and lies on disk, these are whole episodes in random order, as
        many as fit into ``SAMPLE`` bytes: enough to train codecs.
        """
        if not any(isinstance(e.observations, StoredObservations) for e in self.episodes):
            return self
        chosen: list[Episode] = []
        size = 0
        for number in np.random.default_rng(seed).permutation(len(self.episodes)):
            episode = self.episodes[number]
            read = dataclasses.replace(episode, observations=dict(episode.observations))
            size += read.nbytes
            if chosen and size > SAMPLE:
                break
            chosen.append(read)
        return self._with(chosen)

    def _with(self, episodes: list[Episode]) -> Recording:
        return dataclasses.replace(self, episodes=episodes)
