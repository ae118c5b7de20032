"""Pictures to a grid of cells of FSQ digits, and back: what image and video codecs share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..batch_invariant import COARSE, by_rows
from ..bounds import check_fields
from ..errors import ConfigurationError
from ..modalities import ImageSpec, VideoSpec
from .codec import Codec, CodecOutput, check_collapse
from .fsq import FSQ

CELL = 16
"""Pixels of a cell's side."""

PLANE = CELL * CELL
"""Pixels of a cell in one frame."""

COLOUR_BITS = 4
"""Bits of each channel that tell colours apart when their share is counted."""

VISIBLE = 0.05
"""Difference in a channel, of 1, above which a pixel is foreground."""


@dataclass(frozen=True)
class CellCodecConfig:
    """Sizes, loss and training budget of a codec of cells.

    Attributes:
        digits: FSQ digits of a cell of 16 x 16 pixels.
        levels: levels of a digit.
        width: hidden features of the networks.
        rarity: exponent of the weight of a pixel, (usual share / share of its colour) ** rarity.
        rarity_limit: largest such weight.
        updates: training steps that suffice.
        batch_size: observations of a training step.
        learning_rate: of AdamW, with linear decay to zero.
    """

    digits: int = 8
    levels: int = 5
    width: int = 256
    rarity: float = 0.5
    rarity_limit: float = 20.0
    updates: int = 1500
    batch_size: int = 64
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        """Refuse sizes and weights that make no codec."""
        check_fields(
            self,
            digits=(1, 256),
            levels=(2, 4096),
            width=(1, 8192),
            rarity=(0, 100),
            rarity_limit=(1, 1e6),
            updates=(1, 10**9),
            batch_size=(1, 10**6),
            learning_rate=(0, 10),
        )


class CellEncoder(nn.Sequential):
    """Reads each cell by itself: the digits of a cell depend on its own 16 x 16 pixels only.

    An object that is seen in a new frame thus gets digits that are known from old ones.
    """

    def __init__(self, numbers: int, width: int, digits: int) -> None:
        """Map the pixels of cells ``(B, C, numbers)`` to features ``(B, C, digits)``."""
        super().__init__(
            nn.Linear(numbers, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, digits),
        )


class CellDecoder(nn.Module):
    """Draws each cell from its own digits and those of the cells around it."""

    neighbours: Tensor

    def __init__(self, grid: tuple[int, int], width: int, digits: int, numbers: int) -> None:
        """Map values ``(B, C, digits)`` on ``grid`` to the pixels of cells ``(B, C, numbers)``."""
        super().__init__()
        self.register_buffer("neighbours", cell_neighbours(*grid))  # (C, 9)
        self.reader = nn.Linear(9 * digits, width)
        self.place = nn.Parameter(torch.randn(grid[0] * grid[1], width) * 0.1)
        self.painter = nn.Sequential(
            nn.ReLU(),
            nn.Linear(width, 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, numbers),
        )

    def forward(self, values: Tensor) -> Tensor:
        """Return the pixels of values ``(B, C, G)``, less those of the median frame."""
        beyond = torch.zeros_like(values[:, :1])  # stands for the cells outside the image
        around = torch.cat([values, beyond], 1)[:, self.neighbours].flatten(2)  # (B, C, 9*G)
        return self.painter(self.reader(around) + self.place)


