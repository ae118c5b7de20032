"""Contexts for training: what went before in an episode, and what a knowledge base tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.cognition.choice import choose_steps
from worldgpt_env.model.contexts import Contexts
from worldgpt_env.model.transitions import TransitionStore

SHORTEST, LONGEST = 2, 5
"""Transitions of a history (WorldGPT §4.2)."""


@dataclass(frozen=True)
class Histories:
    """The transitions before a moment, of its own episode: a working memory of what is recorded."""

    data: TransitionStore

    def contexts(self, moments: Tensor, count: int, horizon: int | None = None) -> Contexts:
        """Return ``count`` transitions before ``moments`` ``(B,)``, the oldest first.

        They are the last ones, or spread evenly over the last ``horizon``, as
        :meth:`WorkingMemory.recall` gives them. Where an episode has not lasted so long, the first
        of them are not valid.
        """
        first = self.data.first
        episode = np.searchsorted(first, moments.numpy(), side="right") - 1
        begun = torch.from_numpy(first[episode])  # (B,)
        step, valid = choose_steps(moments - begun, horizon, count)  # (B, K)
        return self.data.contexts(begun[:, None] + step, valid)
