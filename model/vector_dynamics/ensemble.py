"""Members side by side: the same network many times with weights of its own, in one product."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class EnsembleLinear(nn.Module):
    """A linear map per member, ``(K, B, inputs)`` to ``(K, B, outputs)``."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        """Draw the weights as ``nn.Linear`` does."""
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(K, B, outputs)``."""
        return torch.baddbmm(self.bias, features, self.weight)


def ensemble_mlp(members: int, inputs: int, width: int, outputs: int, layers: int) -> nn.Sequential:
    """Return an MLP with ``layers`` hidden layers per member."""
    parts: list[nn.Module] = []
    for number in range(layers):
        parts += [EnsembleLinear(members, width if number else inputs, width), nn.SiLU()]
    return nn.Sequential(*parts, EnsembleLinear(members, width if layers else inputs, outputs))


def select_members(module: nn.Module, members: Tensor) -> None:
    """Keep only ``members`` of every :class:`EnsembleLinear` below ``module``, in place."""
    for part in module.modules():
        if isinstance(part, EnsembleLinear):
            part.weight = nn.Parameter(part.weight.detach()[members], requires_grad=False)
            part.bias = nn.Parameter(part.bias.detach()[members], requires_grad=False)
