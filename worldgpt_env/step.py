"""What one imagined step did to every row: rewards, ends and how far to trust them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldgpt_env.model.batch import State


@dataclass(frozen=True)
class SimulatorStep:
    """What one step did to every row; a row that had ended before stands still with reward 0.

    Attributes:
        state: the states now, per modality ``(N, C, G)``.
        reward: ``(N,)`` float32, after the uncertainty penalty.
        terminated: ``(N,)`` bool, the world ended.
        truncated: ``(N,)`` bool, the dream was cut; never together with ``terminated``.
        uncertainty: ``(N,)`` float32, at least 0.
        consistency: ``(N,)`` float32 in [0, 1].
        truncated_by: ``(N,)`` object array of ``""``, ``"horizon"`` or ``"uncertainty"``.
        read: what was read of memory and knowledge, as ``info`` tells it; arrays ``(N, ...)``.
    """

    state: State
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    uncertainty: np.ndarray
    consistency: np.ndarray
    truncated_by: np.ndarray
    read: dict[str, Any] = field(default_factory=dict)
