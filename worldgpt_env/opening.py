"""Opening: which world model a name, a folder or an object stands for."""

from __future__ import annotations

from pathlib import Path

import torch

from worldgpt_env.model import WorldGPT

from .errors import ConfigurationError


def open_model(model: WorldGPT | str | Path, device: str | torch.device | None = None) -> WorldGPT:
    """Return the model of an embedded name or a folder, or ``model`` itself, ready to imagine.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
    """
    if isinstance(model, str | Path):
        return WorldGPT.from_pretrained(model, device or "cpu")
    if not isinstance(model, WorldGPT):
        raise ConfigurationError(
            f"model is a {type(model).__name__}; pass the name of an embedded world, the folder "
            "of a model, or a WorldGPT."
        )
    return (model if device is None else model.to(device)).eval()
