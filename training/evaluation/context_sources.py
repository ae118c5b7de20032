"""What a model is given beside each transition that it predicts: knowledge, or what went before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.cognition.contexts import Contexts
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.curriculum import Combination

from ..histories import Histories
from ..knowledge import facts_of
from ..windows import encode_recording
from .samples import EncodedSamples

ContextSource = Callable[[Combination, Tensor], Contexts]
"""From a combination and rows ``(n,)`` of the transitions to their contexts."""


def contexts_from_knowledge(
    model: WorldGPT, folder: Path, test: EncodedSamples, count: int
) -> ContextSource:
    """Return what retrieves ``count`` transitions by the inputs of a combination and the action.

    No row is given anything of its own episode, whatever data the knowledge was made of.
    """
    data = encode_recording(model, test.samples.recording)
    knowledge = Knowledge.load(folder, model).asked_by(facts_of(model, data))
    episode = torch.from_numpy(test.samples.episode)

    def contexts(combination: Combination, rows: Tensor) -> Contexts:
        state = {m: test.state.codes[m][rows] for m in combination.inputs}
        present = {m: test.state.present[m][rows] for m in combination.inputs}
        found = knowledge.search(state, test.action[rows], count, present, episode[rows])
        return knowledge.contexts(found)

    return contexts


def contexts_from_memory(model: WorldGPT, test: EncodedSamples, count: int) -> ContextSource:
    """Return what recalls the ``count`` transitions before each row, of its own episode."""
    data = encode_recording(model, test.samples.recording)
    steps = torch.from_numpy(data.first[test.samples.episode] + test.samples.step)
    histories = Histories(data)

    def contexts(combination: Combination, rows: Tensor) -> Contexts:
        return histories.contexts(steps[rows], count)

    return contexts
