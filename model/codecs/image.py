"""Images to a grid of cells of FSQ digits, and back: what differs from the median frame counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import ConfigurationError
from ..modalities import ImageSpec, Modality
from .codec import Codec, CodecOutput, check_collapse, in_micro_batches
from .fsq import FSQ

CELL = 16
"""Pixels of a cell's side."""


@dataclass(frozen=True)
class ImageCodecConfig:
    """Sizes, loss and training budget of the image codec.

    Attributes:
        digits: FSQ digits of a cell of 16 x 16 pixels.
        levels: levels of a digit.
        width: channels of encoder and decoder.
        foreground_weight: extra weight of a pixel that differs from the median frame.
        change_weight: extra weight of a pixel that differs from the previous frame.
        hard_share: share of an image's worst pixels that the hard-pixel term averages.
        hard_weight: weight of the hard-pixel term.
        updates: training steps that suffice.
        batch_size: images of a training step.
        learning_rate: of AdamW, with linear decay to zero.
    """

    digits: int = 6
    levels: int = 5
    width: int = 64
    foreground_weight: float = 5.0
    change_weight: float = 5.0
    hard_share: float = 0.02
    hard_weight: float = 0.1
    updates: int = 600
    batch_size: int = 64
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        """Refuse sizes and shares that make no codec."""
        for name in ("digits", "width", "updates", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be positive.")
        if not 0 < self.hard_share <= 1:
            raise ConfigurationError(f"hard_share is {self.hard_share}; it must be in (0, 1].")
        if min(self.foreground_weight, self.change_weight, self.hard_weight) < 0:
            raise ConfigurationError("a loss weight is negative; 0 switches its term off.")


class CellEncoder(nn.Module):
    """Reads each cell by itself: the digits of a cell depend on its own 16 x 16 pixels only.

    An object in a new place of an otherwise new frame thus gets the digits it has elsewhere.
    """

    def __init__(self, width: int, digits: int) -> None:
        """Three convolutions, 16 x 16 to 1 x 1 pixels."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width // 2, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4),
            nn.ReLU(),
            nn.Conv2d(2 * width, digits, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return the features ``(B, C, G)`` of ``image`` ``(B, 3, H, W)``."""
        rows, columns = image.shape[2] // CELL, image.shape[3] // CELL
        patches = image.unflatten(3, (columns, CELL)).unflatten(2, (rows, CELL))
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)  # (B*C, 3, 16, 16)
        return self.layers(patches).view(image.shape[0], rows * columns, -1)


