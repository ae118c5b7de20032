"""A linear map whose rows do not depend on how many rows are computed together."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def matmul_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight + bias``, ``(..., I)`` to ``(..., O)``; a row's bits are its own.

    CPU libraries take another route for a single row and, with a transposed weight, for a few rows
    (measured: different last bits below 16 rows). A contiguous ``(I, O)`` weight and at least two
    rows avoid both.
    """
    rows = x.reshape(-1, x.shape[-1])  # (rows, I)
    alone = rows.shape[0] == 1
    rows = rows.expand(2, -1) if alone else rows
    product = rows @ weight if bias is None else torch.addmm(bias, rows, weight)
    return (product[:1] if alone else product).view(*x.shape[:-1], weight.shape[1])


class Projection(nn.Module):
    """``x W + b`` with ``W`` stored as ``(inputs, outputs)``; :func:`matmul_rows` says why."""

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
        return self.outer(nn.functional.silu(self.inner(x)))
