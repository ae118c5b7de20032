"""Fingerprints: a number per transition that is the same wherever the same happened."""

from __future__ import annotations

import torch
from torch import Tensor

from ..modalities import Modality
from ..transitions import TransitionStore

_MIX = (0x9E3779B97F4A7C15 - 2**64, 0xBF58476D1CE4E5B9 - 2**64)


def fingerprints(store: TransitionStore, rows: Tensor, block: int = 65536) -> Tensor:
    """Return a number per transition that begins at ``rows`` ``(N,)``, ``(N,)`` int64.

    Transitions of the same state, action and next state have the same number, whatever episode
    they are of; others have the same one as seldom as 64 bits allow.
    """
    total = torch.zeros(len(rows), dtype=torch.int64)
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        states, next_states = (
            [_numbers(store, m, at) for m in store.state] for at in (part, part + 1)
        )
        action = _whole(store.action[part])
        total[start : start + block] = _hash(torch.cat([*states, action, *next_states], 1))
    return total


def state_fingerprints(store: TransitionStore, rows: Tensor, block: int = 65536) -> Tensor:
    """Return a number per state at ``rows`` ``(N,)``, ``(N,)`` int64: of its codes, not embeddings.

    A modality that is absent counts as its neutral codes.
    """
    discrete = [codes for codes in store.state.values() if not codes.is_floating_point()]
    total = torch.zeros(len(rows), dtype=torch.int64)
    for start in range(0, len(rows) if discrete else 0, block):
        part = rows[start : start + block]
        total[start : start + block] = _hash(torch.cat([_whole(c[part]) for c in discrete], 1))
    return total


def _numbers(store: TransitionStore, modality: Modality, rows: Tensor) -> Tensor:
    """Return the codes at ``rows`` as whole numbers ``(N, C G)``, -1 where they are absent."""
    numbers = _whole(store.state[modality][rows]).long()
    if modality in store.present:
        numbers = numbers.masked_fill(~store.present[modality][rows][:, None], -1)
    return numbers


def _whole(part: Tensor) -> Tensor:
    """Return ``part`` ``(N, ...)`` as whole numbers ``(N, F)``: the bits of what is not one."""
    bits = part.contiguous().view(torch.int32) if part.is_floating_point() else part
    return bits.reshape(len(part), -1)


def _hash(rows: Tensor) -> Tensor:
    """Return one mixed int64 per row of numbers ``(N, F)``."""
    generator = torch.Generator().manual_seed(0)
    odd = torch.randint(-(2**62), 2**62, (rows.shape[1],), generator=generator) * 2 + 1
    mixed = (rows.long() + 1) * _MIX[0]
    mixed = (mixed ^ (mixed >> 29)) * _MIX[1]
    return ((mixed ^ (mixed >> 32)) * odd).sum(1)
