"""Encoding: the time steps of a recording as codes, each made once and kept beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from tqdm import tqdm

from worldgpt_env.model.errors import CheckpointError, ConfigurationError, WriteError
from worldgpt_env.model.processor import Processor
from worldgpt_env.model.safe_io import write_tensors
from worldgpt_env.model.safe_tensors import read_tensors_and_texts
from worldgpt_env.model.transitions import TransitionStore

from .data_checks import check_for_model
from .dataset_description import DATA, count_episodes
from .episode import Episode
from .recording import Recording

FOLDER = "encoded"
KEPT = 4
"""Encoded forms that stay beside a recording; the oldest go first."""


def encode_recording(processor: Processor, recording: Recording) -> TransitionStore:
    """Return the encoded time steps of ``recording``; episodes have its order and numbers.

    What comes of a whole dataset stays in ``DATASET/encoded`` under the hash of the processor, and
    is read from there the next time. Everything else is encoded anew.

    Raises:
        RecordingError: it is of another world than the processor, or an episode does not fit.
    """
    check_for_model(recording, processor.specs, processor.action_spec)
    runs = groupby(recording.episodes, key=lambda e: e.source[0] if e.source else None)
    stores = [_encode_run(processor, folder, list(episodes)) for folder, episodes in runs]
    return stores[0] if len(stores) == 1 else TransitionStore.join(stores)


def encode_part(
    processor: Processor, store: TransitionStore, whole: Recording, part: Recording
) -> TransitionStore:
    """Return the encoded time steps of ``part``, whose episodes ``store`` has as part of ``whole``.

    An episode that was cut is another one, and is encoded with all of ``part``.
    """
    places = {id(episode): number for number, episode in enumerate(whole.episodes)}
    if all(id(episode) in places for episode in part.episodes):
        return store.episodes([places[id(episode)] for episode in part.episodes])
    return _encode(processor, part.episodes)


def _encode_run(
    processor: Processor, folder: Path | None, episodes: list[Episode]
) -> TransitionStore:
    """Return episodes that were read from one dataset as codes, from disk if they are there."""
    numbers = [episode.source[1] for episode in episodes if episode.source]
    if folder is None or numbers != list(range(count_episodes(folder))):
        return _encode(processor, episodes)
    path = folder / FOLDER / f"{_key(processor, folder)}.safetensors"
    if path.is_file():
        try:
            tensors, texts = read_tensors_and_texts(path, unchecked=("reward",))
            store = TransitionStore.of(tensors, tuple(json.loads(texts["scenarios"])))
            store.check(processor)
            return store
        except (CheckpointError, ConfigurationError, KeyError, ValueError):
            path.unlink(missing_ok=True)  # it is damaged, and is made again
    store = _encode(processor, episodes)
    with suppress(OSError, WriteError):  # where nothing can be written, it is made again each time
        path.parent.mkdir(exist_ok=True)
        write_tensors(path, store.tensors(), {"scenarios": json.dumps(store.scenarios)})
        for old in sorted(path.parent.glob("*.safetensors"), key=_age)[:-KEPT]:
            old.unlink(missing_ok=True)
    return store


def _encode(processor: Processor, episodes: list[Episode]) -> TransitionStore:
    """Encode ``episodes`` and show how far it is."""
    total = sum(map(len, episodes))
    with tqdm(desc="encode", total=total, unit="step", disable=None) as bar:

        def shown() -> Iterator[Episode]:
            for episode in episodes:
                yield episode
                bar.update(len(episode))

        return TransitionStore.encode(processor, shown())


def _key(processor: Processor, folder: Path) -> str:
    """Return a name for the codes that ``processor`` gives the dataset as it is now."""
    status = (folder / "data" / DATA).stat()
    parts = f"{processor.sha256} {status.st_size} {status.st_mtime_ns}"
    return hashlib.sha256(parts.encode()).hexdigest()[:24]


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns
