"""The static generator as a baseline: action text to state, whatever the present state is."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.worldgpt import WorldGPT

from .samples import CHUNK, EncodedSamples


def same_codec(one: WorldGPT, other: WorldGPT, modality: Modality) -> bool:
    """Return whether both models encode ``modality`` alike, weight for weight."""
    first, second = (m.codec(modality).state_dict() for m in (one, other))
    return first.keys() == second.keys() and all(
        torch.equal(tensor.cpu(), second[name].cpu()) for name, tensor in first.items()
    )


def static_latents(
    static: WorldGPT, model: WorldGPT, test: EncodedSamples, modalities: Iterable[Modality]
) -> dict[Modality, Tensor]:
    """Return what the generator says follows each action, in the encoding space of ``model``.

    Where both have the same codec, its expected latent counts; else its likeliest observation is
    decoded, and encoded with the codec of ``model``: all are judged in one space.

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
            said = static.predict({}, chunk.to(static.device), (modality,), expected=direct)
            if direct:
                parts.append((said.latent or {})[modality].cpu())
            else:
                drawn = static.decode(said.state)[modality].to(model.device)
                parts.append(model.latent(model.encode({modality: drawn}))[modality].float().cpu())
        latent[modality] = torch.cat(parts)
    return latent
