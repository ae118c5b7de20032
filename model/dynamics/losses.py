"""The objective: the next state, reward, termination, ensemble, consistency."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..batch import Batch
from ..errors import ConfigurationError
from ..modalities import Modality
from .heads import ReadOut
from .reward_heads import Outcome, RewardHead


@dataclass(frozen=True)
class LossWeights:
    """How much each part of the objective counts.

    Attributes:
        state: cross-entropy of a modality's codes, in nats a state, divided by ``softening``.
        changed: weight of the digits that change, over those that stay.
        reward: two-hot cross-entropy.
        termination: binary cross-entropy.
        ensemble: error of the uncertainty heads (on detached features).
        consistency: contrastive loss between modalities (on codes alone).
        signal: cross-entropy of the signal tokens, in models with continuous states.
    """

    state: float = 1.0
    changed: float = 1.0
    reward: float = 1.0
    termination: float = 1.0
    ensemble: float = 1.0
    consistency: float = 0.1
    signal: float = 1.0

    def __post_init__(self) -> None:
        """Refuse negative weights."""
        for name, value in vars(self).items():
            if not value >= 0:
                raise ConfigurationError(f"the loss weight {name} is {value}; use 0 or more.")


def state_loss(
    out: ReadOut, batch: Batch, modality: Modality, present: Tensor, weights: LossWeights
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted loss of one predicted modality, and its metrics.

    Codes cost cross-entropy, embeddings the distance to the true one (WorldGPT §3.1).
    """
    target = batch.next[modality].flatten(0, 1)
    cells, digits = target.shape[1:]
    if modality in out.vectors:
        vectors = out.vectors[modality].float()
        distance = mean((vectors - target).norm(dim=-1).mean(-1), present)
        cosine = mean(nn.functional.cosine_similarity(vectors, target, -1).mean(-1), present)
        return weights.state * distance, {"distance": distance.detach(), "cosine": cosine.detach()}
    state = batch.now[modality].flatten(0, 1)
    nats, exact = code_loss(out.logits[modality], target, state, present, weights.changed)
    return weights.state * nats / (cells * digits) ** 0.5, {"nats": nats.detach(), "exact": exact}


def outcome_losses(
    reward_head: RewardHead, outcome: Outcome, batch: Batch, valid: Tensor
) -> dict[str, Tensor]:
    """Return the losses of reward and end; a reward that nobody recorded is NaN and costs 0."""
    ended, reward = batch.terminated.flatten(), batch.reward.flatten()
    known = torch.isfinite(reward)
    nats = reward_head.loss(outcome.reward, reward.nan_to_num(), ended)
    ends = nn.functional.binary_cross_entropy_with_logits(
        outcome.termination.float(), ended, reduction="none"
    )
    return {"reward": mean(nats, valid * known), "termination": mean(ends, valid * known)}


def code_loss(
    logits: Tensor, target: Tensor, present: Tensor, valid: Tensor, changed: float
) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy in nats a state, and the share of states that are exactly right.

    Args:
        logits: ``(B, C, G, V)``.
        target: codes ``(B, C, G)``.
        present: codes of the step before, ``(B, C, G)``.
        valid: ``(B,)`` weights.
        changed: weight of digits where ``target`` differs from ``present``.
    """
    logits = logits.float()
    nats = nn.functional.cross_entropy(logits.flatten(0, 2), target.flatten(), reduction="none")
    nats = nats.view(target.shape)  # (B, C, G)
    if changed != 1:
        nats = nats * torch.where(target == present, 1.0, changed)
    with torch.no_grad():
        exact = (logits.argmax(-1) == target).flatten(1).all(1).float()
    return mean(nats.flatten(1).sum(1), valid), mean(exact, valid)


def mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of ``values`` ``(B,)``."""
    return (values * weights).sum() / weights.sum().clamp(min=1)
