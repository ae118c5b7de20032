"""Contexts as tokens in front of a step: raw, as they are, or reflected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..batch import Presence, State
from ..errors import ConfigurationError, MissingHeadError
from ..layout import Block
from .contexts import Contexts

if TYPE_CHECKING:
    from ..worldgpt import WorldGPT

BEFORE, ACTION, AFTER = 0, 1, 2


@dataclass(frozen=True)
class Prefix:
    """What stands in front of a step.

    Attributes:
        tokens: ``(B, P, D)``.
        there: ``(B, P)`` bool, those that may be looked at.
    """

    tokens: Tensor
    there: Tensor


def read_contexts(model: WorldGPT, contexts: Contexts | None, step: Tensor, block: Block) -> Prefix:
    """Return the tokens of ``contexts`` for a step whose own kept tokens are ``step``.

    Args:
        model: gives the embeddings, and the reflector.
        contexts: as many as the block's reading says.
        step: observation and action tokens of the present step, ``(B, kept, D)``.
        block: the combination.

    Raises:
        ConfigurationError: if there are more or fewer contexts, or none.
        MissingHeadError: if they are to be reflected and the model has no reflector.
    """
    reading = block.reading
    if reading is None or contexts is None or contexts.count != reading.contexts:
        given = "none" if contexts is None else contexts.count
        wanted = "none" if reading is None else reading.contexts
        raise ConfigurationError(
            f"this engine reads {wanted} contexts a step and was given {given}."
        )
    tokens, part, there = context_tokens(model, contexts)  # (B, K, n, D)
    if not reading.reflected:
        return Prefix(tokens.flatten(1, 2), there.flatten(1, 2))
    if model.reflector is None:
        raise MissingHeadError(
            "this model has no reflector; read contexts raw, or train one: "
            "worldgpt tune --model MODEL --data DIR --out MODEL."
        )
    present = torch.cat([step[:, :-1].mean(1), step[:, -1]], -1)  # (B, 2 D)
    reflected = model.reflector(tokens, part, there, present)
    each = contexts.valid.repeat_interleave(model.reflector.config.queries, 1)
    return Prefix(reflected, each)


def context_tokens(model: WorldGPT, contexts: Contexts) -> tuple[Tensor, Tensor, Tensor]:
    """Return the tokens of each context, ``(B, K, n, D)``, their parts and which are there."""
    rows, count = contexts.valid.shape
    act = model.action_embedding(contexts.action.flatten(0, 1))
    slot = (model.action_slot + act.slot)[:, None]
    action = torch.cat([act.words, slot], 1)  # (B K, words + 1, D)
    spans = [
        _state_tokens(model, contexts.state, contexts.present),
        (action, torch.ones(action.shape[:2], dtype=torch.bool, device=action.device)),
        _state_tokens(model, contexts.next, contexts.present_next),
    ]
    tokens = torch.cat([part for part, _ in spans], 1)  # (B K, n, D)
    there = torch.cat([mask for _, mask in spans], 1).view(rows, count, -1)
    lengths = [part.shape[1] for part, _ in spans]
    kinds = torch.tensor([BEFORE, ACTION, AFTER], device=tokens.device)
    part = kinds.repeat_interleave(torch.tensor(lengths, device=tokens.device))
    return tokens.view(rows, count, *tokens.shape[1:]), part, there & contexts.valid[..., None]


def _state_tokens(model: WorldGPT, state: State, present: Presence) -> tuple[Tensor, Tensor]:
    """Return the tokens of all modalities ``(B K, n, D)`` and which are there ``(B K, n)``."""
    tokens, there = [], []
    for modality in model.specs:
        if modality not in state:
            raise ConfigurationError(
                f"the contexts lack {modality}, which this model reads; build them with this model."
            )
        cells = model.cell_embeddings[str(modality)](state[modality].flatten(0, 1))
        part = model.token_projections[str(modality)](cells)
        tokens.append(part)
        mask = torch.ones(part.shape[:2], dtype=torch.bool, device=part.device)
        if modality in present:
            mask = mask & present[modality].flatten()[:, None]
        there.append(mask)
    return torch.cat(tokens, 1), torch.cat(there, 1)