class CellDecoder(nn.Module):
    """Draws the image from cells, each with its neighbours, first whole cells, then halves."""

    def __init__(self, width: int, digits: int) -> None:
        """Two 3 x 3 convolutions at cells, one at half cells, then 8 x 8 pixels linearly."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(digits, 2 * width, 1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.ReLU(),
            nn.PixelShuffle(2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 3 * 8 * 8, 1),
            nn.PixelShuffle(8),
        )

    def forward(self, values: Tensor) -> Tensor:
        """Return ``(B, 3, H, W)``, to add to the median frame, of ``(B, G, rows, columns)``."""
        return self.layers(values)


class ImageCodec(Codec):
    """Codes images of any size in multiples of 16 pixels."""

    modality = Modality.IMAGE
    trainable = True
    spec: ImageSpec
    config: ImageCodecConfig
    median: Tensor

    def __init__(self, spec: ImageSpec, config: ImageCodecConfig | None = None) -> None:
        """Make one cell per 16 x 16 pixels of ``spec``."""
        config = config or ImageCodecConfig()
        if spec.height % CELL or spec.width % CELL:
            raise ConfigurationError(
                f"image is {spec.height}x{spec.width}; this codec needs multiples of {CELL}: "
                "resize it in the world's wrapper."
            )
        grid = (spec.height // CELL, spec.width // CELL)
        cells = grid[0] * grid[1]
        super().__init__(
            spec,
            config,
            grid=grid,
            digits=config.digits,
            levels=config.levels,
            latent_size=cells * config.digits,
        )
        self.encoder = CellEncoder(config.width, self.digits)
        self.fsq = FSQ(cells, self.digits, self.levels)
        self.decoder = CellDecoder(config.width, self.digits)
        self.register_buffer("median", torch.full((3, spec.height, spec.width), 0.5))

    def fit_statistics(self, raw: Tensor) -> None:
        """Store the median frame of the sample ``(B, H, W, 3)``."""
        self.check_raw(raw)
        flat = raw.flatten(1)  # (B, H*W*3)
        median = torch.cat([part.median(0).values for part in flat.split(4096, 1)])
        self.median.copy_(median.view(self.spec.shape).permute(2, 0, 1) / 255)

    def forward(self, raw: Tensor, previous: Tensor | None = None) -> CodecOutput:
        """Return the reconstruction loss of ``raw`` ``(B, H, W, 3)``, heavy where it matters."""
        target = self._difference(raw)  # (B, 3, H, W)
        with torch.autocast(raw.device.type, torch.bfloat16):
            values = self.fsq(self.encoder(target))
            drawn = self.decoder(self._on_grid(values)).float()
        error = (drawn - target).square().mean(1)  # (B, H, W)
        weight = 1 + self.config.foreground_weight * (target.abs().amax(1) > 0.05)
        if previous is not None:
            changed = (target - self._difference(previous)).abs().amax(1) > 0.05
            weight = weight + self.config.change_weight * changed
        weighted = (error * weight).sum() / weight.sum()
        count = max(1, int(self.config.hard_share * error[0].numel()))
        hardest = error.flatten(1).topk(count, dim=1, sorted=False).values.mean()
        loss = weighted + self.config.hard_weight * hardest
        return CodecOutput(
            loss,
            {
                "pixel_error": error.detach().mean(),
                "weighted_error": weighted.detach(),
                "hardest_error": hardest.detach(),
            },
        )

    @torch.no_grad()
    def encode(self, raw: Tensor) -> Tensor:
        """Return the codes ``(B, C, G)`` of images ``(B, H, W, 3)`` uint8; same row, same bits."""
        self.check_raw(raw)
        return in_micro_batches(self._encode, raw)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return images ``(B, H, W, 3)`` uint8 of codes ``(B, C, G)``; same row, same bits."""
        self.check_codes(codes)
        return in_micro_batches(self._decode, codes)

    def latent(self, codes: Tensor) -> Tensor:
        """Return the FSQ values ``(B, C*G)`` of ``codes`` ``(B, C, G)``."""
        return self.fsq.values(codes).flatten(1)

    @torch.no_grad()
    def health(self, raw: Tensor) -> dict[str, float]:
        """Return distinct codes, and errors where the image differs from the median frame."""
        codes = self.encode(raw)
        counts = check_collapse(self.modality, raw, codes)
        drawn = self.decode(codes).float() / 255
        true = raw.float() / 255
        median = self.median.permute(1, 2, 0)
        foreground = (true - median).abs().amax(-1) > 0.05  # (B, H, W)
        error = (drawn - true).square().mean(-1)
        still = (median - true).square().mean(-1)
        share = foreground.sum().clamp(min=1)
        return {
            **counts,
            "pixel_error": float(error.mean()),
            "foreground_error": float((error * foreground).sum() / share),
            "foreground_error_of_median": float((still * foreground).sum() / share),
        }

    def _difference(self, raw: Tensor) -> Tensor:
        """Return ``(B, 3, H, W)`` float32: images ``(B, H, W, 3)`` in [0, 1] minus the median."""
        return raw.permute(0, 3, 1, 2).float() / 255 - self.median

    def _on_grid(self, values: Tensor) -> Tensor:
        """Return values ``(B, C, G)`` as ``(B, G, rows, columns)``."""
        return values.transpose(1, 2).unflatten(2, self.grid)

    def _encode(self, raw: Tensor) -> Tensor:
        """Encode one micro-batch."""
        return self.fsq.codes(self.encoder(self._difference(raw)))

    def _decode(self, codes: Tensor) -> Tensor:
        """Decode one micro-batch."""
        drawn = self.decoder(self._on_grid(self.fsq.values(codes))) + self.median
        return (drawn * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
