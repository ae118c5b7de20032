"""Baselines of a predicted state: the mean next state, and the nearest neighbour's.

Copying the present state needs no code. Everything here takes latents that are centred already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def mean_next(
    after: Tensor, there: Tensor, scenario: np.ndarray, wanted: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Return the mean next state of each wanted scenario.

    Args:
        after: ``(R, F)`` next states of the training transitions.
        there: ``(R,)`` bool, where there is one.
        scenario: ``(R,)`` names.
        wanted: ``(N,)`` names of the scenarios asked for.

    Returns:
        ``(N, F)``, and ``(N,)`` bool: False where training had no such scenario.
    """
    means, known = after.new_zeros(len(wanted), after.shape[1]), np.zeros(len(wanted), bool)
    for name in np.unique(wanted):
        chosen = there & torch.from_numpy(scenario == name).to(there.device)
        if chosen.any():
            asked = wanted == name
            means[torch.from_numpy(asked).to(means.device)] = after[chosen].mean(0)
            known |= asked
    return means, torch.from_numpy(known)


class Neighbours:
    """Finds for each transition the training transition that is most like it, exactly.

    Of the training transitions with the same action the one counts whose inputs are most alike, by
    the sum of their cosines. Where no training transition has that action, all are compared.

    Args:
        inputs: present states of the training transitions, ``(R, F)`` per input modality.
        there: ``(R,)`` bool, where all of them are there.
        action: ``(R, ...)`` their actions.
    """

    def __init__(self, inputs: Sequence[Tensor], there: Tensor, action: Tensor) -> None:
        """See the class."""
        self.keys = _directions(inputs)
        self.there, self.action, self.parts = there, action, len(inputs)

    def nearness(self, inputs: Sequence[Tensor], action: Tensor) -> Tensor:
        """Return how near each training transition is, ``(N, R)``; -inf where it lacks an input.

        Args:
            inputs: ``(N, F)`` per input modality, in the same order.
            action: ``(N, ...)``.
        """
        near = _directions(inputs) @ self.keys.T  # (N, R) in [-parts, parts]
        same = (action.flatten(1)[:, None] == self.action.flatten(1)[None]).all(-1)
        near = near + same * (2.0 * self.parts + 1)
        return near.masked_fill(~self.there[None], -torch.inf)

    @staticmethod
    def nearest(near: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest that has a next state.

        Args:
            near: ``(N, R)`` from :meth:`nearness`.
            there: ``(R,)`` bool, which training transitions have the next state asked for.

        Returns:
            ``(N,)`` int64 numbers, and ``(N,)`` bool: False where there is none at all.
        """
        best = near.masked_fill(~there[None], -torch.inf).max(1)
        return best.indices, best.values > -torch.inf


def _directions(inputs: Sequence[Tensor]) -> Tensor:
    """Return unit vectors of all inputs side by side, ``(N, sum of F)``."""
    return torch.cat([functional.normalize(part.float(), dim=-1) for part in inputs], -1)
