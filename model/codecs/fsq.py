"""Finite scalar quantisation: a number becomes one of V levels; gradients go straight through."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ConfigurationError


class FSQ(nn.Module):
    """Normalise, bound and round the features of a state (Mentzer et al. 2023, arXiv 2309.15505).

    The batch normalisation, one mean and variance per cell and digit, keeps every digit in use:
    without it a codec of mostly static frames collapses to a handful of codes.
    """

    def __init__(self, cells: int, digits: int, levels: int) -> None:
        """Quantise ``cells`` × ``digits`` features to ``levels`` levels each."""
        super().__init__()
        if levels < 2:
            raise ConfigurationError(f"a digit has {levels} levels; it needs at least 2.")
        self.levels = levels
        self.normalise = nn.BatchNorm1d(cells * digits, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return the values ``(B, C, G)`` of ``features``; gradients pass the rounding."""
        flat = features.float().flatten(1)  # (B, C*G)
        bounded = torch.tanh(self.normalise(flat)).view_as(features)  # (B, C, G) in (-1, 1)
        values = self.values(torch.round((bounded + 1) * ((self.levels - 1) / 2)))
        return bounded + (values - bounded).detach()

    def codes(self, features: Tensor) -> Tensor:
        """Return the codes ``(B, C, G)`` int64 of ``features``, by the running statistics."""
        return self.quantise(self.standardise(features))

    def standardise(self, features: Tensor) -> Tensor:
        """Return ``features`` ``(B, C, G)`` less their running mean, in running deviations."""
        norm = self.normalise
        flat = functional.batch_norm(
            features.float().flatten(1), norm.running_mean, norm.running_var, eps=norm.eps
        )
        return flat.view_as(features)

    def quantise(self, standard: Tensor) -> Tensor:
        """Return the codes ``(B, C, G)`` int64 of standardised features.

        They are compared with the borders of the levels instead of bounded and rounded: the same
        codes, but no function whose last bit depends on the place of a number in memory.
        """
        borders = [math.atanh((2 * k + 1) / (self.levels - 1) - 1) for k in range(self.levels - 1)]
        return torch.bucketize(standard, standard.new_tensor(borders))

    def values(self, codes: Tensor) -> Tensor:
        """Return the float32 values in [-1, 1] of integer ``codes`` of any shape."""
        return codes.float() / ((self.levels - 1) / 2) - 1

    def expected(self, probabilities: Tensor) -> Tensor:
        """Return the expected values, float32 in [-1, 1], of ``probabilities`` ``(..., V)``."""
        levels = torch.arange(self.levels, device=probabilities.device)
        return (probabilities * self.values(levels)).sum(-1)
