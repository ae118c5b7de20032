"""What a model is given beside each transition that it predicts: knowledge, or what went before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.contexts import Contexts
from worldgpt_env.model.curriculum import Combination
from worldgpt_env.model.transitions import TransitionStore

from ..histories import Histories
from .samples import EncodedSamples

ContextSource = Callable[[Combination, Tensor], Contexts]
"""From a combination and rows ``(n,)`` of the transitions to their contexts."""


def contexts_from_knowledge(
    model: WorldGPT, folder: Path, test: EncodedSamples, count: int
) -> ContextSource:
    """Return what retrieves ``count`` transitions by the inputs of a combination and the action.

    No row is given anything of its own episode, whatever data the knowledge was made of.
    """
    data = TransitionStore.encode(model.processor, test.samples.recording.episodes)
    knowledge = Knowledge.load(folder, model.processor).excluding(data)
    episode = torch.from_numpy(test.samples.episode)

    def contexts(combination: Combination, rows: Tensor) -> Contexts:
        state = {m: test.state.codes[m][rows] for m in combination.inputs}
        present = {m: test.state.present[m][rows] for m in combination.inputs}
        found = knowledge.search(state, test.action[rows], count, present, episode[rows])
        return knowledge.contexts(found)

    return contexts


def contexts_from_memory(model: WorldGPT, test: EncodedSamples, count: int) -> ContextSource:
    """Return what recalls the ``count`` transitions before each row, of its own episode."""
    data = TransitionStore.encode(model.processor, test.samples.recording.episodes)
    steps = torch.from_numpy(data.first[test.samples.episode] + test.samples.step)
    histories = Histories(data)

    def contexts(combination: Combination, rows: Tensor) -> Contexts:
        return histories.contexts(steps[rows], count)

    return contexts
