"""Scaling: states, changes and rewards in units of their own spread in the recording."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..modalities import UNBOUNDED
from .transitions import VectorTransitions

LIMIT = 10.0
"""No scaled input is larger: a state far from all that was recorded reads as the farthest one."""


class Scaling(nn.Module):
    """What states, changes and rewards are scaled by; fitted, saved with the weights.

    The reward of a step that ends the episode is scaled apart from that of all others: a goal that
    pays 100 once would else drown what each step costs.

    A number that never changed in the recording (a target that stands still for an episode) has no
    spread to be scaled by: it is ``constant`` and predicted to stay as it is.

    Numbers stay between ``low`` and ``high``: the world's own bounds ``least`` and ``most``, or
    what was recorded and a tenth of its range beyond, where that is closer.
    """

    mean: Tensor
    spread: Tensor
    change_mean: Tensor
    change_spread: Tensor
    constant: Tensor
    low: Tensor
    high: Tensor
    least: Tensor
    most: Tensor
    reward_mean: Tensor
    reward_spread: Tensor

    def __init__(self, size: int, least: Tensor | None = None, most: Tensor | None = None) -> None:
        """Start with nothing scaled; :meth:`fit` sets everything but the world's bounds."""
        super().__init__()
        endless = torch.full((size,), UNBOUNDED)
        self.register_buffer("least", -endless if least is None else least.clone())
        self.register_buffer("most", endless if most is None else most.clone())
        for name in ("mean", "change_mean", "low", "high"):
            self.register_buffer(name, torch.zeros(size))
        for name in ("spread", "change_spread"):
            self.register_buffer(name, torch.ones(size))
        self.register_buffer("constant", torch.zeros(size, dtype=torch.bool))
        self.register_buffer("reward_mean", torch.zeros(2))
        self.register_buffer("reward_spread", torch.ones(2))

    def fit(self, data: VectorTransitions) -> None:
        """Take means, spreads and bounds from ``data``."""
        states, following = data.states.double(), data.next_states.double()
        both = torch.cat([states, following])
        changes = following - states
        self.mean.copy_(both.mean(0))
        self.spread.copy_(_spread(both))
        self.constant.copy_(changes.abs().amax(0) == 0)
        self.change_mean.copy_(changes.mean(0))
        self.change_spread.copy_(_spread(changes))
        low, high = both.amin(0), both.amax(0)
        self.low.copy_(torch.maximum(low - 0.1 * (high - low), self.least))
        self.high.copy_(torch.minimum(high + 0.1 * (high - low), self.most))
        for kind, rows in enumerate((~data.terminated, data.terminated)):
            rewards = data.rewards[rows].double()
            self.reward_mean[kind] = rewards.mean() if len(rewards) else 0.0
            self.reward_spread[kind] = rewards.std(correction=0) if len(rewards) else 0.0

    def state(self, states: Tensor) -> Tensor:
        """Return scaled states, ``(..., D)``."""
        return ((states - self.mean) / self.spread).clamp(-LIMIT, LIMIT)

    def change(self, states: Tensor, next_states: Tensor) -> Tensor:
        """Return the scaled change, ``(..., D)``; 0 where a number is constant."""
        changes = (next_states - states - self.change_mean) / self.change_spread
        return changes.masked_fill(self.constant, 0.0)

    def moved(self, states: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states after a scaled ``change``, and which would leave what was recorded.

        Those stop at its border. The world's own bounds hold a state too, and nothing is left.
        """
        step = (change * self.change_spread + self.change_mean).masked_fill(self.constant, 0.0)
        free = states + step
        left = (free < self.low) & (self.low > self.least)
        left |= (free > self.high) & (self.high < self.most)
        return torch.minimum(torch.maximum(free, self.low), self.high), left.any(-1)

    def reward(self, rewards: Tensor, terminated: Tensor) -> Tensor:
        """Return scaled rewards; those paid at an end have a scale of their own."""
        kind = terminated.long()
        spread = torch.where(self.reward_spread > 0, self.reward_spread, 1.0)
        return (rewards - self.reward_mean[kind]) / spread[kind]

    def raw_reward(self, scaled: Tensor, terminated: Tensor) -> Tensor:
        """Return rewards from scaled ones; a reward that never differed is exactly that."""
        kind = terminated.long()
        return scaled * self.reward_spread[kind] + self.reward_mean[kind]


def _spread(values: Tensor) -> Tensor:
    """Return the standard deviation over rows, 1 where values do not differ."""
    spread = values.std(0, correction=0)
    flat = spread <= 1e-7 * values.abs().amax(0)
    return torch.where(flat, torch.ones_like(spread), spread)
