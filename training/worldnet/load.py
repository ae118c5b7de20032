"""From media files to a recording in memory: how training and evaluation read WorldNet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import ActionSpec, Modality, ModalitySpec

from ..recording import Episode, Paths, Recording, RecordingError
from .annotation import Rejection, StateFiles, WorldNetError, WorldNetTransition
from .bare import describe
from .description import DESCRIPTION
from .fitting import Fitter
from .folder import WorldNetFolder
from .gate import MediaError
from .vectors import VectorStore


@dataclass(frozen=True)
class LoadedWorldNet:
    """One split in memory.

    Attributes:
        recording: its sequences as episodes, with ``present`` and ``scenario``.
        rejected: rows that were left out: annotation file, row, reason.
        changes: how often media or words were changed to fit, by kind.
        vectors: precomputed encoder vectors per modality, ``(M, F)`` float32 over all moments of
            all episodes in order, zeros where a modality is missing; ``{}`` unless asked for.
    """

    recording: Recording
    rejected: list[Rejection]
    changes: dict[str, int] = field(default_factory=dict)
    vectors: dict[Modality, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Row:
    """A transition that is kept: its states as numbers in the table, its action as ids."""

    number: int  # in the annotation file
    transition: WorldNetTransition
    before: int
    after: int
    action: np.ndarray


def load_worldnet(
    root: str | Path,
    split: str = "train",
    specs: Mapping[Modality, ModalitySpec] | None = None,
    scenarios: Sequence[str] | None = None,
    vectors: str | None = None,
    action: ActionSpec | None = None,
) -> LoadedWorldNet:
    """Read one split, its media fitted to ``specs``.

    A row with a damaged or missing file is rejected, and its sequence is cut there. Files that
    two rows share are read once.

    Args:
        root: a WorldNet folder, or a bare annotation file whose folder holds its media.
        split: ``"train"``, ``"test"``, ``"knowledge"`` or another annotation file's stem.
        specs: the modalities to read and their shapes; default: the folder's own.
        scenarios: only rows of these; default: all.
        vectors: name of an encoder whose precomputed vectors are read too.
        action: the words of actions; default: the folder's own.

    Raises:
        WorldNetError: there is no such folder, split or scenario, or every row was rejected.
    """
    folder = WorldNetFolder.open(root)
    description = folder.description or describe(folder)
    annotations = folder.annotations(split)
    kept = [
        (number, transition)
        for number, transition in zip(annotations.rows, annotations.transitions, strict=True)
        if scenarios is None or transition.scenario in scenarios
    ]
    fitter = Fitter(folder, dict(specs or description.specs))
    action = action or description.action
    table = _Table(fitter, len({state for _, t in kept for state in (t.state0, t.state1)}))
    rows, rejected = [], list(annotations.rejected)
    for number, transition in tqdm(kept, f"read {split}", unit="row", disable=None):
        try:
            before, after = table.add(transition.state0), table.add(transition.state1)
            words = fitter.action(action, transition.action)
            rows.append(_Row(number, transition, before, after, words))
        except (MediaError, ConfigurationError) as error:
            rejected.append(Rejection(str(folder.splits[split]), number, str(error)))
    if not rows:
        raise WorldNetError(_nothing(folder, split, scenarios, rejected))
    sequences = _sequences(rows)
    episodes = [table.episode(sequence, seed) for seed, sequence in enumerate(sequences)]
    recording = Recording(description.name, dict(fitter.specs), action, episodes)
    states = [state for sequence in sequences for state in table.states(sequence)]
    found = VectorStore(folder.root, vectors).rows(states, fitter.specs) if vectors else {}
    rejected.sort(key=lambda item: item.row)
    return LoadedWorldNet(recording, rejected, dict(fitter.changes), found)


def load_recording(paths: Paths, split: str = "train") -> Recording:
    """Return what ``paths`` hold: WorldNet folders (one split of each) or dataset folders.

    Raises:
        RecordingError: the folders differ in their shapes or actions, or in what they are.
        WorldNetError: a WorldNet cannot be read.
    """
    folders = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    ours = [is_worldnet(folder) for folder in folders]
    if not any(ours):
        return Recording.load(paths)
    if not all(ours):
        told = ", ".join(str(f) for f, is_one in zip(folders, ours, strict=True) if not is_one)
        raise RecordingError(f"{told} is no WorldNet and the others are; train on one kind.")
    loaded = [load_worldnet(folder, split).recording for folder in folders]
    for folder, other in zip(folders[1:], loaded[1:], strict=True):
        if (other.specs, other.action_spec) != (loaded[0].specs, loaded[0].action_spec):
            raise RecordingError(
                f"{folders[0]} and {folder} differ in their shapes or words; build them with the "
                "same options."
            )
    episodes = [episode for recording in loaded for episode in recording.episodes]
    return Recording(loaded[0].world, loaded[0].specs, loaded[0].action_spec, episodes)


def is_worldnet(path: str | Path) -> bool:
    """Return whether ``path`` is a WorldNet folder or an annotation file."""
    path = Path(path)
    return path.is_file() or (path / DESCRIPTION).is_file()


def _sequences(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Cut the rows wherever one does not begin with the state that the one before it ended with."""
    sequences: list[list[_Row]] = []
    for row in rows:
        if sequences and _follows(sequences[-1][-1], row):
            sequences[-1].append(row)
        else:
            sequences.append([row])
    return sequences


