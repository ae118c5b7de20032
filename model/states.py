"""States of a world as codes, which rows have a modality, and how both are stored."""

from __future__ import annotations

import torch
from torch import Tensor

from .modalities import ActionSpec, Modality

State = dict[Modality, Tensor]
"""The state tokens of a time step: per modality ``(..., C, G)`` int64 codes, C cells of G digits;
or float32 embeddings of width G, where the codec is continuous."""

Presence = dict[Modality, Tensor]
"""Which rows have a modality, ``(B,)`` bool each; one that is not named is present in all rows."""


def flatten_time(state: State) -> State:
    """Merge batch and time: ``(B, T, ...)`` to ``(B T, ...)``."""
    return {modality: codes.flatten(0, 1) for modality, codes in state.items()}


def storage_dtype(levels: int) -> torch.dtype:
    """Return the smallest dtype that holds digits of ``levels`` levels; float32 if there are 0."""
    if not levels:
        return torch.float32
    for dtype in (torch.uint8, torch.int16):
        if levels - 1 <= torch.iinfo(dtype).max:
            return dtype
    return torch.int32


def widen(codes: Tensor) -> Tensor:
    """Return stored codes in the dtype that models compute with: int64, or float as it is."""
    return codes if codes.is_floating_point() else codes.long()


def action_limit(spec: ActionSpec) -> Tensor | int | None:
    """Return what each whole number of an action is below; None for numbers with a fraction."""
    if spec.kind == "multidiscrete":
        return torch.tensor(spec.sizes)
    if spec.kind == "text":
        return len(spec.names)
    return spec.sizes[0] if spec.kind == "discrete" else None


def action_like(spec: ActionSpec) -> tuple[tuple[int, ...], torch.dtype]:
    """Return shape and dtype of one action."""
    if spec.kind == "discrete":
        return (), torch.int64
    shape = (len(spec.sizes),) if spec.kind == "multidiscrete" else (spec.sizes[0],)
    return shape, torch.float32 if spec.kind == "box" else torch.int64
