"""One step through the language model: what goes in as tokens, and what is read out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .batch import Presence, State
from .heads import Present
from .layout import Block
from .modalities import Modality

if TYPE_CHECKING:
    from .cognition.contexts import Contexts
    from .worldgpt import WorldGPT


@dataclass(frozen=True)
class ReadOut:
    """What one pass of the backbone says about the next state.

    Attributes:
        logits: per requested modality with codes ``(B, C, G, V)``.
        vectors: per requested modality with embeddings ``(B, C, G)``.
        hidden: the action slot's hidden states ``(B, D)``.
        signal_nats: cross-entropy of the signal tokens ``(B,)``, in models with embeddings.
    """

    logits: dict[Modality, Tensor]
    vectors: dict[Modality, Tensor]
    hidden: Tensor
    signal_nats: Tensor | None

    @property
    def predicted(self) -> tuple[Modality, ...]:
        """The requested modalities."""
        return (*self.logits, *self.vectors)


@dataclass(frozen=True)
class StepInput:
    """The tokens of one step, and what the state heads see of the present state.

    Attributes:
        tokens: ``(B, size, D)``, in the order of the block.
        now: per input modality.
        prefix: ``(B, prefix)`` bool, the tokens of contexts that are there; None without contexts.
    """

    tokens: Tensor
    now: dict[Modality, Present]
    prefix: Tensor | None = None

    def presence(self, block: Block, present: Presence) -> Tensor | None:
        """Return which tokens are there, ``(B, size)`` bool; None if all are."""
        kept = block.presence_mask(present)
        if kept is None and self.prefix is None:
            return None
        there = torch.ones(self.tokens.shape[:2], dtype=torch.bool, device=self.tokens.device)
        if kept is not None:
            there[:, : block.kept] = kept
        if self.prefix is not None:
            there[:, block.kept + block.signals :] = self.prefix
        return there


def embed_step(
    model: WorldGPT,
    state: State,
    action: Tensor,
    block: Block,
    present: Presence | None = None,
    contexts: Contexts | None = None,
) -> StepInput:
    """Embed the tokens of one step.

    Args:
        model: gives the embeddings.
        state: of the block's inputs, ``(B, C, G)`` each.
        action: ``(B, ...)``.
        block: the combination.
        present: which rows have a modality; all if not named.
        contexts: transitions in front of the step, as many as the block reads.
    """
    act = model.action_embedding(action)
    now = {}
    for modality in block.inputs:
        cells = model.cell_embeddings[str(modality)](state[modality])  # (B, C, E)
        now[modality] = Present(state[modality], cells, (present or {}).get(modality))
    seen = [model.token_projections[str(m)](part.cells) for m, part in now.items()]
    acted = [act.words] if model.tokens.words else []
    acted.append((model.action_slot + act.slot)[:, None])
    asked = [model.signal_tokens[str(m)] for m in block.outputs]
    signals = [torch.cat(asked) + act.signal[:, None]] if asked else []
    if block.reading is None:
        return StepInput(torch.cat([*seen, *acted, *signals], 1), now)
    from .cognition.prefix import read_contexts

    prefix = read_contexts(model, contexts, torch.cat([*seen, *acted], 1), block)
    tokens = torch.cat([*seen, *acted, *signals, prefix.tokens], 1)
    return StepInput(tokens, now, prefix.there)


def read_step(model: WorldGPT, hidden: Tensor, step: StepInput, block: Block) -> ReadOut:
    """Read the next state from the hidden states of the signal tokens.

    Args:
        model: gives the heads.
        hidden: ``(B, 1 + signals, D)``; what stands behind is not read.
        step: what :func:`embed_step` gave.
        block: the combination.
    """
    logits: dict[Modality, Tensor] = {}
    vectors: dict[Modality, Tensor] = {}
    for modality, span in block.signal_slices().items():
        tokens = hidden[:, span.start - block.kept + 1 : span.stop - block.kept + 1]
        head = model.state_heads[str(modality)]
        into = vectors if model.codec(modality).continuous else logits
        into[modality] = head(tokens, step.now.get(modality))
    action, nats = hidden[:, 0], None
    if vectors and model.training:
        signals = hidden[:, 1 : 1 + block.signals]
        nats = model.signal_reader.loss(signals, model.signal_numbers(block.outputs))
    return ReadOut(logits, vectors, action, nats)
