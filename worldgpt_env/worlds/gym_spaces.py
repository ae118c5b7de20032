"""From the spaces of any Gymnasium environment to modalities and actions, values with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from PIL import Image

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import (
    UNBOUNDED,
    ActionSpec,
    ImageSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
)

MOST_NUMBERS = 4096
SUPPORTED = (
    "Box, Discrete, MultiDiscrete, MultiBinary, Text (observed only), and Dict and Tuple of these"
)


@dataclass(frozen=True)
class Leaf:
    """A space that holds no others, and where it stands.

    Attributes:
        path: keys and places that lead to it, outermost first.
        space: the space.
    """

    path: tuple[str | int, ...]
    space: spaces.Space

    @property
    def name(self) -> str:
        """The path in words, as ``"arm/0"``; ``""`` for a space that stands alone."""
        return "/".join(str(part) for part in self.path)

    @property
    def is_image(self) -> bool:
        """Whether it is a picture: uint8, two sides from 16, and 1 or 3 colours or none."""
        shape = self.space.shape or ()
        sides = shape[:2]
        plain = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
        return (
            isinstance(self.space, spaces.Box)
            and self.space.dtype == np.uint8
            and plain
            and min(sides) >= 16
        )

    def take(self, value: Any) -> Any:
        """Return the part of ``value`` that stands at the path."""
        for part in self.path:
            value = value[part]
        return value


def leaves(space: spaces.Space, path: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    """Yield the leaves of ``space`` in its own order."""
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            yield from leaves(part, (*path, key))
    elif isinstance(space, spaces.Tuple):
        for number, part in enumerate(space.spaces):
            yield from leaves(part, (*path, number))
    else:
        yield Leaf(path, space)


class ObservationConverter:
    """Turns observations of a foreign space into those of a world.

    All numbers are joined in one vector: a Box as it is, MultiBinary as 0 and 1, Discrete and
    MultiDiscrete one-hot. One picture becomes the image, in RGB, its sides rounded to multiples of
    8. One Text becomes the text, its words those that were met when the world was opened.

    Attributes:
        specs: what the observations become.
    """

    def __init__(self, space: spaces.Space, sentences: list[Any] | None = None) -> None:
        """Read ``space``.

        Args:
            space: of the observations.
            sentences: observations in which words of Text spaces were met.

        Raises:
            ConfigurationError: a part of it cannot become a modality.
        """
        parts = list(leaves(space))
        self._images = [leaf for leaf in parts if leaf.is_image]
        self._texts = [leaf for leaf in parts if _is_text(leaf.space)]
        self._numbers = [leaf for leaf in parts if leaf not in self._images + self._texts]
        for kind, found in (("picture", self._images), ("text", self._texts)):
            if len(found) > 1:
                names = ", ".join(repr(leaf.name) for leaf in found)
                raise ConfigurationError(
                    f"the observations have more than one {kind} ({names}); a world has one: "
                    "leave the others out with a gymnasium.ObservationWrapper."
                )
        self.specs: dict[Modality, ModalitySpec] = {}
        if self._images:
            self.specs[Modality.IMAGE] = _image_spec(self._images[0].space.shape or ())
        if self._texts:
            self.specs[Modality.TEXT] = _text_spec(self._texts[0], sentences or [])
        if self._numbers:
            self.specs[Modality.VECTOR] = _vector_spec(self._numbers)

    @property
    def has_text(self) -> bool:
        """Whether words are to be met before the specs are known."""
        return bool(self._texts)

    def __call__(self, observation: Any) -> tuple[dict[str, np.ndarray], str]:
        """Return the observation by modality, and its sentence."""
        converted: dict[str, np.ndarray] = {}
        sentence = ""
        for modality, spec in self.specs.items():
            if isinstance(spec, ImageSpec):
                converted[modality] = _picture(self._images[0].take(observation), spec)
            elif isinstance(spec, TextSpec):
                sentence = str(self._texts[0].take(observation))
                converted[modality] = spec.encode(sentence)
            else:
                parts = [_numbers(leaf, leaf.take(observation)) for leaf in self._numbers]
                converted[modality] = np.concatenate(parts).astype(np.float32)
        return {str(modality): value for modality, value in converted.items()}, sentence


class ActionConverter:
    """Turns actions of a world into those of a foreign space.

    Attributes:
        spec: the actions of the world: ``discrete``, ``box`` (all Boxes joined) or
            ``multidiscrete`` (all choices joined).
    """

    def __init__(self, space: spaces.Space) -> None:
        """Read ``space``.

        Raises:
            ConfigurationError: a part of it is no choice and no bounded number, or it has both.
        """
        self._space = space
        self._leaves = list(leaves(space))
        boxes = [leaf for leaf in self._leaves if isinstance(leaf.space, spaces.Box)]
        for leaf in self._leaves:
            _check_action(leaf)
        if boxes and len(boxes) < len(self._leaves):
            choice = next(leaf for leaf in self._leaves if leaf not in boxes)
            raise ConfigurationError(
                f"the actions have numbers ({boxes[0].name!r}) and choices ({choice.name!r}) at "
                "once; a world takes one kind: fix one of them with a gymnasium.ActionWrapper."
            )
        if boxes:
            self.spec = _box_spec(boxes)
        elif len(self._leaves) == 1 and isinstance(space, spaces.Discrete):
            self.spec = ActionSpec("discrete", (int(space.n),))
        else:
            sizes = [size for leaf in self._leaves for size in _sizes(leaf.space)]
            self.spec = ActionSpec("multidiscrete", tuple(sizes))

    def __call__(self, action: Any) -> Any:
        """Return the foreign action that ``action`` stands for."""
        given, place = np.atleast_1d(np.asarray(action)), 0
        values: dict[tuple[str | int, ...], Any] = {}
        for leaf in self._leaves:
            size = _width(leaf.space)
            values[leaf.path] = _foreign(leaf.space, given[place : place + size])
            place += size
        return _nested(self._space, (), values)


def _is_text(space: spaces.Space) -> bool:
    """Return whether ``space`` holds sentences, as Text and MiniGrid's missions do."""
    return isinstance(space, spaces.Text) or type(space).__name__ == "MissionSpace"


