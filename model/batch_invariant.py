"""Rows that do not depend on how many are computed together: probed on this machine, not assumed.

A kernel of a matrix product or a convolution may round a row differently when there are fewer rows,
when a row stands elsewhere among them, or when threads share them. Which numbers of rows agree
differs between processors, libraries and shapes, so every shape is probed once a process: equal
rows are computed, and their bits compared. From this follows a plan for each number of rows: at
once where that gives the bits of the reference, else padded, or in parts that do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Result = TypeVar("Result")

Probe = Callable[[int], Tensor]
"""Computes n equal rows, ``(n, ...)``."""

KNOWN_NOISE = 1 << 20
"""Numbers that are kept for probes; a larger weight is probed as it is."""

GRAIN = 32768
"""Numbers from which on torch gives parts of an elementwise function to several threads."""

VECTORS = 32
"""float32 numbers in two of the largest vectors (512 bits)."""


@dataclass(frozen=True)
class Scheme:
    """Which numbers of rows are tried.

    Attributes:
        units: rows that the reference may be computed with; the first that agrees is taken.
        multiples: of the unit that must agree with it.
        most: rows that are computed at once.
    """

    units: tuple[int, ...]
    multiples: tuple[int, ...]
    most: int


PRODUCT = Scheme((4, 8, 16, 32, 64, 1), (1, 2, 3), 1024)
ATTENTION = Scheme((1, 2, 4, 8, 16, 32, 64), (1, 2, 3), 1024)
NETWORK = Scheme((16, 8, 4, 2, 1), (1,), 16)
"""For whole networks (codecs, reflector): few rows at once, as they need much memory a row."""


@dataclass
class Plans:
    """How many rows of one function are computed at once.

    Attributes:
        unit: rows that the reference was computed with; numbers of rows that do not agree with it
            are padded to its next multiple.
        reference: the bits of a row.
        most: rows that are computed at once.
        sizes: per number of rows, the parts they are computed in; the last one may be padded.
    """

    unit: int
    reference: Tensor
    most: int
    sizes: dict[int, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def learn(cls, probe: Probe, scheme: Scheme) -> Plans:
        """Choose the unit and compute the reference."""
        known: dict[int, Tensor | None] = {}
        for unit in scheme.units:
            for count in (unit * n for n in scheme.multiples):
                if count not in known:
                    known[count] = _common(probe(count))
                reference, row = known[unit], known[count]
                if reference is None or row is None or not torch.equal(row, reference):
                    break
            else:
                return cls(unit, known[unit], scheme.most)  # type: ignore[arg-type]
        return cls(1, probe(1)[0].clone(), scheme.most)  # a row by itself is always like itself

    def of(self, rows: int, probe: Probe) -> tuple[int, ...]:
        """Return the sizes of the parts that ``rows`` rows are computed in."""
        if rows not in self.sizes:
            self.sizes[rows] = self._find(rows, probe)
        return self.sizes[rows]

    def _find(self, rows: int, probe: Probe) -> tuple[int, ...]:
        if rows > self.most:
            full = max(self.most // self.unit, 1) * self.unit
            rest = self.of(rows % full, probe) if rows % full else ()
            return self.of(full, probe) * (rows // full) + rest
        if rows == self.unit:
            return (rows,)
        row = _common(probe(rows))
        if row is not None and torch.equal(row, self.reference):
            return (rows,)
        units = math.ceil(rows / self.unit)
        if rows % self.unit:
            return self.of(units * self.unit, probe)
        half = (units + 1) // 2 * self.unit
        return self.of(half, probe) + self.of(rows - half, probe)


def _common(rows: Tensor) -> Tensor | None:
    """Return what all ``rows`` ``(n, ...)`` are, None if they differ."""
    return rows[0].clone() if bool((rows == rows[:1]).all()) else None


class _Probed:
    """What was probed in this process, and the seconds it took."""

    def __init__(self) -> None:
        self.shared: dict[Hashable, Plans] = {}
        self.owned: WeakKeyDictionary[object, dict[Hashable, Plans]] = WeakKeyDictionary()
        self.products: dict[Hashable, ProductWay] = {}
        self.attention: dict[Hashable, tuple[int, ...]] = {}
        self.noise = torch.empty(0)
        self.seconds = 0.0

    def numbers(self, count: int, start: int = 0) -> Tensor:
        """Return ``(count,)`` float32 numbers in (-1, 1) without a pattern."""
        if start + count > len(self.noise):
            size = max(1 << 16, 1 << (start + count - 1).bit_length())
            generator = torch.Generator().manual_seed(0)
            self.noise = torch.rand(size, generator=generator) * 2 - 1
        return self.noise[start : start + count]

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


_probed = _Probed()


def by_rows(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    name: Hashable,
    owner: object = None,
    scheme: Scheme = NETWORK,
) -> Tensor:
    """Apply ``function`` to ``inputs``; every row has the same bits whatever stands beside it.

    On other devices than a CPU nothing is probed: the parts all have ``scheme.most`` rows.

    Args:
        function: of tensors ``(rows, ...)``, a row of its result depending on that row alone.
        inputs: ``(rows, ...)`` each.
        name: of the function, among those of its owner.
        owner: whose weights the function reads; None for a function without weights.
        scheme: the numbers of rows that are tried.
    """
    rows = len(inputs[0])
    if rows == 0:
        return function(*inputs)
    if inputs[0].is_cpu:
        sizes = _sizes(function, inputs, name, owner, scheme)
    else:
        sizes = (scheme.most,) * math.ceil(rows / scheme.most)
    return _in_parts(function, inputs, sizes)


def _sizes(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    name: Hashable,
    owner: object,
    scheme: Scheme,
) -> tuple[int, ...]:
    """Return the sizes of the parts that :func:`by_rows` computes."""
    known = _probed.shared if owner is None else _probed.owned.setdefault(owner, {})
    key = (name, tuple((t.shape[1:], t.dtype) for t in inputs), torch.get_num_threads())

    def probe(count: int) -> Tensor:
        return function(*(_equal_rows(t, count) for t in inputs))

    plans = _probed.plans(known, key, probe, scheme)
    return _probed.sizes(plans, len(inputs[0]), probe)


def _in_parts(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], sizes: tuple[int, ...]
) -> Tensor:
    """Apply ``function`` to ``inputs`` ``(rows, ...)`` in parts of ``sizes`` rows."""
    rows = len(inputs[0])
    if sizes == (rows,):
        return function(*inputs)
    missing = sum(sizes) - rows
    if missing:
        inputs = [torch.cat([t, t[-1:].expand(missing, *t.shape[1:])]) for t in inputs]
    parts = [function(*part) for part in zip(*(t.split(sizes) for t in inputs), strict=True)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[:rows]


def _equal_rows(like: Tensor, count: int) -> Tensor:
    """Return ``count`` equal rows of the shape and kind of ``like`` ``(rows, ...)``."""
    row = like[:1]  # codes and masks: they choose among weights, and are as good as any others
    if like.is_floating_point():
        row = _probed.numbers(row.numel()).view_as(row).to(like.dtype)
    elif like.dtype == torch.uint8:
        row = ((_probed.numbers(row.numel()) + 1) * 127).view_as(row).to(like.dtype)
    return row.expand(count, *like.shape[1:]).contiguous()


# functions --------------------------------------------------------------------------------------


def matmul_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight + bias``, ``(..., I)`` to ``(..., O)``; a row's bits are its own.

    While gradients are recorded, and on other devices than a CPU, it is the plain product. A
    contiguous ``(I, O)`` weight agrees from fewer rows on than a transposed one does.
    """
    rows = x.reshape(-1, x.shape[-1])  # (rows, I)
    count, width = rows.shape[0], weight.shape[1]
    if weight.is_cpu and count and not torch.is_grad_enabled():
        key = (count, weight.shape, weight.dtype, bias is None, torch.get_num_threads())
        way = _probed.products.get(key)
        if way is None:
            way = _probed.products[key] = _probe_product(key, weight, bias)
        rows = rows.contiguous()
        product = _product(rows, weight, bias) if way.plain else way.product(rows, weight, bias)
    else:
        product = _product(rows, weight, bias)
    return product.view(*x.shape[:-1], width)


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return rows @ weight if bias is None else torch.addmm(bias, rows, weight)


