"""The modalities of a world and the exact shape of each: what an observation is made of.

Axis letters used in every comment of this project:
``B`` rows of a batch, ``T`` steps, ``N`` tokens, ``D`` width, ``C`` cells of a state, ``G`` digits
of a cell, ``V`` levels of a digit, ``H W`` image height and width, ``K`` ensemble members or
candidates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from .errors import ConfigurationError


class Modality(StrEnum):
    """One kind of observation; the order is the order of the tokens in a step block."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    VECTOR = "vector"


@dataclass(frozen=True)
class ImageSpec:
    """An RGB image, ``(height, width, 3)`` uint8 in [0, 255]; both sides multiples of 8."""

    height: int
    width: int

    def __post_init__(self) -> None:
        """Refuse sizes that do not split into cells."""
        _check_sides("image", self.height, self.width)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(height, width, 3)``."""
        return (self.height, self.width, 3)

    dtype = np.dtype(np.uint8)


def _check_sides(what: str, height: int, width: int) -> None:
    """Refuse pictures whose sides do not split into cells."""
    if height < 16 or width < 16 or height % 8 or width % 8:
        raise ConfigurationError(
            f"{what} is {height}x{width}: both sides must be multiples of 8, from 16."
        )


@dataclass(frozen=True)
class VideoSpec:
    """The frames between two decisions, ``(frames, height, width, 3)`` uint8, newest last.

    Where a world has an image too, that is the newest frame. Sides as those of an image.
    """

    frames: int
    height: int
    width: int

    def __post_init__(self) -> None:
        """Refuse a single frame, and sizes that do not split into cells."""
        if self.frames < 2:
            raise ConfigurationError(
                f"video has {self.frames} frames; it needs at least 2: one frame is an image."
            )
        _check_sides("video", self.height, self.width)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(frames, height, width, 3)``."""
        return (self.frames, self.height, self.width, 3)

    dtype = np.dtype(np.uint8)


@dataclass(frozen=True)
class AudioSpec:
    """The sound since the last decision, ``(samples, channels)`` float32 in [-1, 1]."""

    samples: int
    channels: int
    rate: int  # samples per second

    @property
    def shape(self) -> tuple[int, ...]:
        """``(samples, channels)``."""
        return (self.samples, self.channels)

    dtype = np.dtype(np.float32)


