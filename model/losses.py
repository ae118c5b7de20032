"""The objective: codes of the next state, reward, termination, ensemble, consistency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .batch import Batch, LossOutput, State, flatten_time
from .errors import ConfigurationError
from .modalities import Modality

if TYPE_CHECKING:
    from .worldgpt import ReadOut, WorldGPT


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
    """

    state: float = 1.0
    changed: float = 1.0
    reward: float = 1.0
    termination: float = 1.0
    ensemble: float = 1.0
    consistency: float = 0.1

    def __post_init__(self) -> None:
        """Refuse negative weights."""
        for name, value in vars(self).items():
            if not value >= 0:
                raise ConfigurationError(f"the loss weight {name} is {value}; use 0 or more.")


def objective(model: WorldGPT, out: ReadOut, batch: Batch, weights: LossWeights) -> LossOutput:
    """Return the weighted loss of a window and its parts.

    Args:
        model: gives the heads and codecs.
        out: what the model read, rows ``B T``.
        batch: the windows, with targets.
        weights: of the parts.
    """
    valid = batch.valid.flatten()  # (B T,)
    now, then = flatten_time(batch.now), flatten_time(batch.next)
    metrics: dict[str, Tensor] = {}
    loss = torch.zeros((), device=valid.device)
    for modality, logits in out.logits.items():
        nats, exact = code_loss(logits, then[modality], now[modality], valid, weights.changed)
        cells, digits = then[modality].shape[1:]
        loss = loss + weights.state * nats / (cells * digits) ** 0.5
        metrics[f"nats/{modality}"] = nats.detach()
        metrics[f"exact/{modality}"] = exact
    ended = batch.terminated.flatten()
    reward = mean(model.reward_head.loss(out.reward, batch.reward.flatten(), ended), valid)
    ends = nn.functional.binary_cross_entropy_with_logits(
        out.termination.float(), ended, reduction="none"
    )
    termination = mean(ends, valid)
    latent = latent_of(model, then)
    ensemble = model.ensemble.loss(out.hidden, torch.cat(list(latent.values()), -1), valid)
    consistency = model.consistency.loss({m: x[::4] for m, x in latent.items()})
    loss = loss + weights.reward * reward + weights.termination * termination
    loss = loss + weights.ensemble * ensemble + weights.consistency * consistency
    parts = {"reward": reward, "termination": termination, "ensemble": ensemble}
    parts |= {"consistency": consistency, "total": loss}
    metrics |= {name: value.detach() for name, value in parts.items()}
    return LossOutput(loss, metrics)


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


@torch.no_grad()
def latent_of(model: WorldGPT, state: State) -> dict[Modality, Tensor]:
    """Return the latents ``(B, F)`` of a state, without gradient."""
    return model.latent(state)


def mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of ``values`` ``(B,)``."""
    return (values * weights).sum() / weights.sum().clamp(min=1)