def _image_spec(shape: tuple[int, ...]) -> ImageSpec:
    """Return the image that a picture of ``shape`` becomes: sides rounded to multiples of 8."""
    height, width = (max(16, round(side / 8) * 8) for side in shape[:2])
    return ImageSpec(height, width)


def _picture(value: Any, spec: ImageSpec) -> np.ndarray:
    """Return a picture in RGB with the sides of ``spec``."""
    array = np.asarray(value)
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    if array.shape[:2] == (spec.height, spec.width):
        return array.copy()
    size = (spec.width, spec.height)
    return np.asarray(Image.fromarray(array).resize(size, Image.Resampling.BILINEAR)).copy()


def _text_spec(leaf: Leaf, observations: list[Any]) -> TextSpec:
    """Return the spec of the sentences that stand at ``leaf`` in ``observations``."""
    sentences = [str(leaf.take(observation)).lower().split() for observation in observations]
    words = [word for sentence in sentences for word in sentence]
    slots = max((len(sentence) for sentence in sentences), default=0) + 2
    return TextSpec.of(words, max(4, slots), ordered=True)


def _vector_spec(parts: list[Leaf]) -> VectorSpec:
    """Return the vector that all numbers of ``parts`` make."""
    names: list[str] = []
    low: list[float] = []
    high: list[float] = []
    for leaf in parts:
        lows, highs = _range(leaf)
        prefix = leaf.name or "number"
        names += [f"{prefix}[{n}]" if len(lows) > 1 else prefix for n in range(len(lows))]
        low += lows.tolist()
        high += highs.tolist()
    if len(names) > MOST_NUMBERS:
        largest = max(parts, key=lambda leaf: _width_of_numbers(leaf))
        raise ConfigurationError(
            f"the observations hold {len(names)} numbers, most of them in {largest.name!r}; at "
            f"most {MOST_NUMBERS} are read as numbers. Pictures are Box of uint8 (height, width, "
            "3), (height, width, 1) or (height, width)."
        )
    return VectorSpec(tuple(names), tuple(low), tuple(high))


