"""Numbers as bins: one cell per number, one digit with a level per bin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..bounds import check_fields
from ..errors import ConfigurationError
from ..modalities import UNBOUNDED, Modality, VectorSpec
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
        check_fields(self, bins=(2, 65536))


class VectorCodec(Codec):
    """Bins numbers evenly, on a straight scale or after symlog, whichever loses less.

    Whole bounds that are fewer than ``bins`` apart get a bin at every whole number between them
    (and at halves, thirds, ... as far as the bins go), so that counters and switches are exact.
    A number without bounds gets bins from half a range below to half a range above what was
    recorded; beyond, it is in the outermost bin.
    """

    modality = Modality.VECTOR
    spec: VectorSpec
    config: VectorCodecConfig
    low: Tensor
    high: Tensor
    exact: Tensor
    last: Tensor
    curved: Tensor
    open_ended: Tensor

    def __init__(self, spec: VectorSpec, config: VectorCodecConfig | None = None) -> None:
        """Make one cell per number of ``spec``."""
        config, size = config or VectorCodecConfig(), len(spec.names)
        super().__init__(
            spec, config, grid=(1, size), digits=1, levels=config.bins, latent_size=size
        )
        low, high = (torch.tensor(bound) for bound in (spec.low, spec.high))
        self.open_ended = (low <= -UNBOUNDED) | (high >= UNBOUNDED)  # (n,) not learned, not stored
        self.register_buffer("low", low.float())
        self.register_buffer("high", high.float())
        most, width = self.levels - 1, self.high - self.low
        exact = (self.low == self.low.round()) & (self.high == self.high.round()) & (width <= most)
        last = torch.where(exact, (most / width).floor() * width, most)  # (n,) the bin of ``high``
        self.register_buffer("exact", exact)
        self.register_buffer("last", last)
        self.register_buffer("curved", torch.zeros(size, dtype=torch.bool))

    def fit_statistics(self, raw: Tensor) -> None:
        """Choose each number's scale: the one that spreads the sample ``(B, n)`` over more bins.

        Before that, numbers without bounds get those of the sample.
        """
        self._bound_by(raw)
        spread = []
        for curved in (False, True):
            self.curved.fill_(curved)
            cells = self.encode(raw).unbind(1)  # n of (B, 1)
            spread.append(torch.tensor([mean_cell_entropy(cell[:, None]) for cell in cells]))
        self.curved.copy_((spread[1] > spread[0]).to(raw.device) & ~self.exact)

    def _bound_by(self, raw: Tensor) -> None:
        """Give the numbers without bounds half a range more than the sample ``(B, n)`` has."""
        least, most = raw.amin(0), raw.amax(0)
        margin = torch.where(most > least, (most - least) / 2, most.abs().clamp(min=1.0))
        open_ended = self.open_ended.to(raw.device)
        low_known = torch.as_tensor(self.spec.low, device=raw.device) > -UNBOUNDED
        high_known = torch.as_tensor(self.spec.high, device=raw.device) < UNBOUNDED
        self.low.copy_(torch.where(open_ended & ~low_known, least - margin, self.low))
        self.high.copy_(torch.where(open_ended & ~high_known, most + margin, self.high))

    def neutral_codes(self) -> Tensor:
        """Return the bins ``(n, 1)`` of the middle of each range."""
        return self.encode(torch.stack([self.low, self.high]).mean(0, keepdim=True))[0].cpu()

    def encode(self, raw: Tensor) -> Tensor:
        """Return the nearest bin of each number, ``(B, n, 1)``.

        Raises:
            ConfigurationError: for a number that is not finite, or outside the range of the spec by
                more than rounding (1e-5 of the larger bound, at least 1e-5).
        """
        self._check_range(raw)
        steps = torch.arange(self.levels - 1, device=raw.device) + 0.5
        inside = raw.maximum(self.low).minimum(self.high)  # (B, n) without the rounding
        passed = (inside[..., None] >= self._numbers(steps)).sum(-1)  # (B, n)
        return passed.minimum(self.last.long()).unsqueeze(-1)  # (B, n, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the middles ``(B, n)`` of the bins ``(B, n, 1)``; spare ones give ``high``."""
        self.check_codes(codes)
        middles = self._numbers(torch.arange(self.levels, device=codes.device))  # (n, V)
        return middles[torch.arange(len(middles), device=codes.device), codes.squeeze(-1)]

    def latent(self, codes: Tensor) -> Tensor:
        """Return the places ``(B, n)`` of the bins, low (-1) to high (1) on their scale."""
        return 2 * self._share(codes) - 1

    def expected_latent(self, probabilities: Tensor) -> Tensor:
        """Return the expected places ``(B, n)`` under ``probabilities`` ``(B, n, 1, V)``."""
        bins = torch.arange(self.levels, device=probabilities.device)
        places = self.latent(bins[:, None, None])  # (V, n)
        return (probabilities[:, :, 0] * places.T).sum(-1)

    def health(self, raw: Tensor) -> dict[str, float]:
        """Return distinct codes, and the worst error of a number as a share of its range."""
        codes = self.encode(raw)
        error = (self.decode(codes) - raw).abs() / (self.high - self.low)
        return {
            "distinct_codes": float(distinct_rows(codes)),
            "cell_entropy_bits": mean_cell_entropy(codes),
            "worst_error": float(error.max()),
        }

    def _numbers(self, steps: Tensor) -> Tensor:
        """Return the numbers ``(n, steps)`` that stand ``steps`` bins above low, on each scale.

        The same few numbers at every call, and compared with, not computed from: an observation
        thus has the same codes and bits wherever it stands in a batch.
        """
        low, width, last = self.low[:, None], (self.high - self.low)[:, None], self.last[:, None]
        straight = low + steps * width / last
        bent_low, bent_high = _symlog(self.low)[:, None], _symlog(self.high)[:, None]
        bent = bent_low + steps * (bent_high - bent_low) / last
        curved = bent.sign() * bent.abs().expm1()
        numbers = torch.where(self.curved[:, None], curved, straight)
        return numbers.maximum(low).minimum(self.high[:, None])

    def _share(self, codes: Tensor) -> Tensor:
        """Return how far the bins ``(B, n, 1)`` are from low (0) to high (1), ``(B, n)``."""
        return (codes.squeeze(-1) / self.last).clamp(max=1.0)

    def _check_range(self, raw: Tensor) -> None:
        """Refuse numbers that are not finite or outside the range of the spec."""
        self.check_raw(raw)
        slack = 1e-5 * self.low.abs().maximum(self.high.abs()).clamp(min=1.0)
        outside = ~((raw >= self.low - slack) & (raw <= self.high + slack))
        outside &= ~self.open_ended.to(raw.device)
        if bool(outside.any()):
            row, number = (int(i) for i in outside.nonzero()[0])
            raise ConfigurationError(
                f"{self.spec.names[number]!r} is {float(raw[row, number]):g}, outside its range "
                f"[{self.spec.low[number]:g}, {self.spec.high[number]:g}]; widen the range in the "
                "VectorSpec of the world and record again."
            )


def _symlog(numbers: Tensor) -> Tensor:
    """Return ``sign(x) log(1 + |x|)``."""
    return numbers.sign() * numbers.abs().log1p()
