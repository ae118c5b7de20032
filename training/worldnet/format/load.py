"""From media files to a recording in memory: how training and evaluation read WorldNet."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import ActionSpec, Modality, ModalitySpec

from ...recording import Episode, Paths, Recording, RecordingError
from .annotation import (
    Rejection,
    StateFiles,
    WorldNetError,
    WorldNetTransition,
    sequence_lengths,
)
from .bare import describe
from .description import DESCRIPTION
from .fitting import Fitter, encode_words
from .folder import WorldNetFolder
from .states import FittedStates, read_states
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
class Row:
    """A transition that is kept: its states by their numbers, its action as ids ``(slots,)``."""

    number: int  # in the annotation file
    transition: WorldNetTransition
    before: int
    after: int
    action: np.ndarray


@dataclass(frozen=True)
class ReadRows:
    """The rows of one split: those that are whole, their states, those that are not, changes."""

    rows: list[Row]
    states: list[StateFiles]
    fitted: FittedStates
    rejected: list[Rejection]
    changes: dict[str, int]


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
    fitter = Fitter(folder, dict(specs or description.specs))
    action = action or description.action
    found = read_rows(fitter, split, action, scenarios)
    rows, fitted, rejected = found.rows, found.fitted, found.rejected
    if not rows:
        raise WorldNetError(_nothing(folder, split, scenarios, rejected))
    sequences = _sequences(rows)
    episodes = [_episode(sequence, seed, fitted) for seed, sequence in enumerate(sequences)]
    recording = Recording(description.name, dict(fitter.specs), action, episodes)
    lived = [found.states[number] for sequence in sequences for number in _moments(sequence)]
    known = VectorStore(folder.root, vectors).rows(lived, fitter.specs) if vectors else {}
    return LoadedWorldNet(recording, rejected, found.changes, known)


def read_rows(
    fitter: Fitter,
    split: str,
    action: ActionSpec,
    scenarios: Sequence[str] | None = None,
    fresh: bool = False,
) -> ReadRows:
    """Read the media and words of one split; a row that cannot be read is rejected.

    Args:
        fitter: reads states of the folder.
        split: which annotation file.
        action: the words of actions.
        scenarios: only rows of these; default: all.
        fresh: read every file, also when it is known from an earlier time.

    Raises:
        WorldNetError: there is no such split.
    """
    annotations = fitter.folder.annotations(split)
    pairs = zip(annotations.rows, annotations.transitions, strict=True)
    asked = [pair for pair in pairs if scenarios is None or pair[1].scenario in scenarios]
    states = list(dict.fromkeys(state for _, t in asked for state in (t.state0, t.state1)))
    fitted = read_states(fitter, states, split, fresh)
    numbers = {state: number for number, state in enumerate(states)}
    words, rows, rejected = Counter[str](), [], list(annotations.rejected)
    for number, transition in asked:
        ends = [numbers[transition.state0], numbers[transition.state1]]
        reason = next((fitted.problems[end] for end in ends if end in fitted.problems), "")
        try:
            if reason:
                raise ConfigurationError(reason)
            ids = encode_words(transition.action, action.vocabulary, "actions", words)
            rows.append(Row(number, transition, ends[0], ends[1], ids))
        except ConfigurationError as error:
            rejected.append(Rejection(str(fitter.folder.splits[split]), number, str(error)))
    rejected.sort(key=lambda item: item.row)
    return ReadRows(rows, states, fitted, rejected, {**fitted.changes, **words})


def load_recording(paths: Paths, split: str = "train") -> Recording:
    """Return what ``paths`` hold: WorldNet folders (one split of each) or dataset folders.

    Rows of a WorldNet that cannot be read are left out with a warning.

    Raises:
        RecordingError: the folders differ in their shapes or actions, or in what they are.
        WorldNetError: a WorldNet cannot be read.
    """
    folders = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    ours = [is_worldnet(folder) for folder in folders]
    if not any(ours):
        if split != "train":
            told = ", ".join(map(str, folders))
            raise RecordingError(
                f"split is {split!r}, and {told} is no WorldNet: a recording has no splits; leave "
                "the split out."
            )
        return Recording.load(paths)
    if not all(ours):
        told = ", ".join(str(f) for f, is_one in zip(folders, ours, strict=True) if not is_one)
        raise RecordingError(f"{told} is no WorldNet and the others are; train on one kind.")
    loaded = [_load_and_tell(folder, split) for folder in folders]
    for folder, other in zip(folders[1:], loaded[1:], strict=True):
        if (other.specs, other.action_spec) != (loaded[0].specs, loaded[0].action_spec):
            raise RecordingError(
                f"{folders[0]} and {folder} differ in their shapes or words; build them with the "
                "same options."
            )
    episodes = [episode for recording in loaded for episode in recording.episodes]
    return Recording(loaded[0].world, loaded[0].specs, loaded[0].action_spec, episodes)


def _load_and_tell(root: str | Path, split: str) -> Recording:
    """Return one split, with a warning about rows that were left out."""
    loaded = load_worldnet(root, split)
    if loaded.rejected:
        warnings.warn(
            f"{len(loaded.rejected)} rows of the split {split!r} of {root} were left out; the "
            f"first, row {loaded.rejected[0].row}: {loaded.rejected[0].reason} All of them: "
            f"worldgpt worldnet inspect --data {root} --check",
            stacklevel=3,
        )
    return loaded.recording


def is_worldnet(path: str | Path) -> bool:
    """Return whether ``path`` is a WorldNet folder or an annotation file."""
    path = Path(path)
    return path.is_file() or (path / DESCRIPTION).is_file()


def _sequences(rows: Sequence[Row]) -> list[list[Row]]:
    """Cut the rows wherever one does not begin with the state that the one before it ended with."""
    lengths, left = sequence_lengths((row.number, row.transition) for row in rows), iter(rows)
    return [list(islice(left, length)) for length in lengths]


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


def _episode(sequence: Sequence[Row], seed: int, fitted: FittedStates) -> Episode:
    """Return a sequence as an episode; where its states lie side by side nothing is copied."""
    numbers = _moments(sequence)
    first, last = numbers[0], sequence[-1].transition
    side_by_side = numbers == list(range(first, first + len(numbers)))
    where = slice(first, first + len(numbers)) if side_by_side else np.array(numbers)
    present = {modality: there[where] for modality, there in fitted.present.items()}
    return Episode(
        {modality: array[where] for modality, array in fitted.arrays.items()},
        np.stack([row.action for row in sequence]),  # (T, slots)
        np.array([row.transition.reward for row in sequence], np.float32),
        last.terminated,
        not last.terminated,
        seed,
        {modality: there for modality, there in present.items() if not there.all()},
        last.scenario,
    )


def _moments(sequence: Sequence[Row]) -> list[int]:
    """Return the numbers of a sequence's states in order."""
    return [sequence[0].before, *(row.after for row in sequence)]