def _follows(last: _Row, row: _Row) -> bool:
    """Return whether ``row`` goes on where ``last`` ended."""
    before, now = last.transition, row.transition
    same = (before.scenario, before.episode) == (now.scenario, now.episode)
    joined = (last.number + 1, last.after) == (row.number, row.before)
    return same and joined and not before.terminated


def _nothing(
    folder: WorldNetFolder,
    split: str,
    scenarios: Sequence[str] | None,
    rejected: Sequence[Rejection],
) -> str:
    """Say why no row is left."""
    asked = f" of the scenarios {list(scenarios)}" if scenarios is not None else ""
    first = (
        f"; the first of {len(rejected)} rejected rows: {rejected[0].reason}" if rejected else ""
    )
    return f"the split {split!r} of {folder.root} holds no row{asked} that can be read{first}"


class _Table:
    """Every state of a split once: arrays of all modalities, one row a state."""

    def __init__(self, fitter: Fitter, room: int) -> None:
        """Make room for so many states; what is not filled takes no memory."""
        self.fitter = fitter
        self._numbers: dict[StateFiles, int] = {}
        self._broken: dict[StateFiles, MediaError | ConfigurationError] = {}
        self._states: list[StateFiles] = []
        self._arrays = {
            modality: np.zeros((room, *spec.shape), spec.dtype)
            for modality, spec in fitter.specs.items()
        }
        self._present = {modality: np.zeros(room, bool) for modality in fitter.specs}

    def add(self, state: StateFiles) -> int:
        """Return the number of ``state``, which is read when it is new.

        Raises:
            MediaError: a file of it is damaged; also when it is asked for again.
            ConfigurationError: its words or numbers do not fit, or it has no modality of the specs.
        """
        if state in self._broken:
            raise self._broken[state]
        if state not in self._numbers:
            try:
                parts = self.fitter.fit(state)
                if not parts:
                    wanted = ", ".join(str(m) for m in self.fitter.specs)
                    raise ConfigurationError(f"a state has none of {wanted}")
            except (MediaError, ConfigurationError) as error:
                self._broken[state] = error
                raise
            number = len(self._states)
            for modality, part in parts.items():
                self._arrays[modality][number] = part
                self._present[modality][number] = True
            self._numbers[state] = number
            self._states.append(state)
        return self._numbers[state]

    def states(self, sequence: Sequence[_Row]) -> list[StateFiles]:
        """Return the states of a sequence, one more than its rows."""
        return [self._states[number] for number in _moments(sequence)]

    def episode(self, sequence: Sequence[_Row], seed: int) -> Episode:
        """Return a sequence as an episode; where its states lie side by side nothing is copied."""
        numbers = _moments(sequence)
        first = numbers[0]
        side_by_side = numbers == list(range(first, first + len(numbers)))
        where = slice(first, first + len(numbers)) if side_by_side else np.array(numbers)
        present = {m: there[where] for m, there in self._present.items()}
        last = sequence[-1].transition
        return Episode(
            {modality: array[where] for modality, array in self._arrays.items()},
            np.stack([row.action for row in sequence]),  # (T, slots)
            np.array([row.transition.reward for row in sequence], np.float32),
            last.terminated,
            not last.terminated,
            seed,
            {m: there for m, there in present.items() if not there.all()},
            last.scenario,
        )


def _moments(sequence: Sequence[_Row]) -> list[int]:
    """Return the numbers of a sequence's states in order."""
    return [sequence[0].before, *(row.after for row in sequence)]
