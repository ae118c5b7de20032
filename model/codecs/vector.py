"""Numbers as bins: one cell per number, one digit with a level per bin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigurationError
from ..modalities import Modality, VectorSpec
from .codec import Codec, distinct_rows, mean_cell_entropy


@dataclass(frozen=True)
class VectorCodecConfig:
    """How numbers are binned.

    Attributes:
        bins: levels per number; a whole-number range of at most this many values is exact.
    """

    bins: int = 64

    def __post_init__(self) -> None:
        """Refuse fewer than two bins."""
        if self.bins < 2:
            raise ConfigurationError(f"bins is {self.bins}; a number needs at least 2 bins.")


class VectorCodec(Codec):
    """Bins numbers evenly after symlog, or one bin per whole number where there are only those."""

    modality = Modality.VECTOR
    spec: VectorSpec
    low: Tensor
    high: Tensor
    whole: Tensor
    centres: Tensor
    positions: Tensor

    def __init__(self, spec: VectorSpec, config: VectorCodecConfig | None = None) -> None:
        """Make one cell per number of ``spec``; until :meth:`fit_statistics` no number is whole."""
        config, size = config or VectorCodecConfig(), len(spec.names)
        super().__init__(
            spec, config, grid=(1, size), digits=1, levels=config.bins, latent_size=size
        )
        self.register_buffer("low", torch.tensor(spec.low, dtype=torch.float32))
        self.register_buffer("high", torch.tensor(spec.high, dtype=torch.float32))
        self.register_buffer("whole", torch.zeros(size, dtype=torch.bool))
        self.register_buffer("centres", torch.zeros(size, self.levels))
        self.register_buffer("positions", torch.zeros(size, self.levels))
        self._place_bins()

    def fit_statistics(self, raw: Tensor) -> None:
        """Find which numbers are whole in the sample ``(B, n)``, and place the bins anew."""
        self._check_range(raw)
        bounds_whole = (self.low == self.low.round()) & (self.high == self.high.round())
        self.whole.copy_((raw == raw.round()).all(0) & bounds_whole)
        self._place_bins()

    def encode(self, raw: Tensor) -> Tensor:
        """Return the nearest bin of each number, ``(B, n, 1)``.

        Raises:
            ConfigurationError: for a number that is not finite, or outside the range of the spec by
                more than rounding (1e-5 of the larger bound, at least 1e-5).
        """
        self._check_range(raw)
        places = self._place(raw)  # (B, n)
        return (places[..., None] - self.positions).abs().argmin(-1, keepdim=True)  # (B, n, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the bin centres ``(B, n)`` float32 of ``codes`` ``(B, n, 1)``."""
        self.check_codes(codes)
        return self._look_up(self.centres, codes)

    def latent(self, codes: Tensor) -> Tensor:
        """Return the places of the bins between low (-1) and high (1), ``(B, n)``."""
        return self._look_up(self.positions, codes)

    def health(self, raw: Tensor) -> dict[str, float]:
        """Return distinct codes, and the worst error of a number as a share of its range."""
        codes = self.encode(raw)
        error = (self.decode(codes) - raw).abs() / (self.high - self.low)
        return {
            "distinct_codes": float(distinct_rows(codes)),
            "cell_entropy_bits": mean_cell_entropy(codes),
            "worst_error": float(error.max()),
        }

    def _place_bins(self) -> None:
        """Fill ``positions`` (in [-1, 1]) and ``centres``; spare bins repeat the last."""
        last = torch.full_like(self.low, self.levels - 1)
        fits = self.whole & (self.high - self.low <= last)
        last = torch.where(fits, self.high - self.low, last)  # (n,)
        step = torch.arange(self.levels, device=last.device, dtype=torch.float32)
        positions = (2 * step / last[:, None] - 1).clamp(max=1.0)  # (n, V)
        low, high = _symlog(self.low)[:, None], _symlog(self.high)[:, None]
        curved = _symexp(low + (positions + 1) / 2 * (high - low))
        straight = (self.low[:, None] + step).minimum(self.high[:, None])
        centres = torch.where(fits[:, None], straight, curved)
        centres = torch.where(self.whole[:, None], centres.round(), centres)
        self.centres.copy_(centres.maximum(self.low[:, None]).minimum(self.high[:, None]))
        self.positions.copy_(positions)

    def _place(self, raw: Tensor) -> Tensor:
        """Return where ``raw`` ``(B, n)`` stands between low (-1) and high (1), on its scale."""
        straight = (raw - self.low) / (self.high - self.low)
        low, high = _symlog(self.low), _symlog(self.high)
        curved = (_symlog(raw) - low) / (high - low)
        fits = self.whole & (self.high - self.low <= self.levels - 1)
        return 2 * torch.where(fits, straight, curved) - 1

    def _look_up(self, table: Tensor, codes: Tensor) -> Tensor:
        """Return the entries ``(B, n)`` of ``table`` ``(n, V)`` that ``codes`` name."""
        rows = torch.arange(table.shape[0], device=codes.device)
        return table[rows, codes.squeeze(-1)]

    def _check_range(self, raw: Tensor) -> None:
        """Refuse numbers that are not finite or outside the range of the spec."""
        self.check_raw(raw)
        slack = 1e-5 * self.low.abs().maximum(self.high.abs()).clamp(min=1.0)
        outside = ~((raw >= self.low - slack) & (raw <= self.high + slack))
        if bool(outside.any()):
            row, number = (int(i) for i in outside.nonzero()[0])
            raise ConfigurationError(
                f"{self.spec.names[number]!r} is {float(raw[row, number]):g}, outside its range "
                f"[{self.spec.low[number]:g}, {self.spec.high[number]:g}]; widen the range in the "
                "VectorSpec of the world and record again."
            )


def _symlog(x: Tensor) -> Tensor:
    """Return ``sign(x) log(1 + |x|)``."""
    return x.sign() * x.abs().log1p()


def _symexp(x: Tensor) -> Tensor:
    """Return the inverse of :func:`_symlog`."""
    return x.sign() * x.abs().expm1()
