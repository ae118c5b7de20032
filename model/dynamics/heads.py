"""Heads: the next state, how uncertain it is, and whether its modalities agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, combinations

import torch
from torch import Tensor, nn

from ..batch_invariant import Projection, by_rows, matmul_rows, silu
from ..codecs import Codec
from ..configuration import WorldGPTConfig
from ..modalities import Modality
from ..processor import Processor
from .layout import Block, TokenCounts


@dataclass(frozen=True)
class Present:
    """What a head sees of the present state of its modality.

    Attributes:
        state: codes or embeddings ``(B, C, G)``.
        cells: their embeddings ``(B, C, E)``.
        there: ``(B,)`` bool, the rows that have the modality; all if None.
    """

    state: Tensor
    cells: Tensor
    there: Tensor | None = None

    @property
    def seen(self) -> Tensor:
        """The embeddings of the cells, zeros in rows that lack the modality, ``(B, C, E)``."""
        return self.cells if self.there is None else self.cells * self.there[:, None, None]

    def or_else(self, read: Callable[[Tensor], Tensor], absent: Tensor) -> Tensor:
        """Return ``read(cells)`` where the modality is there, and ``absent`` elsewhere."""
        seen = read(self.cells)
        return seen if self.there is None else torch.where(self.there[:, None, None], seen, absent)


class StateHead(nn.Module):
    """Signal tokens of a modality to the logits of all its digits, in parallel.

    Each cell is read from its share of the signal token, from the present codes of the cell and of
    its neighbours, so that motion and standing still are learned once for all cells. A learned
    bonus favours the present digit.
    """

    neighbours: Tensor

    def __init__(self, codec: Codec, tokens: int, width: int, hidden: int) -> None:
        """Build the head for the cells of ``codec`` read from ``tokens`` signal tokens."""
        super().__init__()
        self.cells = codec.grid[0] * codec.grid[1]
        self.digits, self.levels, self.width = codec.digits, codec.levels, width
        self.spread = Projection(hidden, self.cells // tokens * width)
        neighbours = grid_neighbours(*codec.grid)  # (C, R)
        self.register_buffer("neighbours", neighbours, persistent=False)
        self.look = Projection(neighbours.shape[1] * width, width)
        self.absent = nn.Parameter(torch.zeros(self.cells, width))
        self.inner = Projection(width, 2 * width)
        self.outer = Projection(2 * width, codec.digits * codec.levels)
        self.copy_bonus = nn.Parameter(torch.full((codec.digits,), 2.0))

    def forward(self, signal: Tensor, now: Present | None) -> Tensor:
        """Return logits ``(B, C, G, V)``.

        Args:
            signal: hidden states at the signal tokens, ``(B, N, D)``.
            now: the present state of the modality, or None when it is no input.
        """
        rows = signal.shape[0]
        hidden = self.spread(signal).reshape(rows, self.cells, self.width)  # (B, C, E)
        hidden = hidden + (self.absent if now is None else now.or_else(self._around, self.absent))
        hidden = self.outer(silu(self.inner(hidden)))
        logits = hidden.view(rows, self.cells, self.digits, self.levels)
        if now is None:
            return logits
        bonus = self.copy_bonus[:, None].expand(rows, self.cells, -1, 1)
        if now.there is not None:
            bonus = bonus * now.there[:, None, None, None]
        return logits.scatter_add(-1, now.state[..., None], bonus.to(logits.dtype))

    def _around(self, cells: Tensor) -> Tensor:
        if self.neighbours.shape[1] == 1:
            return self.look(cells)
        padded = nn.functional.pad(cells, (0, 0, 0, 1))  # (B, C + 1, E), the last one zero
        return self.look(padded[:, self.neighbours].flatten(2))  # (B, C, E)


class VectorHead(nn.Module):
    """Signal tokens of a modality to the embeddings of a continuous codec, in parallel.

    Learned queries, one a cell, attend to the signal tokens (WorldGPT §3.1: a transformer from the
    signal tokens to the space of the encoder). What is predicted is a step from the present
    embedding, where there is one.
    """

    def __init__(self, codec: Codec, hidden: int, width: int = 256, layers: int = 2) -> None:
        """Build the head for the cells of ``codec``."""
        super().__init__()
        self.project = nn.Linear(hidden, width)
        self.queries = nn.Parameter(torch.randn(codec.cells, width) * 0.5)
        layer = nn.TransformerDecoderLayer(
            width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, layers, nn.LayerNorm(width))
        self.outer = nn.Linear(width, codec.digits)
        self.keep = nn.Parameter(torch.ones(()))

    def forward(self, signal: Tensor, now: Present | None) -> Tensor:
        """Return embeddings ``(B, C, G)``; the arguments are those of :class:`StateHead`."""
        if torch.is_grad_enabled():
            vectors = self._read(signal)
        else:
            vectors = by_rows(self._read, [signal], "read", self)
        if now is None:
            return vectors
        kept = self.keep * now.state
        return vectors + (kept if now.there is None else kept * now.there[:, None, None])

    def _read(self, signal: Tensor) -> Tensor:
        """Return what the queries read from the signal tokens, ``(B, C, G)``."""
        queries = self.queries.expand(len(signal), -1, -1)
        read: Tensor = self.outer(self.decoder(queries, self.project(signal)))
        return read


class SignalReader(nn.Module):
    """Which signal token comes next, read from each of them (the paper's cross-entropy, §3.1).

    The tokens of a modality stand in a fixed order, and the last one is followed by an end token.
    """

    def __init__(self, hidden: int, tokens: int) -> None:
        """Build the read-out for ``tokens`` signal tokens in all."""
        super().__init__()
        self.end = tokens
        self.outer = nn.Linear(hidden, tokens + 1)

    def loss(self, hidden: Tensor, spans: list[range]) -> Tensor:
        """Return the cross-entropy ``(B,)`` at the signal tokens ``(B, signals, D)``.

        Args:
            hidden: of the requested modalities, one behind the other.
            spans: numbers of the signal tokens of each of them, among all.
        """
        following = [n for span in spans for n in [*span[1:], self.end]]
        target = torch.tensor(following, device=hidden.device).expand(len(hidden), -1)
        logits = self.outer(hidden).float()
        nats = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
        return nats.view(target.shape).mean(1)


def grid_neighbours(rows: int, columns: int) -> Tensor:
    """Return the cells around each cell and itself, ``(C, R)`` int64; C stands for outside."""
    padded = torch.full((rows + 2, columns + 2), rows * columns)
    padded[1:-1, 1:-1] = torch.arange(rows * columns).view(rows, columns)
    down = range(3) if rows > 1 else (1,)
    across = range(3) if columns > 1 else (1,)
    if rows == 1:  # slots and numbers have no order in space: a cell sees itself alone
        across = (1,)
    shifted = [padded[i : i + rows, j : j + columns].reshape(-1) for i in down for j in across]
    return torch.stack(shifted, 1)


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


class StateReader(nn.Module):
    """One head a modality.

    Args:
        config: sizes of the model.
        processor: gives the shape of the codes.
        tokens: backbone tokens of each modality.
        hidden: width D of the backbone.
    """

    def __init__(
        self, config: WorldGPTConfig, processor: Processor, tokens: TokenCounts, hidden: int
    ) -> None:
        """Build the heads, randomly initialised."""
        super().__init__()
        self.tokens, width = tokens, config.cell_width
        codecs = {m: processor.codec(m) for m in processor.specs}
        self.continuous = {m for m, codec in codecs.items() if codec.continuous}
        self.state_heads = nn.ModuleDict(
            {str(m): VectorHead(c, hidden) if c.continuous
             else StateHead(c, tokens[m], width, hidden)
             for m, c in codecs.items()}
        )  # fmt: skip
        if self.continuous:
            self.signal_reader = SignalReader(hidden, sum(map(tokens.signals, codecs)))

    def forward(self, hidden: Tensor, state: dict[Modality, Present], block: Block) -> ReadOut:
        """Read the next state.

        Args:
            hidden: of the action slot and the signal tokens, ``(B, 1 + signals, D)``; what stands
                behind them is not read.
            state: the present state, per input modality.
            block: the combination.
        """
        logits: dict[Modality, Tensor] = {}
        vectors: dict[Modality, Tensor] = {}
        for modality, span in block.signal_slices.items():
            tokens = hidden[:, span.start - block.kept + 1 : span.stop - block.kept + 1]
            into = vectors if modality in self.continuous else logits
            into[modality] = self.state_heads[str(modality)](tokens, state.get(modality))
        nats = None
        if vectors and self.training:
            signals = hidden[:, 1 : 1 + block.signals]
            nats = self.signal_reader.loss(signals, self.signal_numbers(block.outputs))
        return ReadOut(logits, vectors, hidden[:, 0], nats)

    def signal_numbers(self, modalities: Iterable[Modality]) -> list[range]:
        """Return the numbers of the signal tokens of ``modalities``, among those of all."""
        known = self.tokens.modalities
        ends = list(accumulate((self.tokens.signals(m) for m in known), initial=0))
        spans = {m: range(*ends[n : n + 2]) for n, m in enumerate(known)}
        return [spans[m] for m in modalities]


class Ensemble(nn.Module):
    """Four small heads predict a random projection of the next state; they differ without data.

    They read detached hidden states and learn on different halves of the rows, so their
    disagreement is a cheap epistemic uncertainty that never shapes the model.
    """

    own: Tensor
    mix: Tensor
    scale: Tensor

    def __init__(self, hidden: int, latent: int, members: int, targets: int = 32) -> None:
        """Build ``members`` heads for states of ``latent`` numbers."""
        super().__init__()
        self.members, self.targets = members, targets
        self.inner = Projection(hidden, members * 48)
        self.outer = nn.Parameter(torch.randn(members * 48, members * targets) * 48**-0.5)
        own = torch.block_diag(*[torch.ones(48, targets)] * members)
        self.register_buffer("own", own, persistent=False)  # members read their own features alone
        mix = torch.randn(latent, targets) * latent**-0.5
        self.register_buffer("mix", mix)  # (F, targets)
        self.register_buffer("scale", torch.ones(targets))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(B, D)`` to predictions ``(B, K, targets)``."""
        inner = silu(self.inner(hidden.detach()))  # (B, K 48)
        return matmul_rows(inner, self.outer * self.own).view(-1, self.members, self.targets)

    def target(self, latent: Tensor) -> Tensor:
        """Project the latent of the next state, ``(B, F)``, to ``(B, targets)``."""
        return latent @ self.mix

    def loss(self, hidden: Tensor, latent: Tensor, weight: Tensor) -> Tensor:
        """Return the mean squared error; each row teaches about half of the members."""
        target = self.target(latent)
        error = (self(hidden) - target[:, None]).square().mean(-1)  # (B, K)
        row = torch.arange(error.shape[0], device=error.device)[:, None]
        member = torch.arange(self.members, device=error.device)
        turns = ((row >> member) & 1) * weight[:, None]  # each member learns from half of the rows
        if self.training:
            with torch.no_grad():
                self.scale.lerp_(target.std(0).clamp(min=1e-3).float(), 0.02)
        return (error * turns).sum() / turns.sum().clamp(min=1)

    def disagreement(self, hidden: Tensor) -> Tensor:
        """Return the spread of the members ``(B,)``, in standard deviations of the targets."""
        return (self(hidden).std(1) / self.scale).mean(-1)


class Consistency(nn.Module):
    """One small embedding per modality; real moments put all their modalities near each other.

    Trained by contrasting the modalities of real moments against those of other moments in the
    batch; it reads codes only and shapes nothing else.
    """

    def __init__(self, latent_sizes: Mapping[Modality, int], width: int = 32) -> None:
        """Build an embedding for each modality from the size of its latent."""
        super().__init__()
        self.embed = nn.ModuleDict(
            {str(m): Projection(size, width) for m, size in latent_sizes.items()}
        )

    def forward(self, latent: Mapping[Modality, Tensor]) -> Tensor:
        """Return the agreement of the modalities of ``(B, F)`` latents, ``(B,)`` in [0, 1]."""
        units = self._units(latent)
        if len(units) < 2:
            return torch.ones_like(next(iter(latent.values()))[:, 0])
        cosines = [(a * b).sum(-1) for a, b in combinations(units, 2)]
        mean = sum(cosines[1:], cosines[0]) / len(
            cosines
        )  # term by term: same bits at any batch size
        return (mean + 1).clamp(0, 2) / 2

    def loss(
        self, latent: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor] | None = None
    ) -> Tensor:
        """Return the contrastive loss (scalar) over all pairs of modalities.

        Args:
            latent: per modality ``(B, F)``.
            present: per modality ``(B,)`` bool, which rows have it; all if not named.
        """
        units = self._units(latent)
        present = present or {}
        whole = torch.ones(len(units[0]), dtype=torch.bool, device=units[0].device)
        losses = []
        for (m, a), (n, b) in combinations(zip(latent, units, strict=True), 2):
            both = present.get(m, whole) & present.get(n, whole)
            if m in present or n in present:
                a, b = a[both], b[both]
            scores = 8 * a @ b.T  # (B, B)
            here = torch.arange(len(a), device=a.device)
            losses += [nn.functional.cross_entropy(scores, here, reduction="sum") / max(len(a), 1)]
        return torch.stack(losses).mean() if losses else units[0].sum() * 0

    def _units(self, latent: Mapping[Modality, Tensor]) -> list[Tensor]:
        return [
            nn.functional.normalize(self.embed[str(m)](values), dim=-1)
            for m, values in latent.items()
        ]
