"""From codes and actions to backbone tokens (the paper's input projections)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .codecs import Codec
from .errors import ConfigurationError
from .modalities import ActionSpec
from .projection import Projection


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


class ActionEmbedding(nn.Module):
    """An action as an additive vector, zero at first, for the action slot and the signal tokens."""

    starts: Tensor
    centre: Tensor
    reach: Tensor

    def __init__(self, spec: ActionSpec, hidden: int) -> None:
        """Build the map for discrete, multidiscrete or box actions."""
        super().__init__()
        self.kind = spec.kind
        inputs = spec.sizes[0] if spec.kind == "box" else sum(spec.sizes)
        self.project = Projection(inputs, 2 * hidden, zero=True)
        starts = [sum(spec.sizes[:part]) for part in range(len(spec.sizes))]
        self.register_buffer("starts", torch.tensor(starts), persistent=False)  # (parts,)
        if spec.kind == "box":
            low, high = torch.tensor(spec.low), torch.tensor(spec.high)
            self.register_buffer("centre", (low + high) / 2, persistent=False)
            self.register_buffer("reach", (high - low) / 2, persistent=False)

    def forward(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """Map actions ``(B,)``, ``(B, parts)`` or ``(B, n)`` to slot and signal ``(B, D)``."""
        if self.kind == "box":
            both = self.project((action - self.centre) / self.reach)
        else:
            parts = action[:, None] if action.ndim == 1 else action  # (B, parts)
            both = self.project.weight[parts + self.starts].sum(1) + self.project.bias
        slot, signal = both.chunk(2, -1)
        return slot, signal
