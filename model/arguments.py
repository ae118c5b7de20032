"""Checks of arguments: whole numbers, numbers, flags and names, each with one sentence if wrong.

An argument that passes is returned as a plain Python value, so that what follows never meets a
bool that counts as 1, a NaN, or an array where a number is meant.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from .errors import ConfigurationError


def check_whole(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Return ``value`` as a whole number from ``least`` to ``most``; a bool is none.

    Raises:
        ConfigurationError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        fits = False
    else:
        fits = least <= int(value) and (most is None or int(value) <= most)
    if not fits:
        span = f"from {least}" + ("" if most is None else f" to {most}")
        raise ConfigurationError(f"{name} is {shown(value)}; use a whole number {span}.")
    return int(value)  # type: ignore[call-overload]


def check_number(
    name: str, value: object, low: float = 0.0, high: float = math.inf, *, above: bool = False
) -> float:
    """Return ``value`` as a number from ``low`` (``above`` it, if so) to ``high``; never NaN.

    Infinity is only allowed where ``high`` is infinite and ``value`` is ``math.inf`` itself.

    Raises:
        ConfigurationError: it is something else.
    """
    fits = isinstance(value, Real) and not isinstance(value, bool)
    if fits:
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:  # 10**400
            number = math.nan
        fits = (low < number if above else low <= number) and number <= high  # False for NaN
    if not fits:
        span = f"{'above' if above else 'from'} {low:g}"
        span += "" if high == math.inf else f", finite and at most {high:g}"
        raise ConfigurationError(f"{name} is {shown(value)}; use a number {span}.")
    return number


MOST_PENALTY = 1e6  # times an uncertainty, this still is a float32
LONGEST_NAME = 255  # bytes, of a file or folder; as in all usual file systems
COLDEST, HOTTEST = 1e-6, 1e6  # beyond, logits over the temperature leave float32


def check_temperature(name: str, value: object) -> float:
    """Return ``value``, which must be 0 (the most likely outcome) or a number that samples.

    Raises:
        ConfigurationError: it is something else.
    """
    number = check_number(name, value, 0.0, HOTTEST)
    if 0 < number < COLDEST:
        raise ConfigurationError(
            f"{name} is {shown(value)}; use 0, which takes the most likely outcome, or a number "
            f"from {COLDEST:g} to {HOTTEST:g}."
        )
    return number


def check_flag(name: str, value: object) -> bool:
    """Return ``value``, which must be True or False.

    Raises:
        ConfigurationError: it is something else.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} is {shown(value)}; use True or False.")
    return value


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return ``value``, which must be one of the texts ``choices``.

    Raises:
        ConfigurationError: it is something else.
    """
    if not isinstance(value, str) or value not in choices:
        *others, last = map(repr, choices)
        raise ConfigurationError(f"{name} is {shown(value)}; use {', '.join(others)} or {last}.")
    return value


def near(word: str, known: Iterable[str]) -> str:
    """Return ``"; near are 'left', 'lift'"`` out of ``known``, or ``""`` if none is near."""
    found = difflib.get_close_matches(word, sorted(set(known)), n=3)
    verb = "is" if len(found) == 1 else "are"
    return f"; near {verb} {', '.join(map(repr, found))}" if found else ""


def check_path(name: str, value: object) -> Path:
    """Return ``value``, which must be a path that a file can have, or a text that is one.

    Raises:
        ConfigurationError: it is something else.
    """
    name_bytes = b""
    if isinstance(value, str | Path):
        with suppress(UnicodeEncodeError):
            name_bytes = os.fsencode(value)
    parts = name_bytes.split(b"/")
    if not name_bytes or b"\0" in name_bytes or max(map(len, parts)) > LONGEST_NAME:
        raise ConfigurationError(f"{name} is {shown(value)}; use the path of a file or folder.")
    return Path(value)  # type: ignore[arg-type]


def shown(value: Any, most: int = 80) -> str:
    """Return ``value`` for an error: its ``repr`` in one line of at most ``most`` characters."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a foreign object may fail to describe itself
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else text[: most - 1] + "…"
