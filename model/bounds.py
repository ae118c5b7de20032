"""Bounds: every number of a configuration has a kind and a range, checked when it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, TypeVar

from .arguments import check_path
from .errors import ConfigurationError, WorldGPTError
from .safe_json import shorten

MOST = 2**31 - 1
COUNT, STEPS = (1, MOST), (1, 10**12)
EPISODES, WORLDS = 10**6, (1, 1024)  # real ones, of which each may be a process
HORIZON = 10**6  # steps into a recorded episode
ROWS, LENGTH = (1, 2**16), (1, 2**12)  # of a batch, and of a window: beyond, no memory holds them
HUGE = 1e300
TEXT = 4096
T = TypeVar("T")

_KINDS: dict[str, tuple[type, str]] = {
    "int": (Integral, "a whole number"),
    "float": (Real, "a finite number"),
    "str": (str, "a text"),
    "bool": (bool, "true or false"),
}


def check_fields(config: Any, **ranges: tuple[float, float]) -> None:
    """Refuse a dataclass whose fields are of another kind than declared, or out of range.

    Args:
        config: its numbers, texts, flags and paths are checked, and tuples of these; other fields
            are not.
        **ranges: least and most of a number by its name. Where none is given, whole numbers go
            from 0 to 2 ** 31 - 1, others are finite. Texts have up to 4096 characters.

    Raises:
        ConfigurationError: naming the field, its value and what it may be.
    """
    for entry in dataclasses.fields(config):
        kind, value = str(entry.type), getattr(config, entry.name)
        if value is None and kind.endswith(" | None"):
            continue
        kind, _, inner = kind.removesuffix(" | None").partition("[")
        several = kind == "tuple" and isinstance(value, tuple | list)
        for item in value if several else (value,):
            kind = inner.partition(",")[0] if several else kind
            name = f"{type(config).__name__}.{entry.name}"
            if kind in _KINDS:
                check_value(name, item, kind, *ranges.get(entry.name, (None, None)))
            elif kind in ("Path", "str | Path"):
                check_path(name, item)


def check_value(
    name: str, value: Any, kind: str, least: float | None = None, most: float | None = None
) -> None:
    """Refuse a value that is no ``kind`` (``"int"``, ``"float"``, ...) from ``least`` to ``most``.

    Raises:
        ConfigurationError: naming it, its value and what it may be.
    """
    wanted, told = _KINDS[kind]
    good = isinstance(value, wanted) and (kind == "bool") == isinstance(value, bool)
    if kind == "int" and least is None:
        least, most = 0, MOST
    if kind == "str":
        good = good and len(value) <= TEXT and "\0" not in value
    elif kind != "bool":
        low, high = (-HUGE if least is None else least), (HUGE if most is None else most)
        good = good and low <= value <= high  # which NaN is not
    if not good:
        told = told.replace("finite ", "") if least is not None else told
        span = f" from {least} to {most}" if least is not None else ""
        span = f" of up to {TEXT} characters" if kind == "str" else span
        raise ConfigurationError(f"{name} is {shorten(value)}; it must be {told}{span}.")


def from_fields(kind: type[T], data: Any, what: str) -> T:
    """Return the dataclass ``kind`` made of the fields ``data``.

    Raises:
        ConfigurationError: ``data`` is no object, has fields that ``kind`` lacks or lacks some that
            it has, or values that it does not take; ``what`` says what they are of.
    """
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    known = {entry.name for entry in fields}
    plain = (dataclasses.MISSING, dataclasses.MISSING)
    needed = {entry.name for entry in fields if (entry.default, entry.default_factory) == plain}
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{what} is {shorten(data)}; it must be an object with fields.")
    missing, foreign = sorted(needed - set(data)), sorted(set(map(str, data)) - known)
    if missing or foreign:
        raise ConfigurationError(
            f"the fields of {what} do not fit: {missing} are missing and {foreign} unknown; there "
            f"are {sorted(known)}."
        )
    try:
        return kind(**data)
    except WorldGPTError:
        raise
    except (TypeError, ValueError, OverflowError, AttributeError, LookupError) as error:
        raise ConfigurationError(f"{what} cannot be {shorten(data, 120)}: {error}.") from error
