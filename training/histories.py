"""Contexts for training: what went before in an episode, and what a knowledge base tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.batch import Presence, State
from worldgpt_env.model.cognition.choice import choose_steps
from worldgpt_env.model.cognition.contexts import Contexts

from .windows import EncodedRecording

SHORTEST, LONGEST = 2, 5
"""Transitions of a history (WorldGPT §4.2)."""


def transitions_at(data: EncodedRecording, before: Tensor, valid: Tensor) -> Contexts:
    """Return transitions of a recording as contexts.

    Args:
        data: the encoded recording.
        before: ``(B, K)`` int64, the moment before each transition; any moment if not valid.
        valid: ``(B, K)`` bool.
    """

    def at(moments: Tensor) -> tuple[State, Presence]:
        state = {m: codes[moments] for m, codes in data.state.items()}
        state = {m: x if x.is_floating_point() else x.long() for m, x in state.items()}
        return state, {m: there[moments] for m, there in data.present.items()}

    now, present = at(before)
    then, present_next = at(before + 1)
    unmeasured = torch.full(before.shape, torch.nan)
    return Contexts(now, data.action[before], then, valid, unmeasured, present, present_next)


@dataclass(frozen=True)
class Histories:
    """The transitions before a moment, of its own episode: a working memory of what is recorded."""

    data: EncodedRecording

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
        return transitions_at(self.data, begun[:, None] + step, valid)
