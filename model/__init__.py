"""The multimodal world model: codecs, backbone, heads, imagination and training.

``modalities`` and ``errors`` are free of torch; everything else is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ == "model":
    raise ImportError("import this package as worldgpt_env.model, not model")

if TYPE_CHECKING:
    from .batch import Batch, LossOutput, Prediction, State
    from .configuration import PRESETS, WorldGPTConfig
    from .invariance import BatchInvariance, batch_invariance
    from .modalities import ActionSpec, Modality
    from .rollout.imagination import Imagination
    from .worldgpt import WorldGPT

_HOME = {
    "Batch": "batch",
    "BatchInvariance": "invariance",
    "batch_invariance": "invariance",
    "LossOutput": "batch",
    "Prediction": "batch",
    "State": "batch",
    "PRESETS": "configuration",
    "WorldGPTConfig": "configuration",
    "Imagination": "rollout.imagination",
    "ActionSpec": "modalities",
    "Modality": "modalities",
    "WorldGPT": "worldgpt",
}

__all__ = [
    "PRESETS",
    "ActionSpec",
    "Batch",
    "BatchInvariance",
    "Imagination",
    "LossOutput",
    "Modality",
    "Prediction",
    "State",
    "WorldGPT",
    "WorldGPTConfig",
    "batch_invariance",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
