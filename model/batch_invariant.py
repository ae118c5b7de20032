"""Functions whose rows do not depend on how many are computed together, or on who stands beside.

On a CPU :mod:`.probe` finds, for every shape, how many rows may be computed at once on this machine
with this number of threads; on other devices nothing is promised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .probe import Probes, Scheme

PRODUCT = Scheme((4, 8, 16, 32, 64, 1), (1, 2, 3, 16), 1024)
ATTENTION = Scheme((1, 2, 4, 8, 16, 32, 64), (1, 2, 3, 16), 64)
NETWORK = Scheme((16, 8, 4, 2, 1), (1,), 16)
"""For whole networks (codecs, reflector): few rows at once, as they need much memory a row."""

COARSE = Scheme((16, 8, 4, 2, 1), (1,), 16, fixed=True)
"""For networks in bfloat16, whose rounding hides from a probe most of what differs: one size."""

KNOWN_NOISE = 1 << 20
"""Numbers that are kept for probes; a larger weight is probed as it is."""

GRAIN = 32768
"""Numbers from which on torch gives parts of an elementwise function to several threads."""

VECTORS = 32
"""float32 numbers in two of the largest vectors (512 bits)."""

_probed = Probes()
_products: dict[Hashable, ProductWay] = {}
_attention: dict[Hashable, tuple[int, ...]] = {}


def by_rows(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    name: Hashable,
    owner: object = None,
    scheme: Scheme = NETWORK,
    finish: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Apply ``function`` to ``inputs``; every row has the same bits whatever stands beside it.

    On other devices than a CPU nothing is probed: the parts all have ``scheme.most`` rows.

    Args:
        function: of tensors ``(rows, ...)``, a row of its result depending on that row alone. It
            neither rounds nor cuts, as this would hide from the probe what differs.
        inputs: ``(rows, ...)`` each.
        name: of the function, among those of its owner.
        owner: whose weights the function reads; None for a function without weights.
        scheme: the numbers of rows that are tried.
        finish: is applied to what ``function`` gives: rounds or cuts it, number by number.
    """
    rows = len(inputs[0])
    whole = function if finish is None else lambda *part: finish(function(*part))
    if rows == 0:
        return whole(*inputs)
    if inputs[0].is_cpu:
        sizes = _sizes(function, inputs, name, owner, scheme)
    else:
        sizes = (scheme.most,) * math.ceil(rows / scheme.most)
    return _in_parts(whole, inputs, sizes)


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

    example = known[key].example if key in known else tuple(map(_example, inputs))

    def probe(count: int) -> Tensor:
        return function(*(row.expand(count, *row.shape[1:]).contiguous() for row in example))

    plans = _probed.plans(known, key, probe, scheme)
    plans.example = example
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


def _example(rows: Tensor) -> Tensor:
    """Return a row ``(1, ...)`` of noise, of the shape and kind of ``rows``; of a mask, its first.

    Real rows may be zeros, for which all kernels agree.
    """
    row = rows[:1]
    if rows.dtype == torch.bool:
        return row.clone()
    noise = _probed.numbers(row.numel()).view_as(row)
    if rows.is_floating_point():
        return noise.to(rows.dtype)
    top = 255 if rows.dtype == torch.uint8 else int(rows.max())  # codes up to those that there are
    return ((noise + 1) / 2 * (top + 1)).clamp(0, top).to(rows.dtype)


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
        way = _products.get(key)
        if way is None:
            way = _products[key] = _probe_product(key, weight, bias)
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
    sizes = _attention.get(key)
    if sizes is None:
        inputs = (queries, keys, values, mask)
        sizes = _attention[key] = _sizes(_attend, inputs, "attend", None, ATTENTION)
    if sizes == (queries.shape[0],):
        return _attend(queries, keys, values, mask)
    return _in_parts(_attend, (queries, keys, values, mask), sizes)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    return (queries @ keys.transpose(2, 3) + mask).softmax(-1) @ values


def silu(x: Tensor) -> Tensor:
    """Return ``x sigmoid(x)`` of ``(..., width)``; a number's bits are its own.

    The library computes whole vectors, and what is left at the end of a run of memory with another
    exponential; where runs end depends on the rows and the threads. So all runs are made to end
    with a vector, and where the width does not allow that, an exponential is taken that is the same
    at any place.
    """
    if torch.is_grad_enabled() or not x.is_cpu:
        return nn.functional.silu(x)
    width, count = x.shape[-1], x.numel()
    if width % VECTORS:
        return x / x.neg().exp_().add_(1)
    threads = min(torch.get_num_threads(), math.ceil(count / GRAIN))
    if threads < 2 or math.ceil(count / threads) % VECTORS == 0:
        return nn.functional.silu(x)
    parts = x.reshape(-1, width).split(max(GRAIN // width, 1))  # a thread computes each
    return torch.cat([nn.functional.silu(part) for part in parts]).view(x.shape)


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
    """Return the CPU-seconds that this process has spent on probes."""
    return _probed.seconds
