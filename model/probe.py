"""Probe: how many rows of a function may be computed at once, asked of this machine.

A kernel of a matrix product or a convolution may round a row differently when there are fewer rows,
when a row stands elsewhere among them, or when threads share them. Which numbers of rows agree
differs between processors, libraries and shapes, so every shape is probed once a process: equal
rows are computed, and their bits compared. From this follows a plan for each number of rows: at
once where that gives the bits of the reference, else padded, or in parts that do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

Result = TypeVar("Result")

Probe = Callable[[int], Tensor]
"""Computes n equal rows, ``(n, ...)``."""


@dataclass(frozen=True)
class Scheme:
    """Which numbers of rows are tried.

    Attributes:
        units: rows that the reference may be computed with; the first that agrees is taken.
        multiples: of the unit that must agree with it.
        most: rows that are computed at once.
        fixed: nothing but the unit is computed at once.
    """

    units: tuple[int, ...]
    multiples: tuple[int, ...]
    most: int
    fixed: bool = False


@dataclass
class Plans:
    """How many rows of one function are computed at once.

    Attributes:
        unit: rows that the reference was computed with; numbers of rows that do not agree with it
            are padded to its next multiple.
        reference: the bits of a row.
        most: rows that are computed at once.
        fixed: nothing but the unit is.
        example: the rows that were given, ``(1, ...)`` each, where the probe needs real ones.
        sizes: per number of rows, the parts they are computed in; the last one may be padded.
    """

    unit: int
    reference: Tensor
    most: int
    fixed: bool = False
    example: tuple[Tensor, ...] = ()
    sizes: dict[int, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def learn(cls, probe: Probe, scheme: Scheme) -> Plans:
        """Choose the unit and compute the reference."""
        known: dict[int, Tensor | None] = {}
        for unit in scheme.units:
            counts = [unit * n for n in scheme.multiples]
            for count in counts:
                if count not in known:
                    known[count] = _common(probe(count))
                reference, row = known[unit], known[count]
                if reference is None or row is None or not torch.equal(row, reference):
                    break
            else:
                plans = cls(unit, known[unit], scheme.most, scheme.fixed)  # type: ignore[arg-type]
                plans.sizes |= {n: (n,) for n in counts if n <= scheme.most and not scheme.fixed}
                return plans
        row = probe(1)[0].clone()  # a row by itself is always like itself
        return cls(1, row, scheme.most, scheme.fixed)

    def of(self, rows: int, probe: Probe) -> tuple[int, ...]:
        """Return the sizes of the parts that ``rows`` rows are computed in."""
        if rows not in self.sizes:
            self.sizes[rows] = self._find(rows, probe)
        return self.sizes[rows]

    def _find(self, rows: int, probe: Probe) -> tuple[int, ...]:
        if self.fixed:
            return (self.unit,) * math.ceil(rows / self.unit)
        if rows > self.most:
            full = max(self.most // self.unit, 1) * self.unit
            rest = self.of(rows % full, probe) if rows % full else ()
            return self.of(full, probe) * (rows // full) + rest
        if rows == self.unit:
            return (rows,)
        computed = probe(rows)
        if torch.equal(computed, self.reference.expand_as(computed)):
            return (rows,)
        units = math.ceil(rows / self.unit)
        if rows % self.unit:
            return self.of(units * self.unit, probe)
        half = (units + 1) // 2 * self.unit
        return self.of(half, probe) + self.of(rows - half, probe)


def _common(rows: Tensor) -> Tensor | None:
    """Return what all ``rows`` ``(n, ...)`` are, None if they differ."""
    return rows[0].clone() if torch.equal(rows, rows[:1].expand_as(rows)) else None


class Probes:
    """What was probed in this process, and the CPU-seconds it took.

    Attributes:
        shared: plans of functions without weights, or of any weights, by what decides the kernel.
        owned: plans of functions that read the weights of an object, for as long as it lives.
        seconds: CPU-seconds.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.shared: dict[Hashable, Plans] = {}
        self.owned: WeakKeyDictionary[object, dict[Hashable, Plans]] = WeakKeyDictionary()
        self.seconds = 0.0
        self._noise = torch.empty(0)

    def numbers(self, count: int, start: int = 0) -> Tensor:
        """Return ``(count,)`` float32 numbers in (-1, 1) without a pattern."""
        if start + count > len(self._noise):
            size = max(1 << 16, 1 << (start + count - 1).bit_length())
            generator = torch.Generator().manual_seed(0)  # not the generator of the process
            self._noise = torch.rand(size, generator=generator) * 2 - 1
        return self._noise[start : start + count]

    def plans(
        self, known: dict[Hashable, Plans], key: Hashable, probe: Probe, scheme: Scheme
    ) -> Plans:
        """Return what is known under ``key``; learn it if nothing is."""
        if key not in known:
            known[key] = self._timed(lambda: Plans.learn(probe, scheme))
        return known[key]

    def sizes(self, plans: Plans, rows: int, probe: Probe) -> tuple[int, ...]:
        """Return the sizes of the parts that ``rows`` rows are computed in."""
        return plans.sizes.get(rows) or self._timed(lambda: plans.of(rows, probe))

    def _timed(self, ask: Callable[[], Result]) -> Result:
        began = time.process_time()
        with torch.no_grad():
            answer = ask()
        self.seconds += time.process_time() - began
        return answer
