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
from typing import Any, TypeVar

import numpy as np

from .errors import ConfigurationError
from .spec_values import check_count, items_of, names_of, range_of, size_of, sizes_of


class Modality(StrEnum):
    """One kind of observation; the order is the order of the tokens in a step block."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    VECTOR = "vector"


SIDES = ("height", "width")


@dataclass(frozen=True)
class ImageSpec:
    """An RGB image, ``(height, width, 3)`` uint8 in [0, 255]; both sides multiples of 8."""

    height: int
    width: int

    def __post_init__(self) -> None:
        """Refuse sizes that do not split into cells, or are no whole numbers."""
        _set_sides("image", self)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(height, width, 3)``."""
        return (self.height, self.width, 3)

    dtype = np.dtype(np.uint8)


def _set_sides(what: str, spec: ImageSpec | VideoSpec) -> None:
    """Refuse pictures whose sides do not split into cells."""
    height, width = (size_of(f"the {what}'s {side}", getattr(spec, side)) for side in SIDES)
    if height < 16 or width < 16 or height % 8 or width % 8:
        raise ConfigurationError(
            f"{what} is {height}x{width}: both sides must be multiples of 8, from 16."
        )
    object.__setattr__(spec, "height", height)
    object.__setattr__(spec, "width", width)
    check_count(what, spec.shape)


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
        object.__setattr__(self, "frames", size_of("the video's frames", self.frames))
        if self.frames < 2:
            raise ConfigurationError(
                f"video has {self.frames} frames; it needs at least 2: one frame is an image."
            )
        _set_sides("video", self)

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

    def __post_init__(self) -> None:
        """Refuse anything but whole numbers from 1."""
        for field in ("samples", "channels", "rate"):
            value = size_of(f"the audio's {field}", getattr(self, field))
            object.__setattr__(self, field, value)
        check_count("audio", self.shape)

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
        """Refuse a vocabulary without the two reserved words or with a word twice, and no slot."""
        object.__setattr__(self, "slots", size_of("the slots of the text", self.slots))
        object.__setattr__(self, "vocabulary", names_of("the vocabulary", self.vocabulary))
        if self.vocabulary[:2] != ("", "<unknown>"):
            raise ConfigurationError(
                f"the vocabulary starts with {self.vocabulary[:2]!r}; "
                "start it with '' and '<unknown>', or use TextSpec.of(words, slots)."
            )
        if not isinstance(self.ordered, bool | np.bool_):
            raise ConfigurationError(f"ordered is {self.ordered!r} of the text; use True or False.")
        object.__setattr__(self, "ordered", bool(self.ordered))
        check_count("text", self.shape)

    @classmethod
    def of(cls, words: Iterable[str], slots: int, ordered: bool = False) -> TextSpec:
        """Build the spec of a closed vocabulary from its ``words`` (sorted, each kept once)."""
        known = names_of("the words", dict.fromkeys(items_of("the words", words)))
        return cls(slots, ("", "<unknown>", *sorted(set(known) - {"", "<unknown>"})), ordered)

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


UNBOUNDED = 1e30
"""Bound of a number that its world does not bound; what was recorded then tells its range."""


@dataclass(frozen=True)
class VectorSpec:
    """Named numbers, ``(len(names),)`` float32, each in ``[low, high]``.

    A bound of :data:`UNBOUNDED` or more, or of its negative, says that there is none.
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse bounds that do not belong to the names, or are empty intervals."""
        names = names_of("the names of a vector", self.names)
        if not names:
            raise ConfigurationError("a vector has no names; name at least one number.")
        low, high = range_of("the number", names, self.low, self.high)
        for field, value in (("names", names), ("low", low), ("high", high)):
            object.__setattr__(self, field, value)
        check_count("vector", self.shape)

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
        names: a word or phrase per discrete action (``"turn left"``), per box dimension, or per
            part of multidiscrete; or none; no name stands for two actions. The vocabulary of a text
            action.
        low: lower bounds of a box, each below its upper one; else empty.
        high: upper bounds of a box, else empty.
    """

    kind: str
    sizes: tuple[int, ...]
    names: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse unknown kinds, and sizes, names and bounds that do not belong together."""
        if self.kind not in ACTION_KINDS:
            raise ConfigurationError(
                f"action kind {self.kind!r} is unknown; there are {', '.join(ACTION_KINDS)}."
            )
        what = f"the sizes of {self.kind} actions"
        sizes = sizes_of(what, self.sizes)
        if not sizes or (self.kind != "multidiscrete" and len(sizes) > 1):
            wanted = "a size per part" if self.kind == "multidiscrete" else "one number"
            raise ConfigurationError(f"{what} are {sizes}; give {wanted} in a tuple.")
        check_count("an action", (sum(sizes),))
        names = names_of(f"the names of {self.kind} actions", self.names)
        count = len(sizes) if self.kind == "multidiscrete" else sizes[0]
        if names and self.kind != "text" and len(names) != count:
            raise ConfigurationError(
                f"there are {len(names)} names of {self.kind} actions and {count} of them; "
                "name each, or none."
            )
        for field, value in (("sizes", sizes), ("names", names)):
            object.__setattr__(self, field, value)
        self._set_bounds()
        if self.kind == "text":
            TextSpec(sizes[0], names)  # refuses a wrong vocabulary

    def _set_bounds(self) -> None:
        """Refuse bounds that are empty or infinite, or of actions that have none."""
        if self.kind == "box":
            labels = self.names or range(self.sizes[0])
            bounds = range_of("the action", labels, self.low, self.high)
        elif len(self.low) or len(self.high):
            raise ConfigurationError(f"{self.kind} actions have no low and high; leave them out.")
        else:
            bounds = ((), ())
        for field, value in zip(("low", "high"), bounds, strict=True):
            object.__setattr__(self, field, value)

    @classmethod
    def text(cls, words: Iterable[str], slots: int) -> ActionSpec:
        """Build the spec of actions given in ``words``, at most ``slots`` of them at once.

        An action is ``(slots,)`` int64 ids. The empty one, all zeros, lets no time pass: it asks
        for the other modalities of a moment that is described.
        """
        return cls("text", (slots,), TextSpec.of(words, slots).vocabulary)

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
    """Return the specs written by :func:`specs_to_json`, in token order.

    Raises:
        ConfigurationError: a modality is unknown, or the fields are not those of its spec.
    """
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"the modalities are {data!r:.80}; give a spec by modality.")
    unknown = set(data) - {str(modality) for modality in Modality}
    if unknown:
        raise ConfigurationError(
            f"unknown modality {sorted(map(str, unknown))}; there are {[str(m) for m in Modality]}."
        )
    return {
        m: _from_fields(SPEC_OF[m], f"the {m} spec", data[str(m)])
        for m in Modality
        if str(m) in data
    }


def action_from_json(data: Mapping[str, Any]) -> ActionSpec:
    """Return the action spec whose fields ``dataclasses.asdict`` wrote.

    Raises:
        ConfigurationError: they are not its fields.
    """
    return _from_fields(ActionSpec, "the action spec", data)


Spec = TypeVar("Spec", bound=ModalitySpec | ActionSpec)


def _from_fields(kind: type[Spec], what: str, data: Any) -> Spec:
    """Return ``kind`` with the fields in ``data``."""
    known = {field.name: field for field in dataclasses.fields(kind)}
    needed = {n for n, field in known.items() if field.default is dataclasses.MISSING}
    if not isinstance(data, Mapping) or not needed <= set(data) <= set(known):
        raise ConfigurationError(f"{what} is {data!r:.80}; its fields are {', '.join(known)}.")
    return kind(**data)
