"""Whether arrays fit the specs: the door of everything that is recorded, learned from or lived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .modalities import ActionSpec, AudioSpec, Modality, ModalitySpec, TextSpec, VectorSpec

WHOLE: frozenset[np.dtype[Any]] = frozenset(np.dtype(code) for code in np.typecodes["AllInteger"])
"""The dtypes that a discrete action may have; all are stored as int64."""
FRACTIONS: frozenset[np.dtype[Any]] = frozenset((np.dtype(np.float32), np.dtype(np.float16)))
"""The dtypes that a box action may have; both are stored as float32."""
NUMBERS = (float, int, np.floating, np.integer, np.bool_)
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Misfit:
    """The first thing of an array that does not fit.

    Attributes:
        row: the time step or action, counted from 0; None: the array as a whole.
        came: what is there.
        expected: what should be there.
    """

    row: int | None
    came: str
    expected: str


@dataclass(frozen=True)
class ArrayCheck:
    """What one observation of a modality, or one action, must be.

    Attributes:
        shape: of one.
        dtypes: those that it may have.
        kind: the same in words.
        low: the least values, which broadcast to ``shape``; None: any of the dtype's.
        high: the greatest values.
        allowed: the same in words.
        labels: what each number is called; ``()``: they are counted.
    """

    shape: tuple[int, ...]
    dtypes: frozenset[np.dtype[Any]]
    kind: str
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    allowed: str = ""
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: ModalitySpec) -> ArrayCheck:
        """Return the check of a modality's observations; the dtype is exact."""
        dtypes, kind = frozenset((spec.dtype,)), f"dtype {spec.dtype}"
        if isinstance(spec, AudioSpec):
            low, high = np.full(1, -1, np.float32), np.ones(1, np.float32)
            return cls(spec.shape, dtypes, kind, low, high, "numbers from -1 to 1")
        if isinstance(spec, TextSpec):
            last = len(spec.vocabulary) - 1
            allowed = f"word ids from 0 to {last}"
            return cls(spec.shape, dtypes, kind, np.zeros(1, np.int64), np.array([last]), allowed)
        if isinstance(spec, VectorSpec):
            return cls._of_ranges(dtypes, kind, spec.names, spec.low, spec.high)
        return cls(spec.shape, dtypes, kind)

    @classmethod
    def of_actions(cls, spec: ActionSpec) -> ArrayCheck:
        """Return the check of actions: whole numbers of any width, or float32 of a box."""
        if spec.kind == "box":
            labels = spec.names or tuple(f"dimension {n}" for n in range(spec.sizes[0]))
            return cls._of_ranges(FRACTIONS, "dtype float32", labels, spec.low, spec.high)
        labels, high = spec.names, np.array(spec.sizes) - 1
        if spec.kind == "discrete":
            labels, high = (), high[0, ...]
        elif spec.kind == "text":
            labels, high = (), np.full(spec.sizes, len(spec.names) - 1)
        last = ", ".join(map(str, high.tolist())) if high.ndim else str(high)
        allowed = f"{'whole numbers' if high.ndim else 'a whole number'} from 0 to {last}"
        low = np.zeros_like(high)
        return cls(high.shape, WHOLE, "dtype int64", low, high, allowed, labels)

    @classmethod
    def _of_ranges(
        cls,
        dtypes: frozenset[np.dtype[Any]],
        kind: str,
        labels: tuple[str, ...],
        low: tuple[float, ...],
        high: tuple[float, ...],
    ) -> ArrayCheck:
        """Return the check of a vector of named numbers."""
        told = [f"{n} in [{a:g}, {b:g}]" for n, a, b in zip(labels, low, high, strict=True)]
        allowed = ", ".join(told[:4]) + (f" and {len(told) - 4} more" if len(told) > 4 else "")
        least, greatest = np.array(low, np.float32), np.array(high, np.float32)
        return cls((len(labels),), dtypes, kind, least, greatest, allowed, labels)

    def one(self, array: Any) -> Misfit | None:
        """Return what does not fit of one observation or action ``(*shape)``; None if it fits."""
        return self._whole(array, self.shape) or self._values(array[None])

    def many(self, array: Any, rows: int, absent: np.ndarray | None = None) -> Misfit | None:
        """Return what does not fit of ``(rows, *shape)``; None if all do.

        Args:
            array: what to check.
            rows: how many there should be.
            absent: ``(rows,)`` bool: where nothing is there; zeros are allowed too.
        """
        return self._whole(array, (rows, *self.shape)) or self._values(array, absent)

    def _whole(self, array: Any, shape: tuple[int, ...]) -> Misfit | None:
        """Compare type, shape and dtype."""
        if isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray):
            if array.shape == shape and array.dtype in self.dtypes:
                return None
            came = f"has shape {array.shape} and dtype {array.dtype}"
        else:
            came = f"is a {type(array).__name__} and no plain numpy array"
        return Misfit(None, came, f"shape {shape} and {self.kind}")

    def _values(self, array: np.ndarray, absent: np.ndarray | None = None) -> Misfit | None:
        """Compare the values ``(rows, *shape)``; NaN is in no range."""
        if self.low is None or self.high is None:
            return None
        inside = (array >= self.low) & (array <= self.high)  # (rows, *shape)
        if inside.all():
            return None
        fits = inside.reshape(len(array), -1).all(1)  # (rows,)
        if absent is not None:
            fits |= absent & ~array.reshape(len(array), -1).any(1)
        if fits.all():
            return None
        row = int(np.argmin(fits))
        place = tuple(int(index) for index in np.argwhere(~inside[row])[0])
        return Misfit(row, self._told(place, array[row][place]), self.allowed)

    def _told(self, place: tuple[int, ...], value: Any) -> str:
        """Return in words that the number at ``place`` of one observation or action is there."""
        if not place:
            return f"is {value}"
        if self.labels:
            return f"has {self.labels[place[0]]} {value}"
        return f"has {value} at {list(place)}"


class ObservationCheck:
    """Checks the observations of a world, one at a time."""

    def __init__(self, specs: Mapping[Modality, ModalitySpec]) -> None:
        """Prepare the bounds of ``specs``."""
        self._checks = {str(modality): ArrayCheck.of(spec) for modality, spec in specs.items()}

    def problem(self, observation: Any) -> str:
        """Return in words what does not fit; ``""`` if all does.

        Args:
            observation: per modality an array of the shape, dtype and range of its spec.
        """
        if not isinstance(observation, Mapping):
            return (
                f"the observation is a {type(observation).__name__}; expected is a dict of arrays"
            )
        if observation.keys() != self._checks.keys():
            keys = sorted(map(str, observation))
            return f"the observation has the keys {keys}; expected are {sorted(self._checks)}"
        for key, check in self._checks.items():
            misfit = check.one(observation[key])
            if misfit is not None:
                return (
                    f"the {key} is outside its space: it {misfit.came}; expected is "
                    f"{misfit.expected}"
                )
        return ""


def reward_problem(reward: Any) -> str:
    """Return in words why ``reward`` is no reward; ``""`` if it is a number that float32 holds."""
    if isinstance(reward, NUMBERS) and -LARGEST <= reward <= LARGEST:  # False for NaN
        return ""
    return f"the reward is {reward!r:.80}; expected is a finite number that float32 can hold"


def ends_problem(terminated: Any, truncated: Any) -> str:
    """Return in words what is wrong with how a step ends; ``""`` if nothing is."""
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            return f"{name} is {flag!r:.80}; expected is True or False"
    if terminated and truncated:
        return (
            "the episode is terminated and truncated at once; expected is one of both: truncated "
            "only where the world has not ended by itself"
        )
    return ""
