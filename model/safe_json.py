"""JSON from disk, read at one door: bounded, finite, no key twice, and the fields of an object."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import CheckpointError, WorldGPTError

LARGEST = 2**24
"""Bytes of a file of our own; none that we write comes near."""
DEEPEST = 32
"""Objects and lists inside each other."""
DIGITS = 40
"""Of a whole number: seeds of 128 bits have 39."""


def read_json(
    path: str | Path,
    cure: str = "Copy it again.",
    error: type[WorldGPTError] = CheckpointError,
    largest: int = LARGEST,
    figures: bool = False,
) -> dict[str, Any]:
    """Return the JSON object in the file ``path``.

    Args:
        path: of the file.
        cure: what to do about a file that cannot be read, as a sentence.
        error: what is raised then.
        largest: bytes that are read at most.
        figures: they were measured: NaN and infinity, which older versions wrote, become null.

    Raises:
        WorldGPTError: of the kind ``error``, in one sentence that names the file and what is wrong
            with it: missing, empty, too big, not UTF-8, no JSON, no object, ...
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ValueError("is no file" if path.exists() else "is not there")
        with path.open("rb") as file:
            value = parse_json(file.read(largest + 1), largest, figures)
        if not isinstance(value, dict):
            raise ValueError(f"is {kind_of(value)} instead of an object")
    except (OSError, ValueError) as problem:
        told = problem.strerror if isinstance(problem, OSError) else problem
        raise error(f"{path} cannot be read: it {told}. {cure}") from problem
    return value


def parse_json(data: bytes, largest: int = LARGEST, figures: bool = False) -> Any:
    """Return the value that ``data`` holds; see :func:`read_json`.

    Raises:
        ValueError: it is too much, no JSON, or JSON that no file of ours holds; the message is the
            end of a sentence about the file.
    """
    if len(data) > largest:
        raise ValueError(f"has over {largest} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise ValueError(f"is not UTF-8 from byte {problem.start} on") from problem
    if text.startswith("\ufeff"):
        raise ValueError("starts with a byte-order mark")
    if not text.strip():
        raise ValueError("is empty")
    try:
        value = (_OF_FIGURES if figures else _DECODER).decode(text)
        level = [value]
        for _ in range(DEEPEST):
            level = [part for item in level for part in _inside(item)]
        if level:
            raise RecursionError
        if "\\u" in text:  # half a pair of surrogates is no text that could be written again
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as problem:
        raise ValueError(f"is nested more than {DEEPEST} deep") from problem
    except UnicodeEncodeError as problem:
        raise ValueError("holds a character that is none") from problem
    except json.JSONDecodeError as problem:
        raise ValueError(f"is truncated or damaged: {problem}") from problem
    return value


def finite(value: Any) -> Any:
    """Return plain JSON values in which NaN and infinity are null, as JSON has none."""
    if isinstance(value, Mapping):
        return {str(name): finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Fields:
    """The fields of a JSON object, each taken with its kind and range.

    Args:
        data: the object.
        where: what it is, such as the path of its file; begins every error.
        error: what is raised.

    Example:
        >>> told = Fields(read_json(path), path)
        >>> steps = told.whole("steps", 0, 2**40)
    """

    def __init__(
        self,
        data: dict[str, Any],
        where: str | Path,
        error: type[WorldGPTError] = CheckpointError,
    ) -> None:
        """See the class."""
        self.data, self.where, self.error = data, where, error

    def __contains__(self, name: str) -> bool:
        """Return whether there is a field ``name``."""
        return name in self.data

    def whole(self, name: str, least: int, most: int) -> int:
        """Return a whole number from ``least`` to ``most``."""
        value = self.need(name)
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return int(self._as(good, name, f"a whole number from {least} to {most}"))

    def number(self, name: str, least: float, most: float) -> float:
        """Return a number from ``least`` to ``most``."""
        value = self.need(name)
        good = isinstance(value, int | float) and not isinstance(value, bool)
        return float(self._as(good and least <= value <= most, name, f"from {least} to {most}"))

    def flag(self, name: str) -> bool:
        """Return true or false."""
        return bool(self._as(isinstance(self.need(name), bool), name, "true or false"))

    def text(self, name: str, most: int = 4096, pattern: str = r"(?s).*") -> str:
        """Return a text of up to ``most`` characters, all of it as in ``pattern``."""
        value = self.need(name)
        good = isinstance(value, str) and len(value) <= most and re.fullmatch(pattern, value)
        like = "" if pattern == r"(?s).*" else f" like {pattern}"
        return str(self._as(bool(good), name, f"a text of up to {most} characters{like}"))

    def choice(self, name: str, known: Sequence[Any]) -> Any:
        """Return one of ``known``."""
        value = self.need(name)
        good = any(value == one and type(value) is type(one) for one in known)
        return self._as(good, name, f"one of {list(known)}")

    def items(self, name: str, most: int = 2**20) -> list[Any]:
        """Return a list of up to ``most`` items."""
        value = self.need(name)
        good = isinstance(value, list) and len(value) <= most
        return list(self._as(good, name, f"a list of up to {most} items"))

    def texts(self, name: str, most: int = 2**20) -> list[str]:
        """Return a list of up to ``most`` texts."""
        good = all(isinstance(item, str) for item in self.items(name, most))
        return list(self._as(good, name, "a list of texts"))

    def part(self, name: str) -> Fields:
        """Return the object ``name``."""
        self._as(isinstance(self.need(name), dict), name, "an object")
        return Fields(self.data[name], f"{self.where}: {name!r}", self.error)

    def need(self, name: str) -> Any:
        """Return the field, whatever it is."""
        if name not in self.data:
            raise self.error(f"{self.where} has no {name!r}; it is damaged or of another version.")
        return self.data[name]

    def _as(self, good: bool, name: str, wanted: str) -> Any:
        """Return the field, or say what it must be."""
        if not good:
            shown = shorten(self.data[name])
            raise self.error(f"{self.where} has the {name!r} {shown}; it must be {wanted}.")
        return self.data[name]


def shorten(value: Any, most: int = 60) -> str:
    """Return ``repr(value)`` on one line, cut to ``most`` characters."""
    if isinstance(value, (str, bytes, list, tuple)):
        value = value[: most + 1]  # a repr of all of a long one may take for ever
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # a whole number of over 4300 digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def one_line(problem: BaseException, most: int = 400) -> str:
    """Return what an error of a library says, on one line of up to ``most`` characters."""
    told = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return " ".join(told.split())[:most].rstrip(". ")


def kind_of(value: Any) -> str:
    """Name the JSON type of ``value``."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")


def _inside(value: Any) -> Any:
    """Return the values in an object or list; nothing for others."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: one of the two values would be lost."""
    items = dict(pairs)
    if len(items) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"has the key {shorten(max(keys, key=keys.count))} twice")
    return items


def _finite(text: str) -> float:
    number = float(text)
    if abs(number) == float("inf"):
        raise ValueError(f"holds the number {shorten(text)}, which is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"holds a whole number of {len(text)} digits")
    return int(text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which is no number of JSON")


def _decoder(constant: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_once, parse_float=_finite, parse_int=_whole, parse_constant=constant
    )


_DECODER, _OF_FIGURES = _decoder(_no_constant), _decoder(lambda name: None)
