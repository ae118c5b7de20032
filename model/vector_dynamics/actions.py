"""Actions as numbers between -1 and 1: what a vector dynamics reads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigurationError
from ..modalities import ActionSpec


class ActionEncoder:
    """Turns actions into vectors: one-hot parts for choices, a box scaled to [-1, 1].

    Attributes:
        spec: the actions.
        width: length of an encoded action.
    """

    def __init__(self, spec: ActionSpec) -> None:
        """Refuse text actions, which have no short encoding."""
        if spec.kind == "text":
            raise ConfigurationError(
                "a vector dynamics reads discrete, multidiscrete and box actions, and these are "
                "text; use a WorldGPT."
            )
        self.spec = spec
        self.width = spec.sizes[0] if spec.kind == "box" else sum(spec.sizes)
        low, high = np.array(spec.low, np.float64), np.array(spec.high, np.float64)
        self._middle = torch.from_numpy((low + high) / 2)  # (n,)
        self._radius = torch.from_numpy((high - low) / 2)

    def __call__(self, actions: np.ndarray | Tensor) -> Tensor:
        """Return ``(..., width)`` float32 of actions ``(...)`` or ``(..., parts)``."""
        actions = torch.as_tensor(actions)
        if self.spec.kind == "box":
            return ((actions.double() - self._middle) / self._radius).float()
        if self.spec.kind == "discrete":
            return functional.one_hot(actions.long(), self.width).float()
        parts = [
            functional.one_hot(actions[..., part].long(), size)
            for part, size in enumerate(self.spec.sizes)
        ]
        return torch.cat(parts, dim=-1).float()
