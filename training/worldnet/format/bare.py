"""Annotation files that came without a description: shapes and words are read off them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    ImageSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
    VideoSpec,
)

from .annotation import FLOAT32, StateFiles, WorldNetError
from .description import WorldNetDescription
from .folder import WorldNetFolder

SHAPES: dict[Modality, ModalitySpec] = {
    Modality.IMAGE: ImageSpec(64, 64),
    Modality.VIDEO: VideoSpec(4, 64, 64),
    Modality.AUDIO: AudioSpec(2048, 1, 8192),
}


def describe(folder: WorldNetFolder) -> WorldNetDescription:
    """Return a description of a folder without one, from the annotations of all its splits.

    Images are 64x64, videos four such frames, sounds a quarter of a second at 8192 Hz; words and
    numbers are those that occur.

    Raises:
        WorldNetError: no row of any split can be read.
    """
    found = [folder.annotations(split) for split in folder.splits]
    rows = [row for annotations in found for row in annotations.transitions]
    if not rows:
        rejected = [rejection for annotations in found for rejection in annotations.rejected]
        first = f": {rejected[0].place} {rejected[0].reason}" if rejected else ", the list is empty"
        raise WorldNetError(f"no row of {folder.root} can be read{first}.")
    states = [state for row in rows for state in (row.state0, row.state1)]
    specs = {m: spec for m, spec in SHAPES.items() if any(getattr(s, str(m)) for s in states)}
    words, slots = _words(state.text for state in states)
    if words:
        specs[Modality.TEXT] = TextSpec.of(words, slots)
    if any(state.vector for state in states):
        specs[Modality.VECTOR] = _vector(states)
    action = ActionSpec.text(*_words(row.action for row in rows))
    scenarios = tuple(sorted({row.scenario for row in rows} - {""}))
    return WorldNetDescription(folder.root.resolve().name, specs, action, scenarios)


def _words(sentences: Iterable[str]) -> tuple[list[str], int]:
    """Return the words of all sentences, and how many the longest has."""
    split = [sentence.lower().split() for sentence in set(sentences)]
    return sorted({word for words in split for word in words}), max(map(len, split), default=0)


def _vector(states: Iterable[StateFiles]) -> VectorSpec:
    """Return numbers without names, with the range that they have; the commonest length counts."""
    vectors = [state.vector for state in states if state.vector]
    length = Counter(map(len, vectors)).most_common(1)[0][0]
    values = np.array([vector for vector in vectors if len(vector) == length])  # (N, length)
    low, high = values.min(0), values.max(0)
    high = np.where(high > low, high, np.minimum(low + np.maximum(1, np.abs(low)), FLOAT32))
    names = tuple(f"number {number}" for number in range(length))
    return VectorSpec(names, tuple(low.tolist()), tuple(high.tolist()))
