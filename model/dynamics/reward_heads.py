"""What a step leads to beside the next state: a reward, and perhaps the end of the episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..batch_invariant import Perceptron, Projection
from ..configuration import RewardBins, WorldGPTConfig
from ..modalities import Modality
from ..processor import Processor
from .heads import Present


@dataclass(frozen=True)
class Outcome:
    """Reward and end of a step.

    Attributes:
        reward: bin logits ``(B, 2, bins)``: if the episode goes on, and if it ends.
        termination: logits ``(B,)``.
    """

    reward: Tensor
    termination: Tensor


class OutcomeReader(nn.Module):
    """Reads reward and end at the action slot and, in models that do so, from the next state.

    Args:
        processor: gives the modalities.
        config: sizes of the model, the bins of the reward, and where the outcome is read.
        hidden: width D of the backbone.

    Attributes:
        reads_next_state: whether :meth:`forward` reads ``next_state``, which is else left empty.
    """

    def __init__(self, config: WorldGPTConfig, processor: Processor, hidden: int) -> None:
        """Build the heads."""
        super().__init__()
        self.reward_head = RewardHead(hidden, config.reward_bins)
        self.termination_head = TerminationHead(hidden)
        self.next_state_features: NextStateFeatures | None = None
        self.reads_next_state = config.outcome == "next"
        if self.reads_next_state:
            names = [str(m) for m in processor.specs]
            self.next_state_features = NextStateFeatures(names, config.cell_width, hidden)

    def forward(
        self,
        hidden: Tensor,
        state: Mapping[Modality, Present],
        next_state: Mapping[Modality, Present],
    ) -> Outcome:
        """Read reward and end.

        Args:
            hidden: of the action slot, ``(B, D)``.
            state: the present state.
            next_state: the next state of any modalities: the true one where it is known, else the
                one that was imagined.
        """
        if self.next_state_features is not None:
            hidden = hidden + self.next_state_features(state, next_state)
        return Outcome(self.reward_head(hidden), self.termination_head(hidden))


class NextStateFeatures(nn.Module):
    """What of the next state bears on reward and end, as a part of the action slot's hidden state.

    A goal that is reached, a thing that is gone: such things show in few cells of the next state,
    wherever these are. Each cell is seen as it was and as it is, and what stands out in any of
    them is kept. (Extremes and ReLU are exact; a mean or SiLU rounds by the number of rows.)
    """

    def __init__(self, modalities: Sequence[str], width: int, hidden: int) -> None:
        """Build the reader for cells of ``width`` numbers and hidden states of ``hidden``."""
        super().__init__()
        self.look = nn.ModuleDict({m: Projection(2 * width, width) for m in modalities})
        self.outer = nn.ModuleDict({m: Projection(2 * width, hidden) for m in modalities})

    def forward(
        self, state: Mapping[Modality, Present], next_state: Mapping[Modality, Present]
    ) -> Tensor | float:
        """Return ``(B, D)``, or 0 if no modality of the next state is given."""
        total: Tensor | float = 0.0
        for modality, part in next_state.items():
            cells = part.seen  # (B, C, E)
            earlier = state[modality].seen if modality in state else torch.zeros_like(cells)
            found = self.look[str(modality)](torch.cat([earlier, cells], -1))  # (B, C, E)
            extremes = torch.cat([found.amax(1), -found.amin(1)], -1).relu()  # (B, 2 E)
            features = self.outer[str(modality)](extremes)
            total = total + (features if part.there is None else features * part.there[:, None])
        return total


def symlog(x: Tensor) -> Tensor:
    """Compress large magnitudes: ``sign(x) log(1 + |x|)``."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """Invert :func:`symlog`."""
    return x.sign() * x.abs().expm1()


class RewardHead(nn.Module):
    """Reward as two distributions over symlog-spaced bins: if the episode goes on, and if it ends.

    An end and its reward are one outcome. Were the reward a mean over both, an agent could collect
    a share of the final reward again and again without ever ending the episode.
    """

    centres: Tensor

    def __init__(self, hidden: int, bins: RewardBins) -> None:
        """Build the head over ``bins``."""
        super().__init__()
        low, high = symlog(torch.tensor([bins.low, bins.high])).tolist()
        self.register_buffer("centres", torch.linspace(low, high, bins.bins), persistent=False)
        self.read = Perceptron(hidden, hidden, 2 * bins.bins, zero=True)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states ``(B, D)`` to bin logits ``(B, 2, bins)``: going on, ending."""
        return self.read(hidden).unflatten(-1, (2, -1))

    def expect(self, logits: Tensor) -> Tensor:
        """Return the expected reward of both outcomes, ``(B, 2)``."""
        probabilities = logits.float().softmax(-1)
        return (probabilities * symexp(self.centres)).sum(-1)

    def loss(self, logits: Tensor, reward: Tensor, terminated: Tensor) -> Tensor:
        """Return the two-hot cross-entropy ``(B,)`` of ``reward`` ``(B,)`` in what happened."""
        outcome = terminated.long()[:, None, None].expand(-1, 1, logits.shape[-1])
        log_probabilities = logits.float().gather(1, outcome)[:, 0].log_softmax(-1)
        values = symexp(self.centres)
        low = (torch.searchsorted(values, reward, right=True) - 1).clamp(0, len(values) - 2)
        share = (reward - values[low]) / (values[low + 1] - values[low])  # expect() is then exact
        share = share.clamp(0, 1)
        below = log_probabilities.gather(1, low[:, None])[:, 0]
        above = log_probabilities.gather(1, low[:, None] + 1)[:, 0]
        return -((1 - share) * below + share * above)


class TerminationHead(nn.Module):
    """Logit that the episode ends with this step."""

    def __init__(self, hidden: int) -> None:
        """Build the head."""
        super().__init__()
        self.read = Perceptron(hidden, hidden, 2, zero=True)  # one column would round by row count

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(B, D)`` to logits ``(B,)``."""
        go_on, end = self.read(hidden).unbind(-1)
        return end - go_on
