"""StateReader: the next state, read in parallel from the hidden states of the signal tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor, nn

from ..configuration import WorldGPTConfig
from ..modalities import Modality
from ..processor import Processor
from .heads import Present, SignalReader, StateHead, VectorHead
from .layout import Block, TokenCounts


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
