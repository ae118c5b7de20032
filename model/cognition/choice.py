"""Which past steps are read: the last ones, or some spread evenly over a horizon."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ConfigurationError


def choose_steps(steps: Tensor, horizon: int | None, count: int) -> tuple[Tensor, Tensor]:
    """Choose which past steps are read: the last ones, or some spread evenly over a horizon.

    Args:
        steps: ``(B,)`` int64, steps so far.
        horizon: None for the last ``count``, else how far back they may be.
        count: K.

    Returns:
        Step numbers ``(B, K)`` int64 from the oldest to the newest, and ``(B, K)`` bool, which of
        them there are; those stand at the end.
    """
    if count < 1 or (horizon is not None and horizon < 1):
        raise ConfigurationError(
            f"cannot recall {count} steps over a horizon of {horizon}; use numbers from 1."
        )
    span = steps.clamp(max=count if horizon is None else horizon)[:, None]  # (B, 1)
    taken = span.clamp(max=count)
    rank = torch.arange(count) - (count - taken)  # (B, K), 0 is the oldest
    gaps = (taken - 1).clamp(min=1)
    back = ((span - 1) * (taken - 1 - rank) * 2 + gaps) // (2 * gaps)  # rounded
    valid = rank >= 0
    return torch.where(valid, steps[:, None] - 1 - back, 0), valid