def _range(leaf: Leaf) -> tuple[np.ndarray, np.ndarray]:
    """Return lows and highs of the numbers of ``leaf``, ``(n,)`` float64."""
    space = leaf.space
    if isinstance(space, spaces.Box):
        low = np.asarray(space.low, np.float64).ravel().clip(-UNBOUNDED, UNBOUNDED)
        high = np.asarray(space.high, np.float64).ravel().clip(-UNBOUNDED, UNBOUNDED)
        return low, np.where(high > low, high, low + 1.0)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        width = _width_of_numbers(leaf)
        return np.zeros(width), np.ones(width)
    raise ConfigurationError(
        f"the observation {leaf.name or 'space'!r} is a {type(space).__name__}, which no modality "
        f"can hold; there are {SUPPORTED}."
    )


def _width_of_numbers(leaf: Leaf) -> int:
    """Return how many numbers an observation of ``leaf`` becomes."""
    space = leaf.space
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    return int(np.prod(space.shape or ()))


def _numbers(leaf: Leaf, value: Any) -> np.ndarray:
    """Return the numbers of one observation of ``leaf``, ``(n,)``."""
    space = leaf.space
    if isinstance(space, spaces.Discrete):
        return np.eye(int(space.n), dtype=np.float32)[int(value) - int(space.start)]
    if isinstance(space, spaces.MultiDiscrete):
        chosen = (np.asarray(value) - space.start).ravel()
        sizes = space.nvec.ravel()
        parts = [np.eye(n, dtype=np.float32)[c] for n, c in zip(sizes, chosen, strict=True)]
        return np.concatenate(parts)
    return np.asarray(value, np.float64).ravel()


def _check_action(leaf: Leaf) -> None:
    """Refuse what is no choice and no bounded number."""
    space, name = leaf.space, leaf.name or "space"
    if isinstance(space, spaces.Box):
        if not space.is_bounded():
            raise ConfigurationError(
                f"the action {name!r} is a Box without bounds; bound it, as with "
                "gymnasium.wrappers.RescaleAction or an ActionWrapper."
            )
        if not (space.low < space.high).all():
            raise ConfigurationError(f"the action {name!r} is a Box that holds a single value.")
    elif not isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise ConfigurationError(
            f"the action {name!r} is a {type(space).__name__}; a world takes {SUPPORTED}."
        )


def _box_spec(boxes: list[Leaf]) -> ActionSpec:
    """Return the spec of all numbers of ``boxes``."""
    low = np.concatenate([np.asarray(leaf.space.low, np.float32).ravel() for leaf in boxes])  # type: ignore[attr-defined]
    high = np.concatenate([np.asarray(leaf.space.high, np.float32).ravel() for leaf in boxes])  # type: ignore[attr-defined]
    return ActionSpec("box", (len(low),), (), tuple(low.tolist()), tuple(high.tolist()))


def _sizes(space: spaces.Space) -> list[int]:
    """Return how many choices each part of a discrete space has."""
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(size) for size in space.nvec.ravel()]
    return [2] * int(np.prod(space.shape or ()))


def _width(space: spaces.Space) -> int:
    """Return how many numbers of a world's action belong to ``space``."""
    return 1 if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or ()))


def _foreign(space: spaces.Space, part: np.ndarray) -> Any:
    """Return the value of ``space`` that ``part`` stands for."""
    if isinstance(space, spaces.Discrete):
        return int(part[0]) + int(space.start)
    if isinstance(space, spaces.MultiDiscrete):
        return (part.reshape(space.shape) + space.start).astype(space.dtype)
    return part.reshape(space.shape).astype(space.dtype)


def _nested(space: spaces.Space, path: tuple[str | int, ...], values: dict[Any, Any]) -> Any:
    """Return the value of ``space`` whose leaves stand in ``values`` by path."""
    if isinstance(space, spaces.Dict):
        return {key: _nested(part, (*path, key), values) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_nested(part, (*path, n), values) for n, part in enumerate(space.spaces))
    return values[path]
