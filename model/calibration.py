"""How sure the model may be of an ending: one temperature, fitted on steps it never saw."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .batch import Batch
from .worldgpt import WorldGPT


@torch.no_grad()
def calibrate_termination(
    model: WorldGPT, batch: Callable[[int], Batch], batches: int = 8
) -> dict[str, float]:
    """Store the temperature that gives the least cross-entropy of the ends, and return figures.

    Args:
        model: in evaluation mode; its ``config.termination_temperature`` is set.
        batch: gives held-out windows by number.
        batches: how many of them are read.
    """
    logits, ends = [], []
    exact: dict[str, float] = {}
    for number in range(batches):
        window = batch(number).to(model.device)
        _, outcome = model.dynamics.read_window(window, model.dynamics.tokens.block())
        valid = window.valid.flatten().bool()
        logits.append(outcome.termination.float()[valid])
        ends.append(window.terminated.flatten()[valid])
        for name, value in model(window).metrics.items():
            exact[name] = exact.get(name, 0.0) + float(value) / batches
    logit, end = torch.cat(logits), torch.cat(ends)
    temperatures = torch.logspace(-1, 1, 81)
    losses = torch.stack([_cross_entropy(logit / t, end) for t in temperatures])
    best = float(temperatures[losses.argmin()]) if 0 < end.sum() < len(end) else 1.0
    model.config.termination_temperature = best
    return exact | {"termination_temperature": best}


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
