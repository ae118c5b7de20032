"""Fitting a VectorDynamics to real steps: one loop, the rate falling at the end of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigurationError, NonFiniteError
from .ensemble_dynamics import VectorDynamics
from .transitions import VectorTransitions


@dataclass(frozen=True)
class FitConfig:
    """How a dynamics is fitted.

    Attributes:
        updates: optimiser steps.
        batch_size: real steps per member and update.
        learning_rate: of AdamW; it falls to a twentieth over the last third of the updates.
        weight_decay: of AdamW.
        end_share: the share of each batch for the end and the reward that are ends.
        held_out: share of the real steps that only choose the elites and are reported.
    """

    updates: int = 400
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    end_share: float = 0.25
    held_out: float = 0.1

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("updates", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be positive.")
        for name in ("end_share", "held_out"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}; use a share between 0 and 1."
                )


@dataclass(frozen=True)
class FitResult:
    """What a fitted dynamics does on held-out steps.

    Attributes:
        loss: of the last update.
        change_error: mean squared error of the best member, in variances of the true change.
        reward_error: mean squared error of the reward, in variances of the true one.
        end_recall: share of the ends that are predicted; None without any.
        false_ends: share of the other steps that are predicted to be ends.
    """

    loss: float
    change_error: float
    reward_error: float
    end_recall: float | None
    false_ends: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class _Rows:
    """What the networks read and should say, for all real steps."""

    states: Tensor
    actions: Tensor
    changes: Tensor
    consequences: Tensor
    rewards: Tensor
    terminated: Tensor


def fit(
    dynamics: VectorDynamics,
    data: VectorTransitions,
    generator: torch.Generator,
    config: FitConfig | None = None,
) -> FitResult:
    """Fit ``dynamics`` to ``data``, from the weights that it has.

    The change learns by the Gaussian likelihood, weighted by the square root of the variance so
    that what is hard to predict is learned too (arXiv 2203.09168). A quarter of the rows of end and
    reward are ends; the logit of the end is then shifted half-way back to how frequent ends are.

    Raises:
        ConfigurationError: there are fewer than 20 steps.
        NonFiniteError: the loss became NaN or infinite.
    """
    config = config or FitConfig()
    if len(data) < 20:
        raise ConfigurationError(f"{len(data)} real steps are too few to learn from; record 20.")
    dynamics.train()
    dynamics.scaling.fit(data)
    rows = _prepare(dynamics, data)
    order = torch.randperm(len(data), generator=generator)
    held = max(2, round(config.held_out * len(data)))
    held_out, training = order[:held], order[held:]
    ends = training[data.terminated[training]]
    if not len(ends):
        ends = data.terminated.nonzero()[:, 0]
    dynamics.has_ends.fill_(bool(len(ends)))
    optimizer = torch.optim.AdamW(
        dynamics.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    loss = torch.zeros(())
    for update in range(config.updates):
        optimizer.param_groups[0]["lr"] = config.learning_rate * _decay(update / config.updates)
        draws = (dynamics.config.members, config.batch_size)
        chosen = training[torch.randint(len(training), draws, generator=generator)]  # (K, B)
        loss = _loss(dynamics, rows, chosen, _with_ends(chosen, ends, config, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if not torch.isfinite(loss):
        raise NonFiniteError("the loss of the dynamics is not finite; check the recorded numbers.")
    dynamics.eval()
    _shift_ends(dynamics, data, config)
    return _judge(dynamics, rows, held_out, float(loss.detach()))


def _prepare(dynamics: VectorDynamics, data: VectorTransitions) -> _Rows:
    return _Rows(
        data.states,
        data.actions,
        dynamics.scaling.change(data.states, data.next_states),
        dynamics.consequence(data.states, data.actions, data.next_states),
        dynamics.scaling.reward(data.rewards, data.terminated),
        data.terminated,
    )


def _decay(progress: float) -> float:
    """Return the share of the learning rate at ``progress`` in [0, 1]."""
    return 1.0 if progress < 2 / 3 else max(0.05, 3 * (1 - progress))


def _with_ends(
    chosen: Tensor, ends: Tensor, config: FitConfig, generator: torch.Generator
) -> Tensor:
    """Return ``chosen`` ``(K, B)`` with its first columns replaced by ends."""
    if not len(ends):
        return chosen
    columns = max(1, int(config.end_share * config.batch_size))
    drawn = torch.randint(len(ends), (len(chosen), columns), generator=generator)
    return torch.cat([ends[drawn], chosen[:, columns:]], dim=1)


def _loss(dynamics: VectorDynamics, rows: _Rows, chosen: Tensor, balanced: Tensor) -> Tensor:
    """Return the sum of all members' losses; ``chosen`` and ``balanced`` are ``(K, B)`` rows."""
    mean, log_variance = dynamics.predict_change(rows.states[chosen], rows.actions[chosen])
    squares = (mean - rows.changes[chosen]).square()
    likelihood = squares * torch.exp(-log_variance) + log_variance
    weighted = likelihood * torch.exp(0.5 * log_variance).detach()
    moving = ~dynamics.scaling.constant
    loss = weighted[..., moving].mean((1, 2)).sum() if moving.any() else weighted.sum() * 0
    read, ended = rows.consequences[balanced], rows.terminated[balanced]
    rewards = dynamics.scaled_reward(read, ended)
    loss = loss + functional.smooth_l1_loss(rewards, rows.rewards[balanced]) * len(chosen)
    if dynamics.has_ends:
        logits = dynamics.end(read)[..., 0]
        entropy = functional.binary_cross_entropy_with_logits(logits, ended.float())
        loss = loss + entropy * len(chosen)
    return loss


def _shift_ends(dynamics: VectorDynamics, data: VectorTransitions, config: FitConfig) -> None:
    """Set the shift of the end's logit: half-way between the batch's share of ends and the true."""
    share = data.terminated.double().mean()
    if not dynamics.has_ends or share == 1:
        dynamics.end_shift.zero_()
        return
    met = config.end_share + (1 - config.end_share) * share
    dynamics.end_shift.fill_(float(0.5 * (torch.logit(share) - torch.logit(met))))


@torch.no_grad()
def _judge(dynamics: VectorDynamics, rows: _Rows, held_out: Tensor, loss: float) -> FitResult:
    """Choose the elites on the held-out rows, and say how good the dynamics is there."""
    everyone = held_out.expand(dynamics.config.members, -1)  # (K, M)
    mean, _ = dynamics.predict_change(rows.states[everyone], rows.actions[everyone])
    errors = (mean - rows.changes[everyone]).square().mean((1, 2))  # (K,)
    dynamics.elites.copy_(errors.argsort()[: dynamics.config.elites])
    read, ended = rows.consequences[everyone], rows.terminated[everyone]
    rewards = dynamics.scaled_reward(read, ended).mean(0)
    predicted = torch.zeros(len(held_out), dtype=torch.bool)
    if dynamics.has_ends:
        predicted = dynamics.end_logits(read).mean(0) > 0
    truth = rows.terminated[held_out]
    return FitResult(
        loss,
        float(errors.min()),
        float((rewards - rows.rewards[held_out]).square().mean()),
        float(predicted[truth].float().mean()) if truth.any() else None,
        float(predicted[~truth].float().mean()) if not truth.all() else 0.0,
    )
