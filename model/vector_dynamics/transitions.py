"""Transitions of a vector world as tensors, one row per real step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MOST_SQUARED = 32
"""Numbers of an action whose products are looked at; more are choices, which need none."""


@dataclass(frozen=True)
class VectorTransitions:
    """``N`` real steps.

    Attributes:
        states: ``(N, D)`` float32, before the action.
        actions: ``(N, A)`` float32, as :class:`~.actions.ActionEncoder` writes them.
        rewards: ``(N,)`` float32.
        next_states: ``(N, D)`` float32, after the action.
        terminated: ``(N,)`` bool, the world ended with this step.
        first: ``(N,)`` bool, the step is the first of its episode.
    """

    states: Tensor
    actions: Tensor
    rewards: Tensor
    next_states: Tensor
    terminated: Tensor
    first: Tensor

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.states)

    def has_dense_reward(self) -> bool:
        """Return whether the reward of steps that go on depends on the state.

        It does if a quadratic function of the action leaves over a hundredth of its variance: the
        cost of an action alone says nothing of where to go.
        """
        going = ~self.terminated
        rewards, actions = self.rewards[going].double(), self.actions[going].double()
        if len(rewards) < 2 or rewards.std() <= 1e-6 * rewards.abs().max():
            return False
        read = torch.cat([torch.ones(len(actions), 1), actions], dim=1)
        if actions.shape[1] <= MOST_SQUARED:
            read = torch.cat([read, (actions[:, :, None] * actions[:, None]).flatten(1)], dim=1)
        found = torch.linalg.lstsq(read, rewards[:, None], driver="gelsd").solution
        left = rewards - (read @ found)[:, 0]
        return bool(left.var() > 0.01 * rewards.var())

    def returns_to_go(self, discount: float) -> Tensor:
        """Return the discounted sum of rewards from each step on, ``(N,)`` float64.

        An episode that was cut counts up to where it was cut.
        """
        rewards, first = self.rewards.double().tolist(), self.first.tolist()
        sums, total = [0.0] * len(rewards), 0.0
        for step in range(len(rewards) - 1, -1, -1):
            total = rewards[step] + discount * total
            sums[step] = total
            if first[step]:
                total = 0.0
        return torch.tensor(sums, dtype=torch.float64)
