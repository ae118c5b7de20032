"""StepEmbedding: a state, an action and contexts as the tokens of one step (WorldGPT §3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..configuration import ReflectorConfig, WorldGPTConfig
from ..contexts import Contexts
from ..errors import ConfigurationError, MissingHeadError
from ..modalities import Modality
from ..processor import Processor
from ..states import Presence, State
from .embeddings import ActionEmbedding, CellEmbedding, TokenProjection, VectorEmbedding
from .heads import Present
from .layout import Block, Reading, TokenCounts
from .reflector import ContextReflector


@dataclass(frozen=True)
class StepInput:
    """The tokens of one step, and what the state heads see of the present state.

    Attributes:
        tokens: ``(B, size, D)``, in the order of the block.
        state: the present state, per input modality.
        prefix: ``(B, prefix)`` bool, the tokens of contexts that are present; None without
            contexts.
    """

    tokens: Tensor
    state: dict[Modality, Present]
    prefix: Tensor | None = None

    def presence(self, block: Block, present: Presence) -> Tensor | None:
        """Return which tokens are present, ``(B, size)`` bool; None if all are."""
        kept = block.presence_mask(present)
        if kept is None and self.prefix is None:
            return None
        mask = torch.ones(self.tokens.shape[:2], dtype=torch.bool, device=self.tokens.device)
        if kept is not None:
            mask[:, : block.kept] = kept
        if self.prefix is not None:
            mask[:, block.kept + block.signals :] = self.prefix
        return mask


class StepEmbedding(nn.Module):
    """Embeds codes, actions, signal tokens and contexts.

    Args:
        config: sizes of the model.
        processor: gives the shape of the codes and the actions.
        tokens: backbone tokens of each modality.
        hidden: width D of the backbone.
    """

    def __init__(
        self, config: WorldGPTConfig, processor: Processor, tokens: TokenCounts, hidden: int
    ) -> None:
        """Build the tables, randomly initialised."""
        super().__init__()
        self.words, width = tokens.words, config.cell_width
        codecs = {m: processor.codec(m) for m in processor.specs}
        self.cell_embeddings = nn.ModuleDict(
            {str(m): (VectorEmbedding if c.continuous else CellEmbedding)(c, width)
             for m, c in codecs.items()}
        )  # fmt: skip
        self.token_projections = nn.ModuleDict(
            {str(m): TokenProjection(c.cells, width, tokens[m], hidden) for m, c in codecs.items()}
        )
        self.action_slot = nn.Parameter(torch.randn(hidden) * 0.5)
        self.action_embedding = ActionEmbedding(processor.action_spec, hidden)
        self.signal_tokens = nn.ParameterDict(
            {str(m): nn.Parameter(torch.randn(tokens.signals(m), hidden) * 0.5) for m in codecs}
        )
        self.reflector: ContextReflector | None = None

    def add_reflector(self, config: ReflectorConfig, hidden: int) -> ContextReflector:
        """Give the model a reflector if it has none, and return it."""
        if self.reflector is None:
            self.reflector = ContextReflector(config, hidden)
        return self.reflector

    def cells(self, state: State, present: Presence | None = None) -> dict[Modality, Present]:
        """Return a state with the embeddings of its cells ``(B, C, E)``."""
        return {
            m: Present(codes, self.cell_embeddings[str(m)](codes), (present or {}).get(m))
            for m, codes in state.items()
        }

    def forward(
        self,
        state: State,
        action: Tensor,
        block: Block,
        present: Presence | None = None,
        contexts: Contexts | None = None,
    ) -> StepInput:
        """Embed the tokens of one step.

        Args:
            state: of the block's inputs, ``(B, C, G)`` each.
            action: ``(B, ...)``.
            block: the combination.
            present: which rows have a modality; all if not named.
            contexts: transitions in front of the step, as many as the block reads.
        """
        act = self.action_embedding(action)
        cells = self.cells({m: state[m] for m in block.inputs}, present)
        observed = [self.token_projections[str(m)](part.cells) for m, part in cells.items()]
        acted = [act.words] if self.words else []
        acted.append((self.action_slot + act.slot)[:, None])
        queries = [self.signal_tokens[str(m)] for m in block.outputs]
        signals = [torch.cat(queries) + act.signal[:, None]] if queries else []
        if block.reading is None:
            return StepInput(torch.cat([*observed, *acted, *signals], 1), cells)
        kept = torch.cat([*observed, *acted], 1)
        prefix, mask = self._read_contexts(contexts, kept, block.reading)
        return StepInput(torch.cat([kept, *signals, prefix], 1), cells, mask)

    def _read_contexts(
        self, contexts: Contexts | None, step: Tensor, reading: Reading
    ) -> tuple[Tensor, Tensor]:
        """Return the tokens in front of a step, ``(B, P, D)``, and which are present ``(B, P)``.

        Args:
            contexts: as many as ``reading`` says.
            step: observation and action tokens of the present step, ``(B, kept, D)``.
            reading: raw, or through the reflector.

        Raises:
            ConfigurationError: if there are more or fewer contexts, or none.
            MissingHeadError: if they are to be reflected and the model has no reflector.
        """
        if contexts is None or contexts.count != reading.contexts:
            given = "none" if contexts is None else contexts.count
            raise ConfigurationError(
                f"this engine reads {reading.contexts} contexts a step and was given {given}."
            )
        tokens, part, present = self._context_tokens(contexts)  # (B, K, n, D)
        if not reading.reflected:
            return tokens.flatten(1, 2), present.flatten(1, 2)
        if self.reflector is None:
            raise MissingHeadError(
                "this model has no reflector; read contexts raw, or train one: "
                "worldgpt tune --model MODEL --data DIR --out MODEL."
            )
        condition = torch.cat([step[:, :-1].mean(1), step[:, -1]], -1)  # (B, 2 D)
        reflected = self.reflector(tokens, part, present, condition)
        return reflected, contexts.valid.repeat_interleave(self.reflector.config.queries, 1)

    def _context_tokens(self, contexts: Contexts) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tokens of each context, ``(B, K, n, D)``, their parts and which are present.

        A part is 0 for tokens of the state, 1 for those of the action, 2 for the next state.
        """
        rows, count = contexts.valid.shape
        act = self.action_embedding(contexts.action.flatten(0, 1))
        action = torch.cat([act.words, (self.action_slot + act.slot)[:, None]], 1)
        spans = [
            self._state_tokens(contexts.state, contexts.present),
            (action, torch.ones(action.shape[:2], dtype=torch.bool, device=action.device)),
            self._state_tokens(contexts.next_state, contexts.present_next),
        ]
        tokens = torch.cat([part for part, _ in spans], 1)  # (B K, n, D)
        present = torch.cat([mask for _, mask in spans], 1).view(rows, count, -1)
        lengths = torch.tensor([part.shape[1] for part, _ in spans], device=tokens.device)
        part = torch.arange(3, device=tokens.device).repeat_interleave(lengths)
        tokens = tokens.view(rows, count, *tokens.shape[1:])  # (B, K, n, D)
        return tokens, part, present & contexts.valid[..., None]

    def _state_tokens(self, state: State, present: Presence) -> tuple[Tensor, Tensor]:
        """Return the tokens of all modalities ``(B K, n, D)`` and which are present."""
        tokens, masks = [], []
        for modality, embedding in self.cell_embeddings.items():
            if modality not in state:
                raise ConfigurationError(
                    f"the contexts lack {modality}, which this model reads; build them with this "
                    "model."
                )
            codes = state[Modality(modality)].flatten(0, 1)
            part = self.token_projections[modality](embedding(codes))
            mask = torch.ones(part.shape[:2], dtype=torch.bool, device=part.device)
            if modality in present:
                mask = mask & present[Modality(modality)].flatten()[:, None]
            tokens.append(part)
            masks.append(mask)
        return torch.cat(tokens, 1), torch.cat(masks, 1)
