"""The objective: the next state, reward, termination, ensemble, consistency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .batch import Batch, LossOutput, Presence, State, flatten_time
from .errors import ConfigurationError
from .modalities import Modality

if TYPE_CHECKING:
    from .outcome import Outcome
    from .step import ReadOut
    from .worldgpt import WorldGPT


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


def objective(
    model: WorldGPT, out: ReadOut, outcome: Outcome, batch: Batch, weights: LossWeights
) -> LossOutput:
    """Return the weighted loss of a window and its parts.

    Args:
        model: gives the heads and codecs.
        out: what the model read, rows ``B T``.
        outcome: likewise, reward and end.
        batch: the windows, with targets.
        weights: of the parts.
    """
    valid = batch.valid.flatten()  # (B T,)
    present = flatten_time(batch.present_next)
    metrics: dict[str, Tensor] = {}
    loss, state = torch.zeros((), device=valid.device), torch.zeros((), device=valid.device)
    for modality in out.predicted:
        there = valid * present[modality] if modality in present else valid
        part, figures = state_loss(model, out, batch, modality, there, weights)
        loss = loss + part
        state += part.detach() / len(out.predicted)
        metrics |= {f"{name}/{modality}": value for name, value in figures.items()}
    parts = outcome_losses(model, outcome, batch, valid)
    latent = latent_of(model, flatten_time(batch.next), present)
    whole = torch.cat(list(latent.values()), -1)
    parts["ensemble"] = model.ensemble.loss(out.hidden, whole, valid)
    some = {m: there[::4] for m, there in present.items()}
    parts["consistency"] = model.consistency.loss({m: x[::4] for m, x in latent.items()}, some)
    if out.signal_nats is not None:
        parts["signal"] = mean(out.signal_nats, valid)
    for name, value in parts.items():
        loss = loss + getattr(weights, name) * value
    metrics |= {name: value.detach() for name, value in parts.items()}
    return LossOutput(loss, metrics | {"state": state, "total": loss.detach()})


def state_loss(
    model: WorldGPT,
    out: ReadOut,
    batch: Batch,
    modality: Modality,
    there: Tensor,
    weights: LossWeights,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted loss of one predicted modality, and its figures.

    Codes cost cross-entropy, embeddings the distance to the true one (WorldGPT §3.1).
    """
    target = batch.next[modality].flatten(0, 1)
    cells, digits = target.shape[1:]
    if model.codec(modality).continuous:
        vectors = out.vectors[modality].float()
        distance = mean((vectors - target).norm(dim=-1).mean(-1), there)
        cosine = mean(nn.functional.cosine_similarity(vectors, target, -1).mean(-1), there)
        return weights.state * distance, {"distance": distance.detach(), "cosine": cosine.detach()}
    now = batch.now[modality].flatten(0, 1)
    nats, exact = code_loss(out.logits[modality], target, now, there, weights.changed)
    return weights.state * nats / (cells * digits) ** 0.5, {"nats": nats.detach(), "exact": exact}


def outcome_losses(
    model: WorldGPT, outcome: Outcome, batch: Batch, valid: Tensor
) -> dict[str, Tensor]:
    """Return the losses of reward and end; a reward that nobody recorded is NaN and costs 0."""
    ended, reward = batch.terminated.flatten(), batch.reward.flatten()
    known = torch.isfinite(reward)
    nats = model.reward_head.loss(outcome.reward, reward.nan_to_num(), ended)
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


@torch.no_grad()
def latent_of(model: WorldGPT, state: State, present: Presence) -> dict[Modality, Tensor]:
    """Return the latents ``(B, F)`` of a state, without gradient; zeros where it is absent."""
    latent = model.latent(state)
    return {m: x * present[m][:, None] if m in present else x for m, x in latent.items()}


def mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of ``values`` ``(B,)``."""
    return (values * weights).sum() / weights.sum().clamp(min=1)
