"""What stands for a modality that a start state lacks."""

from __future__ import annotations

import torch
from torch import Tensor

from worldgpt_env.model.codecs import Codec
from worldgpt_env.model.modalities import TextSpec, VectorSpec


def neutral_codes(codec: Codec) -> Tensor:
    """Return the codes ``(C, G)`` that stand for a modality which is absent.

    No words; the middle of the range of each number; elsewhere the middle level of each digit,
    which is the mean of what the codec was trained on, or the centre of its embeddings. The model
    never reads them: they fill the arrays of an observation, and ``info["absent"]`` says so.
    """
    shape = (codec.cells, codec.digits)
    if codec.continuous:
        return torch.zeros(shape)
    if isinstance(codec.spec, TextSpec):
        return torch.zeros(shape, dtype=torch.int64)
    if isinstance(codec.spec, VectorSpec):
        bounds = torch.tensor([codec.spec.low, codec.spec.high], dtype=torch.float32)
        middle = bounds.mean(0, keepdim=True).to(next(codec.buffers()).device)
        return codec.encode(middle)[0].cpu()
    return torch.full(shape, codec.levels // 2)
