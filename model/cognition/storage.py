"""How states and actions are kept: in the smallest dtype that holds them."""

from __future__ import annotations

import torch

from ..codecs import Codec
from ..modalities import ActionSpec


def small_dtype(codec: Codec) -> torch.dtype:
    """Return the smallest dtype that holds the states of ``codec``."""
    if codec.continuous:
        return torch.float32
    for dtype in (torch.uint8, torch.int16):
        if codec.levels - 1 <= torch.iinfo(dtype).max:
            return dtype
    return torch.int32


def action_like(spec: ActionSpec) -> tuple[tuple[int, ...], torch.dtype]:
    """Return shape and dtype of one action."""
    if spec.kind == "discrete":
        return (), torch.int64
    shape = (len(spec.sizes),) if spec.kind == "multidiscrete" else (spec.sizes[0],)
    return shape, torch.float32 if spec.kind == "box" else torch.int64


def action_limit(spec: ActionSpec) -> torch.Tensor | int | None:
    """Return what each whole number of an action is below; None for numbers with a fraction."""
    if spec.kind == "multidiscrete":
        return torch.tensor(spec.sizes)
    if spec.kind == "text":
        return len(spec.names)
    return spec.sizes[0] if spec.kind == "discrete" else None
