"""LearnedNumbers: what ``worldgpt dyna --env`` learned of numbers, as the trust card asks it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.vector_dynamics.ensemble_dynamics import imagine_rows
from worldgpt_env.model.vector_dynamics.world_model import VectorWorldModel

from .protocol import Observation, TrustedWorld, WorldStep


@dataclass(frozen=True)
class _Numbers:
    """States ``(B, D)`` and where their randomness comes from."""

    values: Tensor
    generator: torch.Generator


class LearnedNumbers(TrustedWorld):
    """Dreams of ``model``; a row keeps to one member, the chance of an end is their share."""

    def __init__(self, model: VectorWorldModel) -> None:
        """See the class."""
        self.model, self.imaginer = model, model.dynamics.imaginer()

    def reset(self, observations: Observation, seed: int) -> _Numbers:
        """Return the numbers themselves."""
        values = torch.from_numpy(observations["vector"].astype(np.float32))
        return _Numbers(values, torch.Generator().manual_seed(seed))

    def step(self, state: _Numbers, actions: np.ndarray) -> WorldStep:
        """Imagine one step by the elites."""
        encoded, members = self.model.encoder(actions), len(self.imaginer.elites)
        step = imagine_rows(self.imaginer, state.values, encoded, state.generator)
        every = self.imaginer.step(
            state.values.expand(members, -1, -1), encoded.expand(members, -1, -1)
        )
        doubt = self.model.uncertainty(state.values, encoded).masked_fill(step.outside, 1.0)
        return WorldStep(
            _Numbers(step.next_states, state.generator),
            step.rewards.numpy(),
            step.terminated.numpy(),
            every.terminated.float().mean(0).numpy(),
            doubt.numpy(),
            expected_reward=every.rewards.mean(0).numpy(),
        )

    def observe(self, state: _Numbers) -> Observation:
        """Return the numbers."""
        return {"vector": state.values.numpy()}