@dataclass(frozen=True)
class TextSpec:
    """Words in a fixed number of slots, ``(slots,)`` int64 ids into ``vocabulary``.

    Id 0 is the empty word that fills unused slots, id 1 is ``<unknown>``.

    Attributes:
        slots: words at most.
        vocabulary: all words there are; their places are the ids.
        ordered: the order of words matters, as in "red ball blue key"; what a policy sees then
            tells the word of each slot, else only which words there are.
    """

    slots: int
    vocabulary: tuple[str, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        """Refuse a vocabulary without the two reserved words, or with a word twice."""
        object.__setattr__(self, "vocabulary", tuple(self.vocabulary))
        if self.vocabulary[:2] != ("", "<unknown>"):
            raise ConfigurationError(
                f"the vocabulary starts with {self.vocabulary[:2]!r}; "
                "start it with '' and '<unknown>', or use TextSpec.of(words, slots)."
            )
        if len(set(self.vocabulary)) != len(self.vocabulary):
            raise ConfigurationError("the vocabulary holds a word twice.")

    @classmethod
    def of(cls, words: list[str], slots: int, ordered: bool = False) -> TextSpec:
        """Build the spec of a closed vocabulary from its ``words`` (sorted, each kept once)."""
        return cls(slots, ("", "<unknown>", *sorted(set(words) - {"", "<unknown>"})), ordered)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(slots,)``."""
        return (self.slots,)

    dtype = np.dtype(np.int64)

    def encode(self, sentence: str) -> np.ndarray:
        """Return the ids of ``sentence``, ``(slots,)`` int64; too many words are an error."""
        index = {word: number for number, word in enumerate(self.vocabulary)}
        words = sentence.lower().split()
        if len(words) > self.slots:
            raise ConfigurationError(
                f"{sentence!r} has {len(words)} words and the text modality {self.slots} slots."
            )
        ids = np.zeros(self.slots, np.int64)
        ids[: len(words)] = [index.get(word, 1) for word in words]
        return ids  # (slots,)

    def decode(self, ids: np.ndarray) -> str:
        """Return the sentence of ``ids`` ``(slots,)``; empty slots are skipped."""
        return " ".join(self.vocabulary[int(i)] for i in ids if int(i) != 0)


@dataclass(frozen=True)
class VectorSpec:
    """Named numbers, ``(len(names),)`` float32, each in ``[low, high]`` of the recording."""

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse bounds that do not belong to the names, or are empty intervals."""
        object.__setattr__(self, "names", tuple(self.names))
        for field in ("low", "high"):  # numpy's numbers too, which JSON does not know
            object.__setattr__(self, field, tuple(float(bound) for bound in getattr(self, field)))
        if not len(self.names) == len(self.low) == len(self.high):
            raise ConfigurationError("names, low and high of a vector must have one length.")
        for name, low, high in zip(self.names, self.low, self.high, strict=True):
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise ConfigurationError(f"the number {name!r} has the range [{low}, {high}].")

    @property
    def shape(self) -> tuple[int, ...]:
        """``(len(names),)``."""
        return (len(self.names),)

    dtype = np.dtype(np.float32)


ModalitySpec = ImageSpec | VideoSpec | AudioSpec | TextSpec | VectorSpec

SPEC_OF: dict[Modality, type[ModalitySpec]] = {
    Modality.IMAGE: ImageSpec,
    Modality.VIDEO: VideoSpec,
    Modality.AUDIO: AudioSpec,
    Modality.TEXT: TextSpec,
    Modality.VECTOR: VectorSpec,
}


ACTION_KINDS = ("discrete", "box", "multidiscrete", "text")


@dataclass(frozen=True)
class ActionSpec:
    """What an agent may do: one of n, a bounded vector, several choices at once, or words.

    Attributes:
        kind: one of :data:`ACTION_KINDS`.
        sizes: ``(n,)`` for discrete, a size per part for multidiscrete, ``(dimensions,)`` for box,
            ``(slots,)`` for text.
        names: a word or phrase per discrete action (``"turn left"``), or per box dimension; the
            vocabulary of a text action.
        low: lower bounds of a box, else empty.
        high: upper bounds of a box, else empty.
    """

    kind: str
    sizes: tuple[int, ...]
    names: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse unknown kinds and bounds of the wrong length."""
        for field, kind in (("sizes", int), ("names", str), ("low", float), ("high", float)):
            object.__setattr__(self, field, tuple(kind(item) for item in getattr(self, field)))
        if self.kind not in ACTION_KINDS:
            raise ConfigurationError(
                f"action kind {self.kind!r} is unknown; there are {', '.join(ACTION_KINDS)}."
            )
        if self.kind == "box" and not len(self.low) == len(self.high) == self.sizes[0]:
            raise ConfigurationError("a box action needs one low and one high bound per dimension.")
        if self.kind == "text":
            TextSpec(self.sizes[0], self.names)  # refuses a wrong vocabulary

    @classmethod
    def text(cls, words: Iterable[str], slots: int) -> ActionSpec:
        """Build the spec of actions given in ``words``, at most ``slots`` of them at once.

        An action is ``(slots,)`` int64 ids. The empty one, all zeros, lets no time pass: it asks
        for the other modalities of a moment that is described.
        """
        return cls("text", (slots,), TextSpec.of(list(words), slots).vocabulary)

    @property
    def vocabulary(self) -> TextSpec:
        """The words of a text action, with ``encode`` and ``decode``."""
        if self.kind != "text":
            raise ConfigurationError(f"{self.kind} actions have no vocabulary.")
        return TextSpec(self.sizes[0], self.names)


def specs_to_json(specs: Mapping[Modality, ModalitySpec]) -> dict[str, Any]:
    """Return ``specs`` as plain JSON values, keyed by observation key."""
    return {str(modality): dataclasses.asdict(spec) for modality, spec in specs.items()}


def specs_from_json(data: Mapping[str, Any]) -> dict[Modality, ModalitySpec]:
    """Return the specs written by :func:`specs_to_json`, in token order."""
    unknown = set(data) - {str(modality) for modality in Modality}
    if unknown:
        raise ConfigurationError(
            f"unknown modality {sorted(unknown)}; there are {[str(m) for m in Modality]}."
        )
    return {m: SPEC_OF[m](**data[str(m)]) for m in Modality if str(m) in data}
