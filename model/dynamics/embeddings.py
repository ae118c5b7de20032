"""From codes and actions to backbone tokens (the paper's input projections)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..batch_invariant import Projection
from ..codecs import Codec
from ..errors import ConfigurationError
from ..modalities import ActionSpec


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
