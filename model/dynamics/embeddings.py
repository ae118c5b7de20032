"""From a state, an action and contexts to the backbone tokens of one step (WorldGPT §3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..batch_invariant import Projection
from ..codecs import Codec
from ..configuration import ReflectorConfig, WorldGPTConfig
from ..contexts import Contexts
from ..errors import ConfigurationError, MissingHeadError
from ..modalities import ActionSpec, Modality
from ..processor import Processor
from ..states import Presence, State
from .heads import Present
from .layout import Block, Reading, TokenCounts
from .reflector import ContextReflector


class CellEmbedding(nn.Module):
    """Codes of a modality as one vector a cell: the sum of its digits' embeddings and its place."""

    first: Tensor

    def __init__(self, codec: Codec, width: int) -> None:
        """Build tables for the cells of ``codec``."""
        super().__init__()
        self.cells = codec.grid[0] * codec.grid[1]
        self.levels = codec.levels
        self.table = nn.Parameter(torch.randn(codec.digits * codec.levels, width) * 0.5)
        self.place = nn.Parameter(torch.randn(self.cells, width) * 0.5)
        self.register_buffer(
            "first", torch.arange(codec.digits) * codec.levels, persistent=False
        )  # (G,)

    def forward(self, codes: Tensor) -> Tensor:
        """Map ``(B, C, G)`` codes to ``(B, C, E)``."""
        index = (codes + self.first).flatten(0, 1)  # (B C, G)
        cells = nn.functional.embedding_bag(index, self.table, mode="sum")  # (B C, E)
        return cells.view(codes.shape[0], self.cells, -1) + self.place


class VectorEmbedding(nn.Module):
    """The embeddings of a continuous codec as one vector a cell: a projection and its place."""

    def __init__(self, codec: Codec, width: int) -> None:
        """Build the projection of the embeddings of ``codec``."""
        super().__init__()
        self.project = Projection(codec.digits, width)
        self.place = nn.Parameter(torch.randn(codec.cells, width) * 0.02)

    def forward(self, vectors: Tensor) -> Tensor:
        """Map ``(B, C, G)`` unit vectors to ``(B, C, E)``; their numbers are brought to size 1."""
        return self.project(vectors * vectors.shape[-1] ** 0.5) + self.place


class TokenProjection(nn.Module):
    """The cells of a modality as backbone tokens: equal runs of cells share a token."""

    def __init__(self, cells: int, width: int, tokens: int, hidden: int) -> None:
        """Build the map of ``cells`` vectors of ``width`` to ``tokens`` vectors of ``hidden``."""
        super().__init__()
        if cells % tokens:
            raise ConfigurationError(f"{cells} cells do not split into {tokens} equal tokens.")
        self.tokens = tokens
        self.project = Projection(cells // tokens * width, hidden)
        self.place = nn.Parameter(torch.randn(tokens, hidden) * 0.02)

    def forward(self, cells: Tensor) -> Tensor:
        """Map ``(B, C, E)`` to ``(B, N, D)``."""
        grouped = cells.reshape(cells.shape[0], self.tokens, -1)  # (B, N, C/N E)
        return self.project(grouped) + self.place


@dataclass(frozen=True)
class ActionTokens:
    """An action as the backbone gets it.

    Attributes:
        words: tokens of the words of a text action, ``(B, slots, D)``; ``(B, 0, D)`` for others.
        slot: what is added to the action slot, ``(B, D)``.
        signal: what is added to each signal token, ``(B, D)``.
    """

    words: Tensor
    slot: Tensor
    signal: Tensor


class ActionEmbedding(nn.Module):
    """An action as an additive vector, zero at first, for the action slot and the signal tokens.

    The words of a text action add up on the same path, and stand as tokens of their own in front
    of the slot, where their order can be read.
    """

    starts: Tensor
    centre: Tensor
    reach: Tensor

    def __init__(self, spec: ActionSpec, hidden: int) -> None:
        """Build the map for actions of ``spec``."""
        super().__init__()
        self.kind, self.hidden = spec.kind, hidden
        inputs = {"box": spec.sizes[0], "text": len(spec.names)}.get(spec.kind, sum(spec.sizes))
        self.project = Projection(inputs, 2 * hidden, zero=True)
        starts = [0 if spec.kind == "text" else sum(spec.sizes[:n]) for n in range(len(spec.sizes))]
        self.register_buffer("starts", torch.tensor(starts), persistent=False)  # (parts,)
        if spec.kind == "box":
            low, high = torch.tensor(spec.low), torch.tensor(spec.high)
            self.register_buffer("centre", (low + high) / 2, persistent=False)
            self.register_buffer("reach", (high - low) / 2, persistent=False)
        if spec.kind == "text":
            self.words = nn.Parameter(torch.randn(inputs, hidden) * 0.5)
            self.places = nn.Parameter(torch.randn(spec.sizes[0], hidden) * 0.02)

    def forward(self, action: Tensor) -> ActionTokens:
        """Embed actions ``(B,)``, ``(B, parts)``, ``(B, slots)`` or ``(B, n)``."""
        if self.kind == "box":
            both = self.project((action - self.centre) / self.reach)
        else:
            parts = action[:, None] if action.ndim == 1 else action  # (B, parts)
            both = self.project.weight[parts + self.starts].sum(1) + self.project.bias
        slot, signal = both.chunk(2, -1)
        words = slot.new_zeros(len(slot), 0, self.hidden)
        if self.kind == "text":
            words = self.words[action] + self.places
        return ActionTokens(words, slot, signal)


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
        if not present and self.prefix is None:
            return None
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
