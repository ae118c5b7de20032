"""BranchReplay: real steps and short imagined branches from them, for off-policy agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3.common.type_aliases import DictReplayBufferSamples
from torch import Tensor


@dataclass(frozen=True)
class Steps:
    """``N`` steps as an off-policy agent learns from them.

    Attributes:
        states: ``(N, D)`` float32, raw.
        actions: ``(N, A)`` float32, in [-1, 1].
        next_states: ``(N, D)``.
        terminated: ``(N,)`` float32.
        rewards: ``(N,)`` float32, scaled.
    """

    states: Tensor
    actions: Tensor
    next_states: Tensor
    terminated: Tensor
    rewards: Tensor

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.states)

    @staticmethod
    def joined(parts: list[Steps]) -> Steps:
        """Return all steps of ``parts``."""
        names = Steps.__dataclass_fields__
        return Steps(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def draw(self, count: int, generator: torch.Generator) -> Steps:
        """Return ``count`` steps drawn with ``generator``, with repeats."""
        return self.rows(torch.randint(len(self), (count,), generator=generator))

    def rows(self, chosen: Tensor) -> Steps:
        """Return the steps ``chosen``."""
        return Steps(*(getattr(self, name)[chosen] for name in Steps.__dataclass_fields__))


class BranchReplay:
    """Takes the place of a Stable-Baselines3 replay buffer: ``sample`` mixes real and imagined.

    Attributes:
        real: real steps.
        imagined: imagined ones; None until the first branches.
        real_share: of each batch (MBPO, arXiv 1906.08253: 5 %).
    """

    def __init__(self, real_share: float, seed: int) -> None:
        """Draw with random numbers of ``seed``."""
        self.real: Steps | None = None
        self.imagined: Steps | None = None
        self.real_share = real_share
        self._generator = torch.Generator().manual_seed(seed)

    def sample(self, batch_size: int, env: Any = None) -> DictReplayBufferSamples:
        """Return ``batch_size`` steps as Stable-Baselines3's ``train`` reads them."""
        assert self.real is not None, "no real steps were given"
        count = batch_size
        if self.imagined is not None:
            count = max(1, round(self.real_share * batch_size))
        steps = self.real.draw(count, self._generator)
        if self.imagined is not None and count < batch_size:
            rest = self.imagined.draw(batch_size - count, self._generator)
            steps = Steps.joined([steps, rest])
        return DictReplayBufferSamples(
            {"vector": steps.states},
            steps.actions,
            {"vector": steps.next_states},
            steps.terminated[:, None],
            steps.rewards[:, None],
        )
