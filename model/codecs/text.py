"""Words are codes already: one cell per slot, one digit with a level per word."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..errors import ConfigurationError
from ..modalities import Modality, TextSpec
from .codec import Codec


@dataclass(frozen=True)
class TextCodecConfig:
    """The text codec has no settings: the vocabulary and the slots stand in its spec."""


class TextCodec(Codec):
    """Passes word ids through; exact in both directions."""

    modality = Modality.TEXT
    spec: TextSpec

    def __init__(self, spec: TextSpec, config: TextCodecConfig | None = None) -> None:
        """Make one cell per slot of ``spec``."""
        words = len(spec.vocabulary)
        super().__init__(
            spec,
            config or TextCodecConfig(),
            grid=(1, spec.slots),
            digits=1,
            levels=words,
            latent_size=spec.slots * words if spec.ordered else words,
        )

    def fit_statistics(self, raw: Tensor) -> None:
        """Check the sample; words need no statistics."""
        self.encode(raw)

    def neutral_codes(self) -> Tensor:
        """Return no words, zeros ``(L, 1)``."""
        return torch.zeros((self.cells, 1), dtype=torch.int64)

    def encode(self, raw: Tensor) -> Tensor:
        """Return ids ``(B, L)`` as codes ``(B, L, 1)``; an unknown id is an error."""
        self.check_raw(raw)
        if raw.numel() and not (0 <= int(raw.min()) and int(raw.max()) < self.levels):
            raise ConfigurationError(
                f"word ids reach from {int(raw.min())} to {int(raw.max())}; the vocabulary has "
                f"the ids 0 to {self.levels - 1}: make them with TextSpec.encode."
            )
        return raw.unsqueeze(-1).clone()  # (B, L, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the ids ``(B, L)`` int64 of ``codes`` ``(B, L, 1)``."""
        self.check_codes(codes)
        return codes.squeeze(-1).clone()  # (B, L)

    def latent(self, codes: Tensor) -> Tensor:
        """Return the bag of words ``(B, V)``, 1 where a word is; the empty word never is.

        Where the order of words matters there is one for every slot, ``(B, L V)``.
        """
        if self.spec.ordered:
            return self._in_order(one_hot(codes.squeeze(-1), self.levels).float())
        bag = torch.zeros(codes.shape[0], self.levels, device=codes.device)
        bag.scatter_(1, codes.squeeze(-1), 1.0)
        bag[:, 0] = 0.0
        return bag  # (B, V)

    def expected_latent(self, probabilities: Tensor) -> Tensor:
        """Return how likely each word occurs, ``(B, V)``, given ``probabilities`` ``(B, L, 1, V)``.

        The sum over the slots, at most 1: the slots do not say what they exclude. Where the order
        matters, how likely each word stands in each slot, ``(B, L V)``.
        """
        if self.spec.ordered:
            return self._in_order(probabilities[:, :, 0])
        bag = probabilities[:, :, 0].sum(1).clamp(max=1.0)
        bag[:, 0] = 0.0
        return bag  # (B, V)

    @staticmethod
    def _in_order(words: Tensor) -> Tensor:
        """Return ``(B, L, V)`` as ``(B, L V)`` without the empty word."""
        words = words.clone()
        words[..., 0] = 0.0
        return words.flatten(1)

    def health(self, raw: Tensor) -> dict[str, float]:
        """Return the number of sentences and the share of filled slots with an unknown word."""
        codes = self.encode(raw)
        filled = int((codes > 0).sum())
        return {
            "distinct_codes": float(torch.unique(codes.flatten(1), dim=0).shape[0]),
            "unknown_words": int((codes == 1).sum()) / max(filled, 1),
        }
