"""Counter-based random numbers: the same key gives the same bits in any batch and order."""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def mix(keys: Tensor) -> Tensor:
    """Return well-mixed 64-bit integers, any shape (the finaliser of SplitMix64)."""
    z = keys + _GOLDEN
    z = (z ^ _shift(z, 30)) * _MIX_1
    z = (z ^ _shift(z, 27)) * _MIX_2
    return z ^ _shift(z, 31)


def fold(keys: Tensor, value: Tensor | int) -> Tensor:
    """Return new keys that depend on ``keys`` and on ``value`` (a step, a purpose, a seed)."""
    return mix(mix(keys) ^ (torch.as_tensor(value, dtype=torch.int64) * _MIX_2))


def uniform(keys: Tensor, count: int) -> Tensor:
    """Return ``(B, count)`` float32 numbers in (0, 1) from ``(B,)`` int64 keys."""
    counters = torch.arange(count, device=keys.device)
    bits = _shift(mix(mix(keys)[:, None] + counters * _MIX_1), 40)  # 24 bits
    return (bits.float() + 0.5) / (1 << 24)


def gumbel(keys: Tensor, count: int) -> Tensor:
    """Return ``(B, count)`` standard Gumbel numbers from ``(B,)`` int64 keys.

    The logarithms are taken in float64: in float32 their last bit depends on the row's place.
    """
    return -(-uniform(keys, count).double().log()).log().float()


def _shift(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)  # logical, not arithmetic
