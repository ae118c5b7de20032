"""Validation: the loss of the next state on held-out transitions, class by class."""

from __future__ import annotations

import numpy as np
import torch

from worldgpt_env.model.curriculum import Combination, Curriculum, Kind
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.model.worldgpt import WorldGPT

from .windows import WindowSampler


class Validation:
    """The loss of the next state on held-out transitions, for each class of combinations.

    Args:
        model: is looked at as it is.
        data: held-out episodes.
        curriculum: gives the combinations.
        rows: transitions of a batch.
        batches: of each of up to eight combinations a class.
    """

    def __init__(
        self,
        model: WorldGPT,
        data: TransitionStore,
        curriculum: Curriculum,
        rows: int = 256,
        batches: int = 1,
    ) -> None:
        """See the class."""
        self.model, self.batches = model, batches
        self.sampler = WindowSampler(data, 1, rows, 0.0, 1)
        order = np.random.default_rng(1)
        self.chosen: dict[str, list[Combination]] = {}
        for kind in Kind:
            members = [c for c in curriculum.combinations if c.kind is kind]
            picked = order.permutation(len(members))[:8]
            if len(picked) and curriculum.schedule != "complete":
                self.chosen[str(kind)] = [members[int(n)] for n in picked]

    @torch.no_grad()
    def losses(self) -> dict[str, float]:
        """Return ``held_out/CLASS`` for each class: mean loss of an output modality's state."""
        training = self.model.training
        self.model.eval()
        losses = {}
        for kind, members in self.chosen.items():
            parts = [
                float(self._loss(combination, number))
                for combination in members
                for number in range(self.batches)
            ]
            losses[f"held_out/{kind}"] = sum(parts) / len(parts)
        self.model.train(training)
        return losses

    def _loss(self, combination: Combination, number: int) -> torch.Tensor:
        batch = self.sampler.batch(number).to(self.model.device)
        output = self.model(batch, combination.inputs, combination.outputs)
        return output.metrics["state"]
