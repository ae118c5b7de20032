"""Images to a grid of cells of FSQ digits, and back; rare colours weigh most."""

from __future__ import annotations

from dataclasses import dataclass

from ..modalities import ImageSpec, Modality
from .cells import CellCodec, CellCodecConfig


@dataclass(frozen=True)
class ImageCodecConfig(CellCodecConfig):
    """Sizes, loss and training budget of the image codec, see :class:`CellCodecConfig`."""


class ImageCodec(CellCodec):
    """Codes images of any size in multiples of 16 pixels."""

    modality = Modality.IMAGE
    spec: ImageSpec

    def __init__(self, spec: ImageSpec, config: ImageCodecConfig | None = None) -> None:
        """Make one cell per 16 x 16 pixels of ``spec``."""
        super().__init__(spec, config or ImageCodecConfig(), frames=1)
