"""The values of specs: whole sizes, names that differ, ranges that are not empty."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .errors import ConfigurationError

MOST_VALUES = 2**26
"""Numbers in one observation or action at most: a larger one is a mistake, and fills the memory."""


def size_of(what: str, value: Any) -> int:
    """Return ``value`` as an int from 1; booleans, fractions and text are refused."""
    try:
        size = -1 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        size = -1
    if size < 1:
        raise ConfigurationError(f"{what} is {_shown(value)}; give a whole number from 1.")
    return size


def sizes_of(what: str, values: Any) -> tuple[int, ...]:
    """Return whole numbers from 1."""
    return tuple(size_of(f"one of {what}", value) for value in items_of(what, values))


def names_of(what: str, values: Any) -> tuple[str, ...]:
    """Return names, each once."""
    names = tuple(items_of(what, values))
    if set(map(type, names)) - {str}:  # vocabularies are long: most of them are looked at once
        wrong = next((name for name in names if not isinstance(name, str)), None)
        if wrong is not None:
            raise ConfigurationError(f"{what}: {_shown(wrong)} is no text; give words.")
        names = tuple(str(name) for name in names)  # numpy's str_ is shown otherwise
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(f"{what}: {_shown(twice)} is there twice; give each once.")
    return names


def range_of(
    what: str, labels: Sequence[str] | range, low: Any, high: Any
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return a lower and an upper bound for each of ``labels``, of ``what``, as floats.

    They are compared as float32, as the arrays that they bound have it.
    """
    bounds = (items_of("the lower bounds", low), items_of("the upper bounds", high))
    if not len(bounds[0]) == len(bounds[1]) == len(labels):
        raise ConfigurationError(
            f"there are {len(labels)} numbers, {len(bounds[0])} lower and {len(bounds[1])} upper "
            "bounds; names, low and high must have one length: one low and one high bound each."
        )
    for label, *pair in zip(labels, *bounds, strict=True):
        if not _is_range(*pair):
            label = label if isinstance(label, str) else f"dimension {label}"
            raise ConfigurationError(
                f"{what} {label!r} has the range [{_shown(pair[0])}, {_shown(pair[1])}]; give two "
                "finite float32 numbers, the lower one first."
            )
    lower, upper = (tuple(float(bound) for bound in part) for part in bounds)
    return lower, upper


def check_count(what: str, shape: tuple[int, ...]) -> None:
    """Refuse shapes of more numbers than any memory is meant for."""
    if math.prod(shape) > MOST_VALUES:
        raise ConfigurationError(
            f"{what} of shape {shape} has {math.prod(shape)} numbers; {MOST_VALUES} is the most."
        )


def _is_range(low: Any, high: Any) -> bool:
    for bound in (low, high):
        if isinstance(bound, bool | np.bool_) or not isinstance(
            bound, int | float | np.integer | np.floating
        ):
            return False
    try:
        with np.errstate(over="ignore"):
            lower, upper = np.float32(low), np.float32(high)
            return bool(lower < upper and np.isfinite(upper - lower))
    except OverflowError:  # a whole number beyond any float
        return False


def items_of(what: str, values: Any) -> Sequence[Any]:
    """Return the items of ``values``; text is not taken for its letters."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{what}: {_shown(values)} is no tuple; give one.")
    return values if isinstance(values, tuple) else list(values)


def _shown(value: Any) -> str:
    return f"{value!r:.80}"
