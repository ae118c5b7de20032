"""Continuous codecs: a frozen encoder's unit vectors are the state, as in the paper."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

import torch
from torch import Tensor

from ..batch_invariant import by_rows
from ..errors import ConfigurationError, MissingHeadError
from ..modalities import Modality, ModalitySpec
from .codec import Codec, check_collapse


class StateDecoder(Protocol):
    """What turns embeddings back into observations, such as a diffusion pipeline."""

    def __call__(self, tokens: Tensor, previous: Tensor | None = None) -> Tensor:
        """Return observations ``(B, *shape)`` of ``tokens`` ``(B, C, E)``."""


class ContinuousCodec(Codec):
    """Turns observations into ``C`` unit vectors of width ``E``; nothing of it trains.

    A state is ``(B, C, E)`` float32, and ``digits`` is ``E``. Unlike in the paper's code, vectors
    are not multiplied by the encoder's temperature: an L2 distance between them would follow it.
    """

    continuous = True
    decoder: StateDecoder | None

    def __init__(
        self, modality: Modality, spec: ModalitySpec, config: Any, cells: int, width: int
    ) -> None:
        """Make ``cells`` vectors of ``width`` numbers."""
        super().__init__(
            spec, config, grid=(1, cells), digits=width, levels=0, latent_size=cells * width
        )
        self.modality = modality
        self.decoder = None

    @abstractmethod
    def embed(self, raw: Tensor) -> Tensor:
        """Return vectors ``(B, C, E)`` of any length of the observations ``(B, *shape)``."""

    def fit_statistics(self, raw: Tensor) -> None:
        """Check the sample; a frozen encoder needs no statistics."""
        self.check_raw(raw)

    def neutral_codes(self) -> Tensor:
        """Return the centre of the embeddings, zeros ``(C, E)``."""
        return torch.zeros(self.cells, self.digits)

    @torch.no_grad()
    def encode(self, raw: Tensor) -> Tensor:
        """Return the state ``(B, C, E)``, unit vectors, of ``raw`` ``(B, *shape)``."""
        self.check_raw(raw)
        if not len(raw):
            return torch.zeros(0, self.cells, self.digits, device=raw.device)
        return by_rows(lambda part: unit(self.embed(part)), [raw], "encode", self)

    def decode(self, codes: Tensor, previous: Tensor | None = None) -> Tensor:
        """Return the observations ``(B, *shape)`` of ``codes`` ``(B, C, E)``.

        Args:
            codes: the state.
            previous: the present observations ``(B, *shape)``, which a decoder may start from.

        Raises:
            MissingHeadError: if no decoder is attached.
        """
        self.check_codes(codes)
        if self.decoder is None:
            raise MissingHeadError(
                f"the {self.modality} state is embeddings, which cannot be decoded by themselves. "
                "Ask for latent observations, or attach a decoder: "
                f"model.codec(Modality.{self.modality.name}).attach(decoder); "
                "worldgpt_env.model.decoders has them."
            )
        return self.decoder(codes, previous)

    def attach(self, decoder: StateDecoder | None) -> None:
        """Decode with ``decoder`` from now on; it is not saved with this codec."""
        self.decoder = decoder

    def latent(self, codes: Tensor) -> Tensor:
        """Return the vectors side by side, ``(B, C*E)``."""
        return codes.flatten(1)

    @torch.no_grad()
    def health(self, raw: Tensor) -> dict[str, float]:
        """Return distinct observations and vectors, and the mean cosine between rows."""
        codes = self.encode(raw)
        counts = check_collapse(self.modality, raw, codes.mul(1e4).round())
        flat = unit(codes.flatten(1))
        rows = max(len(flat), 2)
        cosines = (flat @ flat.T).sum() - flat.square().sum()
        return {**counts, "mean_cosine": float(cosines) / (rows * (rows - 1))}

    def check_codes(self, codes: Tensor) -> None:
        """Refuse states of another shape or type than ``(B, C, E)``, or with NaN."""
        if tuple(codes.shape[1:]) != (self.cells, self.digits) or not codes.is_floating_point():
            raise ConfigurationError(
                f"{self.modality} states are {tuple(codes.shape)} {codes.dtype}; "
                f"this codec reads (B, {self.cells}, {self.digits}) torch.float32."
            )
        if not bool(torch.isfinite(codes).all()):
            raise ConfigurationError(f"the {self.modality} state holds NaN or infinity.")


def unit(vectors: Tensor) -> Tensor:
    """Return ``vectors`` ``(..., E)`` at length 1, float32; a zero vector stays one."""
    return torch.nn.functional.normalize(vectors.float(), dim=-1)
