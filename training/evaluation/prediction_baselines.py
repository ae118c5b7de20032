"""Baselines of predicted latents: the mean next state, the nearest neighbour's, a static generator.

Copying the state needs no code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality

from .observations import CHUNK
from .samples import EncodedSamples


def mean_next_state(
    next_state: Tensor, present: Tensor, scenario: np.ndarray, wanted: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Return the mean next state of each wanted scenario.

    Args:
        next_state: ``(R, F)`` centred latents of the training transitions.
        present: ``(R,)`` bool, where there is one.
        scenario: ``(R,)`` names.
        wanted: ``(N,)`` names of the scenarios asked for.

    Returns:
        ``(N, F)``, and ``(N,)`` bool: False where training had no such scenario.
    """
    means = next_state.new_zeros(len(wanted), next_state.shape[1])
    known = torch.zeros(len(wanted), dtype=torch.bool)
    for name in np.unique(wanted):
        chosen = present & torch.from_numpy(scenario == name).to(present.device)
        if chosen.any():
            asked = torch.from_numpy(wanted == name)
            means[asked], known[asked] = next_state[chosen].mean(0), True
    return means, known


class NearestNeighbours:
    """Finds for each transition the training transition that is most like it, exactly.

    Of the training transitions with the same action the one counts whose inputs are most alike, by
    the sum of their cosines. Where no training transition has that action, all are compared.

    Args:
        inputs: centred latents of the training transitions' states, ``(R, F)`` per input modality.
        present: ``(R,)`` bool, where all of them are there.
        action: ``(R, ...)`` their actions.
    """

    def __init__(self, inputs: Sequence[Tensor], present: Tensor, action: Tensor) -> None:
        """See the class."""
        self.keys = _directions(inputs)
        self.present, self.action, self.parts = present, action, len(inputs)

    def nearness(self, inputs: Sequence[Tensor], action: Tensor) -> Tensor:
        """Return how near each training transition is, ``(N, R)``; -inf where it lacks an input.

        ``inputs`` are ``(N, F)`` per input modality, in the same order; ``action`` is ``(N, ...)``.
        """
        near = _directions(inputs) @ self.keys.T  # (N, R) in [-parts, parts]
        same = (action.flatten(1)[:, None] == self.action.flatten(1)[None]).all(-1)
        near = near + same * (2.0 * self.parts + 1)
        return near.masked_fill(~self.present[None], -torch.inf)

    @staticmethod
    def nearest(near: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest of those ``present`` ``(R,)``: that have the next state asked for.

        Returns:
            ``(N,)`` int64 rows, and ``(N,)`` bool: False where there is none at all.
        """
        best = near.masked_fill(~present[None], -torch.inf).max(1)
        return best.indices, best.values > -torch.inf


def _directions(inputs: Sequence[Tensor]) -> Tensor:
    """Return unit vectors of all inputs side by side, ``(N, sum of F)``."""
    return torch.cat([functional.normalize(part.float(), dim=-1) for part in inputs], -1)


def same_codec(one: WorldGPT, other: WorldGPT, modality: Modality) -> bool:
    """Return whether both models encode ``modality`` alike, weight for weight."""
    first, second = (m.codec(modality).state_dict() for m in (one, other))
    return first.keys() == second.keys() and all(
        torch.equal(tensor.cpu(), second[name].cpu()) for name, tensor in first.items()
    )


def static_latents(
    static: WorldGPT, model: WorldGPT, test: EncodedSamples, modalities: Iterable[Modality]
) -> dict[Modality, Tensor]:
    """Return what a generator that reads the action alone predicts, as ``model`` encodes it.

    Where both have the same codec, its expected latent counts; else its likeliest observation is
    decoded, and encoded with the codec of ``model``: all are evaluated in one space.

    Returns:
        Per modality ``(N, F)``.

    Raises:
        ConfigurationError: the generator lacks a modality, or has it in another shape.
    """
    action, latent = test.samples.actions(static.action_spec), {}
    for modality in modalities:
        if static.specs.get(modality) != model.specs[modality]:
            raise ConfigurationError(
                f"the static generator has the {modality} {static.specs.get(modality)} and the "
                f"model {model.specs[modality]}; train it on the same data with --schedule static."
            )
        direct, parts = same_codec(static, model, modality), []
        for chunk in action.split(CHUNK):
            guess = static.predict({}, chunk.to(static.device), (modality,), expected=direct)
            if direct:
                parts.append((guess.latent or {})[modality].cpu())
            else:
                decoded = static.decode(guess.state)[modality].to(model.device)
                encoded = model.encode({modality: decoded})
                parts.append(model.latent(encoded)[modality].float().cpu())
        latent[modality] = torch.cat(parts)
    return latent
