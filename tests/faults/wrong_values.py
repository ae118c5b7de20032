"""Values that are wrong almost everywhere: for every argument, one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import count, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Grumpy:
    """An object that refuses to be compared, shown, iterated or turned into anything."""

    def _refuse(self, *_: Any) -> Any:
        raise RuntimeError("leave me alone")

    __eq__ = __ne__ = __bool__ = __repr__ = __str__ = __len__ = __iter__ = _refuse  # type: ignore[assignment]
    __getitem__ = __array__ = __float__ = __int__ = __index__ = __lt__ = __ge__ = _refuse
    __hash__ = None  # type: ignore[assignment]


NUMBERS: list[Any] = [
    *(0, 1, -1, 2, 7, 2**31, 2**63, 2**64, 10**400, -(10**400)),
    *(0.0, 0.5, -0.5, 1.0, 1e-320, 1e30, 1e308, math.nan, math.inf, -math.inf),
    *(True, False, np.True_, 1j, Decimal("0.5"), Fraction(1, 2)),
    *(np.int64(1), np.uint8(1), np.float32(0.5), np.float64("nan"), np.float16(1)),
]
TEXTS: list[Any] = [
    *("", " ", "x", "0", "1", "cuda", "cuda:7", "cpu:99", "mps", "meta", "foo", "nan"),
    *("nowhere/at/all", "/", ".", "..", "~", "a\0b", "x" * 5000, "é", "first\n", "\ud800"),
    *(b"image", bytearray(b"x"), np.str_("x"), Path(), Path("nowhere"), Path("/dev/null")),
]
ARRAYS: list[Callable[[], Any]] = [
    lambda: np.zeros(0),
    lambda: np.array(1),
    lambda: np.array([1, 2]),
    lambda: np.array([0.5, math.nan]),
    lambda: np.array(["image"]),
    lambda: np.array([None, object()]),
    lambda: np.ma.masked,
    lambda: np.ma.array([1, 2], mask=True),
    lambda: np.ma.array(1, mask=True),
    lambda: torch.tensor(1.0),
    lambda: torch.tensor([1, 2]),
    lambda: torch.ones(2, requires_grad=True),
    lambda: np.zeros(2, [("a", int)]),
]
CONTAINERS: list[Callable[[], Any]] = [
    *(list, dict, tuple, set, lambda: [[]], lambda: [[1], [2, 3]], lambda: [None], lambda: [0]),
    *(lambda: ["image"], lambda: ["image", "image"], lambda: ["image", 3], lambda: {"image": 1}),
    *(lambda: {"index": 3}, lambda: {None: 1}, lambda: iter([]), lambda: iter("ab"), count),
    *(lambda: repeat("image"), lambda: range(3), lambda: {"image", "text"}),
]
OBJECTS: list[Callable[[], Any]] = [
    *(object, Grumpy, lambda: Grumpy, lambda: math.sqrt, lambda: ..., lambda: NotImplemented),
    *(lambda: torch.device("meta"), lambda: torch.device("cuda", 7), lambda: torch.float16),
    *(lambda: None, lambda: np.random.default_rng(0)),
]


def wrong_values() -> Iterator[tuple[str, Any]]:
    """Yield every value with a name for it, each a new object."""
    plain: list[Callable[[], Any]] = [lambda value=value: value for value in [*NUMBERS, *TEXTS]]  # type: ignore[misc]
    for number, build in enumerate([*plain, *ARRAYS, *CONTAINERS, *OBJECTS]):
        value = build()
        try:
            name = repr(value)[:60]
        except RuntimeError:
            name = "Grumpy()"
        yield f"{number} {type(value).__name__} {name}", value