@dataclass(frozen=True)
class ProductWay:
    """How the product of a number of rows is computed.

    Attributes:
        sizes: rows of each part.
        padding: ``(missing, I)`` zeros, put behind the rows so that they fill the parts; or None.
        spare: columns of zeros that are put behind the weight's.
        plain: all rows at once and nothing added.
    """

    sizes: tuple[int, ...]
    padding: Tensor | None
    spare: int
    plain: bool = False

    def product(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the product of ``rows`` ``(rows, I)``, contiguous ``(rows, O)``."""
        count, width = rows.shape[0], weight.shape[1]
        if self.padding is not None:
            rows = torch.cat((rows, self.padding))
        if self.spare:
            weight = nn.functional.pad(weight, (0, self.spare))
            bias = None if bias is None else nn.functional.pad(bias, (0, self.spare))
        if len(self.sizes) == 1:
            product = _product(rows, weight, bias)
        else:
            product = self._in_parts(rows, weight, bias)
        if self.padding is not None:
            product = product[:count]
        return product[:, :width].contiguous() if self.spare else product

    def _in_parts(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        product = rows.new_empty(rows.shape[0], weight.shape[1])
        for part, into in zip(rows.split(self.sizes), product.split(self.sizes), strict=True):
            if bias is None:
                torch.mm(part, weight, out=into)
            else:
                torch.addmm(bias, part, weight, out=into)
        return product


def _probe_product(key: tuple[Any, ...], weight: Tensor, bias: Tensor | None) -> ProductWay:
    """Return how products of ``key``, which begins with the number of rows, are computed.

    What counts of a weight is its shape. Its numbers are replaced, as those of an untrained head
    may be zero, for which all kernels agree. Where no number of rows agrees with another, which is
    so for some narrow weights, zeros make it wider.
    """
    rows, (inputs, outputs) = key[0], weight.shape
    if weight.numel() <= KNOWN_NOISE:
        weight = _probed.numbers(weight.numel(), start=64).view_as(weight).to(weight.dtype)
    bias = None if bias is None else weight[0]
    row = _probed.numbers(inputs).to(weight.dtype)
    for spare in (0, -outputs % 16, 0):

        def probe(count: int, spare: int = spare) -> Tensor:
            way = ProductWay((count,), None, spare)
            return way.product(row.expand(count, -1).contiguous(), weight, bias)

        plans = _probed.plans(_probed.shared, (*key[1:], spare), probe, PRODUCT)
        if plans.unit > 1:
            break
    sizes = _probed.sizes(plans, rows, probe)
    missing = sum(sizes) - rows
    padding = weight.new_zeros(missing, inputs) if missing else None
    return ProductWay(sizes, padding, spare, plain=sizes == (rows,) and not spare)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Return what ``queries`` ``(B, heads, Q, head)`` read; a row's bits are its own.

    Args:
        queries: scaled.
        keys: ``(B, heads, S, head)``.
        values: ``(B, heads, S, head)``.
        mask: additive, ``(B, 1, Q, S)``.
    """
    if not queries.is_cpu or torch.is_grad_enabled():
        return _attend(queries, keys, values, mask)
    key = (queries.shape, keys.shape[2], queries.dtype, torch.get_num_threads())
    sizes = _probed.attention.get(key)
    if sizes is None:
        inputs = (queries, keys, values, mask)
        sizes = _probed.attention[key] = _sizes(_attend, inputs, "attend", None, ATTENTION)
    if sizes == (queries.shape[0],):
        return _attend(queries, keys, values, mask)
    return _in_parts(_attend, (queries, keys, values, mask), sizes)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    return (queries @ keys.transpose(2, 3) + mask).softmax(-1) @ values


def silu(x: Tensor) -> Tensor:
    """Return ``x sigmoid(x)``, a number's bits being its own.

    The library takes two numbers a vector and another exponential for what is left at the end of a
    run of memory; where runs end depends on the rows and the threads. Where something may be left,
    an exponential is taken that is the same at any place.
    """
    if torch.is_grad_enabled() or _in_whole_vectors(x):
        return nn.functional.silu(x)
    return x / x.neg().exp_().add_(1)


def _in_whole_vectors(x: Tensor) -> bool:
    """Return whether every thread's run through ``x`` is a multiple of two vectors' numbers."""
    if x.shape[-1] % VECTORS or not x.is_cpu:
        return not x.is_cpu
    count = x.numel()
    if count <= GRAIN:
        return True
    threads = min(torch.get_num_threads(), math.ceil(count / GRAIN))
    return math.ceil(count / threads) % VECTORS == 0


class Projection(nn.Module):
    """``x W + b`` with ``W`` stored as ``(inputs, outputs)``, by :func:`matmul_rows`."""

    def __init__(self, inputs: int, outputs: int, zero: bool = False) -> None:
        """Build the map; ``zero`` starts it as the constant 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if not zero:
            nn.init.normal_(self.weight, std=1 / math.sqrt(inputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., inputs)`` to ``(..., outputs)``."""
        return matmul_rows(x, self.weight, self.bias)


class Perceptron(nn.Module):
    """Two projections with a SiLU between them."""

    def __init__(self, inputs: int, hidden: int, outputs: int, zero: bool = False) -> None:
        """Build the map; ``zero`` starts it as the constant 0."""
        super().__init__()
        self.inner = Projection(inputs, hidden)
        self.outer = Projection(hidden, outputs, zero=zero)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., inputs)`` to ``(..., outputs)``."""
        return self.outer(silu(self.inner(x)))


def probe_seconds() -> float:
    """Return the seconds that this process has spent on probes."""
    return _probed.seconds