class CellCodec(Codec):
    """Codes pictures of one or more frames, of any size in multiples of 16 pixels.

    A cell holds ``P = frames * 3 * 256`` numbers: frame after frame, channel after channel.
    """

    trainable = True
    spec: ImageSpec | VideoSpec
    config: CellCodecConfig
    median: Tensor
    colour_weight: Tensor

    def __init__(self, spec: ImageSpec | VideoSpec, config: CellCodecConfig, frames: int) -> None:
        """Make one cell per 16 x 16 pixels of ``spec``, through all ``frames``."""
        if spec.height % CELL or spec.width % CELL:
            raise ConfigurationError(
                f"{self.modality} is {spec.height}x{spec.width}; this codec needs multiples of "
                f"{CELL}: resize it in the world's wrapper."
            )
        grid = (spec.height // CELL, spec.width // CELL)
        cells, numbers = grid[0] * grid[1], frames * 3 * PLANE
        super().__init__(
            spec,
            config,
            grid=grid,
            digits=config.digits,
            levels=config.levels,
            latent_size=cells * config.digits,
        )
        self.frames, self.shape = frames, spec.shape
        self.encoder = CellEncoder(numbers, config.width, self.digits)
        self.fsq = FSQ(cells, self.digits, self.levels)
        self.decoder = CellDecoder(grid, config.width, self.digits, numbers)
        self.register_buffer("median", torch.full((cells, numbers), 127.0))
        self.register_buffer("colour_weight", torch.ones(2 ** (3 * COLOUR_BITS)))

    def fit_statistics(self, raw: Tensor) -> None:
        """Store the median of the sample ``(B, *shape)``, and a weight for each colour."""
        self.check_raw(raw)
        cells = self._cut(raw)  # (B, C, P)
        counts = torch.ones_like(self.colour_weight, dtype=torch.int64)
        for cell, pixels in zip(self.median, cells.split(1, 1), strict=True):  # (B, 1, P)
            cell.copy_(pixels.median(0).values[0])
            counts += torch.bincount(_colour(pixels).flatten(), minlength=len(counts))
        share = counts / counts.sum()
        usual = share.square().sum()  # the share of the colour of an average pixel
        weight = (usual / share) ** self.config.rarity
        self.colour_weight.copy_(weight.clamp(1.0, self.config.rarity_limit))

    def forward(self, raw: Tensor, previous: Tensor | None = None) -> CodecOutput:
        """Return the squared error of ``raw`` ``(B, *shape)``, each pixel weighed by its colour."""
        cells = self._cut(raw)
        target = self._normalise(cells)  # (B, C, P)
        with torch.autocast(raw.device.type, torch.bfloat16):
            drawn = self.decoder(self.fsq(self.encoder(self._view(target))))
        error = _pixels(drawn.float() - target).square().sum(-2)  # (B, C, frames, 256)
        weight = self.colour_weight[_colour(cells)]
        loss = (error * weight).sum() / weight.sum()
        return CodecOutput(loss, {"pixel_error": error.detach().mean() / 3})

    @torch.no_grad()
    def encode(self, raw: Tensor) -> Tensor:
        """Return the codes ``(B, C, G)`` of ``raw`` ``(B, *shape)`` uint8; same row, same bits."""
        self.check_raw(raw)
        return by_rows(self._read, [raw], "read", self, finish=self.fsq.quantise)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return pictures ``(B, *shape)`` uint8 of codes ``(B, C, G)``; same row, same bits."""
        self.check_codes(codes)
        return by_rows(self._draw, [codes], "draw", self, COARSE, self._finish)

    def latent(self, codes: Tensor) -> Tensor:
        """Return the FSQ values ``(B, C*G)`` of ``codes`` ``(B, C, G)``."""
        return self.fsq.values(codes).flatten(1)

    def expected_latent(self, probabilities: Tensor) -> Tensor:
        """Return the expected FSQ values ``(B, C*G)`` under ``probabilities`` ``(B, C, G, V)``."""
        return self.fsq.expected(probabilities).flatten(1)

    @torch.no_grad()
    def health(self, raw: Tensor) -> dict[str, float]:
        """Return distinct codes, and errors where pictures differ from the median frame."""
        codes = self.encode(raw)
        counts = check_collapse(self.modality, raw, codes)
        return counts | self.errors(raw, self.decode(codes))

    def errors(self, raw: Tensor, drawn: Tensor) -> dict[str, float]:
        """Return the mean squared errors, of 1, of ``drawn`` pictures ``(B, *shape)``."""
        true, guess = (_pixels(self._normalise(self._cut(part))) for part in (raw, drawn))
        foreground = true.abs().amax(-2) > VISIBLE  # (B, C, frames, 256)
        error, still = (guess - true).square().mean(-2), true.square().mean(-2)
        return {
            "pixel_error": float(error.mean()),
            "foreground_error": mean_among(error, foreground),
            "foreground_error_of_median": mean_among(still, foreground),
        }

    def _cut(self, raw: Tensor) -> Tensor:
        """Return pictures ``(B, *shape)`` as cells ``(B, C, P)``."""
        rows, columns = self.grid
        cells = raw.view(-1, self.frames, rows, CELL, columns, CELL, 3)
        return cells.permute(0, 2, 4, 1, 6, 3, 5).reshape(-1, rows * columns, self.median.shape[1])

    def _join(self, cells: Tensor) -> Tensor:
        """Return cells ``(B, C, P)`` as pictures ``(B, *shape)``."""
        pictures = cells.view(-1, *self.grid, self.frames, 3, CELL, CELL)
        return pictures.permute(0, 3, 1, 5, 2, 6, 4).reshape(-1, *self.shape)

    def _normalise(self, cells: Tensor) -> Tensor:
        """Return cells ``(B, C, P)`` of 0 to 255, less the median frame, as shares of 255."""
        return (cells - self.median) * (1 / 255)

    def _view(self, cells: Tensor) -> Tensor:
        """Return normalised cells ``(B, C, P)`` as the encoder sees them."""
        return cells

    def _read(self, raw: Tensor) -> Tensor:
        """Return what is quantised, in full precision so that rounding is the same everywhere."""
        seen = self._view(self._normalise(self._cut(raw)))
        return self.fsq.standardise(self.encoder(seen))  # (B, C, G)

    def _draw(self, codes: Tensor) -> Tensor:
        """Return the pixels ``(B, C, P)`` of ``codes``, less those of the median frame."""
        with torch.autocast(codes.device.type, torch.bfloat16):
            drawn: Tensor = self.decoder(self.fsq.values(codes))
        return drawn

    def _finish(self, drawn: Tensor) -> Tensor:
        """Return pictures ``(B, *shape)`` uint8 of drawn pixels ``(B, C, P)``."""
        cells = (drawn.float() * 255 + self.median).round_().clamp_(0, 255).to(torch.uint8)
        return self._join(cells)


def cell_neighbours(rows: int, columns: int) -> Tensor:
    """Return the 3 x 3 cells around each cell, ``(C, 9)`` int64; ``C`` stands for outside."""
    padded = torch.full((rows + 2, columns + 2), rows * columns)
    padded[1:-1, 1:-1] = torch.arange(rows * columns).view(rows, columns)
    return padded.unfold(0, 3, 1).unfold(1, 3, 1).reshape(rows * columns, 9)


def mean_among(error: Tensor, chosen: Tensor) -> float:
    """Return the mean of ``error`` where ``chosen``; zero where nothing is."""
    return float((error * chosen).sum() / chosen.sum().clamp(min=1))


def _pixels(cells: Tensor) -> Tensor:
    """Return cells ``(B, C, P)`` as ``(B, C, frames, 3, 256)``."""
    return cells.unflatten(2, (-1, 3, PLANE))


def _colour(cells: Tensor) -> Tensor:
    """Return which colour, of ``2 ** (3 * COLOUR_BITS)``, pixels ``(B, C, P)`` uint8 have."""
    red, green, blue = _pixels(cells >> (8 - COLOUR_BITS)).int().unbind(-2)
    return (red << (2 * COLOUR_BITS)) + (green << COLOUR_BITS) + blue  # (B, C, frames, 256)
