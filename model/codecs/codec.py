"""What every codec is: raw observations of one modality to codes, and codes back."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CodecCollapseError, ConfigurationError
from ..modalities import Modality, ModalitySpec


@dataclass
class CodecOutput:
    """What one training step of a codec gives: a scalar ``loss`` and scalar ``metrics`` by name."""

    loss: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


class Codec(nn.Module, ABC):
    """Turns observations of one modality into ``C`` cells of ``G`` digits, and back.

    Attributes:
        modality: the modality this codec is of.
        spec: shape and meaning of the raw observation.
        config: the dataclass of its settings.
        grid: rows and columns of cells; ``C`` is their product.
        digits: ``G``, digits of a cell.
        levels: ``V``, levels of a digit.
        latent_size: width of :meth:`latent`.
        trainable: whether :meth:`forward` gives a loss; text and vector have nothing to train.
        continuous: whether a state is float32 embeddings of width ``G`` instead of int64 digits.
    """

    modality: Modality
    trainable: bool = False
    continuous: bool = False

    def __init__(
        self,
        spec: ModalitySpec,
        config: Any,
        *,
        grid: tuple[int, int],
        digits: int,
        levels: int,
        latent_size: int,
    ) -> None:
        """Remember the shape of the codes, and the dataclass of settings as ``config``."""
        super().__init__()
        self.spec = spec
        self.config = config
        self.grid = grid
        self.digits = digits
        self.levels = levels
        self.latent_size = latent_size

    @property
    def cells(self) -> int:
        """``C``, cells of a state."""
        return self.grid[0] * self.grid[1]

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, for :func:`build_codec`."""
        return dataclasses.asdict(self.config)

    @abstractmethod
    def fit_statistics(self, raw: Tensor) -> None:
        """Store what is known of the recording before training, from a sample ``(B, *shape)``."""

    @abstractmethod
    def encode(self, raw: Tensor) -> Tensor:
        """Return the codes ``(B, C, G)`` int64 in [0, V) of the observations ``(B, *shape)``."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Return the observations ``(B, *shape)``, in the spec's dtype, of codes ``(B, C, G)``."""

    @abstractmethod
    def latent(self, codes: Tensor) -> Tensor:
        """Return what a policy sees of ``codes``: ``(B, latent_size)`` float32 in [-1, 1]."""

    def neutral_codes(self) -> Tensor:
        """Return the codes ``(C, G)`` that fill the place of an absent observation.

        The middle level of each digit, which is the mean of what the codec was trained on.
        """
        return torch.full((self.cells, self.digits), self.levels // 2)

    def expected_latent(self, probabilities: Tensor) -> Tensor:
        """Return the expected :meth:`latent` of a state that is not certain.

        Args:
            probabilities: ``(B, C, G, V)`` float32, of each level of each digit.

        Returns:
            ``(B, latent_size)`` float32 in [-1, 1]; where one level of each digit has all the
            probability, exactly the latent of those codes.
        """
        raise ConfigurationError(f"the {self.modality} codec has no levels to expect one of.")

    @abstractmethod
    def health(self, raw: Tensor) -> dict[str, float]:
        """Measure the codec on held-out observations ``(B, *shape)``.

        Raises:
            CodecCollapseError: if observations that differ get the same few codes.
        """

    def forward(self, raw: Tensor, previous: Tensor | None = None) -> CodecOutput:
        """Return the training loss on ``raw`` ``(B, *shape)``; ``previous`` is one step earlier."""
        raise ConfigurationError(f"the {self.modality} codec has nothing to train; skip it.")

    def check_raw(self, raw: Tensor) -> None:
        """Refuse observations of another shape or dtype than the spec's."""
        wanted = torch.from_numpy(self.spec.dtype.type(0).reshape(1)).dtype
        if tuple(raw.shape[1:]) != self.spec.shape or raw.dtype != wanted:
            raise ConfigurationError(
                f"{self.modality} observations are {tuple(raw.shape)} {raw.dtype}; "
                f"this codec reads (B, {', '.join(map(str, self.spec.shape))}) {wanted}."
            )

    def check_codes(self, codes: Tensor) -> None:
        """Refuse codes of another shape than ``(B, C, G)``, of another kind, or outside [0, V)."""
        shape = (self.cells, self.digits)
        if tuple(codes.shape[1:]) != shape or codes.dtype != torch.int64:
            raise ConfigurationError(
                f"{self.modality} codes are {tuple(codes.shape)} {codes.dtype}; "
                f"this codec reads (B, {shape[0]}, {shape[1]}) torch.int64."
            )
        if codes.numel() and not (0 <= int(codes.min()) and int(codes.max()) < self.levels):
            raise ConfigurationError(
                f"{self.modality} codes reach from {int(codes.min())} to {int(codes.max())}; "
                f"a digit has the levels 0 to {self.levels - 1}."
            )


def distinct_rows(rows: Tensor) -> int:
    """Return how many different rows ``(B, ...)`` holds."""
    return int(torch.unique(rows.reshape(rows.shape[0], -1), dim=0).shape[0])


def mean_cell_entropy(codes: Tensor) -> float:
    """Return the entropy in bits of what a cell holds, over ``(B, C, G)``, averaged over cells."""
    bits = []
    for cell in codes.unbind(1):  # (B, G)
        _, counts = torch.unique(cell, dim=0, return_counts=True)
        share = counts.double() / counts.sum()
        bits.append(float(-(share * share.log2()).sum()))
    return sum(bits) / len(bits)


def check_collapse(modality: Modality, raw: Tensor, codes: Tensor) -> dict[str, float]:
    """Count distinct observations and distinct codes, and refuse a codec that throws most away.

    Raises:
        CodecCollapseError: if at least 8 of the observations differ and fewer than a tenth as many
            codes (or fewer than 4) tell them apart.
    """
    observations, distinct = distinct_rows(raw), distinct_rows(codes)
    if observations >= 8 and distinct < max(4, observations // 10):
        raise CodecCollapseError(
            f"the {modality} codec gives {observations} different observations only {distinct} "
            "different codes, so nothing can be learned from them; train the codec for more "
            "updates, or lower its learning rate."
        )
    return {
        "distinct_observations": float(observations),
        "distinct_codes": float(distinct),
        "cell_entropy_bits": mean_cell_entropy(codes),
    }
