"""What a judged model is shown beside each transition: knowledge, or what went before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.contexts import Contexts
from worldgpt_env.model.curriculum import Combination
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.model.worldgpt import WorldGPT

from ...histories import Histories
from .samples import EncodedSamples

Source = Callable[[Combination, Tensor], Contexts]


@dataclass(frozen=True)
class Beside:
    """Contexts of held-out transitions.

    Attributes:
        contexts: of the rows ``(n,)`` of the held-out transitions under a combination.
        reflected: read through the reflector, or raw.
    """

    contexts: Source
    reflected: bool


def from_knowledge(model: WorldGPT, folder: Path, test: EncodedSamples, count: int) -> Source:
    """Return what retrieves ``count`` transitions by the inputs of a combination and the action.

    No row is given anything of its own episode, whatever data the knowledge was made of.
    """
    data = TransitionStore.encode(model.processor, test.samples.recording.episodes)
    base = Knowledge.load(folder, model.processor).excluding(data)
    episode = torch.from_numpy(test.samples.episode)

    def contexts(combination: Combination, rows: Tensor) -> Contexts:
        state = {m: test.before.state[m][rows] for m in combination.inputs}
        there = {m: test.before.there[m][rows] for m in combination.inputs}
        return base.contexts(base.search(state, test.action[rows], count, there, episode[rows]))

    return contexts


def from_memory(model: WorldGPT, test: EncodedSamples, count: int) -> Source:
    """Return what recalls the ``count`` transitions before each row, of its own episode."""
    data = TransitionStore.encode(model.processor, test.samples.recording.episodes)
    moments = torch.from_numpy(data.first[test.samples.episode] + test.samples.step)
    histories = Histories(data)

    def contexts(combination: Combination, rows: Tensor) -> Contexts:
        return histories.contexts(moments[rows], count)

    return contexts
