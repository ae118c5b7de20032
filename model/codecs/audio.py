"""Sounds to patches of FSQ digits, and back: log-mel energies as middle and side, then noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..batch_invariant import by_rows
from ..bounds import check_fields
from ..errors import ConfigurationError
from ..modalities import AudioSpec, Modality
from .codec import Codec, CodecOutput, check_collapse
from .fsq import FSQ
from .spectrum import Spectrum


@dataclass(frozen=True)
class AudioCodecConfig:
    """Sizes, loss and training budget of the audio codec.

    Attributes:
        patches: cells, equal parts of the time of one observation.
        frames: spectra per patch.
        bands: mel bands of a spectrum.
        digits: FSQ digits of a patch.
        levels: levels of a digit.
        width: channels of encoder and decoder.
        side_weight: weight of the error between channels beside that of their mean.
        updates: training steps that suffice.
        batch_size: observations of a training step.
        learning_rate: of AdamW, with linear decay to zero.
    """

    patches: int = 4
    frames: int = 3
    bands: int = 24
    digits: int = 6
    levels: int = 5
    width: int = 128
    side_weight: float = 2.0
    updates: int = 1000
    batch_size: int = 64
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        """Refuse sizes that make no codec."""
        check_fields(
            self,
            patches=(1, 4096),
            frames=(1, 256),
            bands=(1, 1024),
            digits=(1, 256),
            levels=(2, 4096),
            width=(1, 8192),
            side_weight=(0, 1e6),
            updates=(1, 10**9),
            batch_size=(1, 10**6),
            learning_rate=(0, 10),
        )


class AudioCodec(Codec):
    """Codes the sound between two decisions; it decodes to noise with the right spectrum."""

    modality = Modality.AUDIO
    trainable = True
    spec: AudioSpec
    config: AudioCodecConfig
    mean: Tensor
    scale: Tensor

    def __init__(self, spec: AudioSpec, config: AudioCodecConfig | None = None) -> None:
        """Make ``config.patches`` cells in time."""
        config = config or AudioCodecConfig()
        super().__init__(
            spec,
            config,
            grid=(1, config.patches),
            digits=config.digits,
            levels=config.levels,
            latent_size=config.patches * config.digits,
        )
        self.spectrum = Spectrum(spec, config.patches * config.frames, config.bands)
        inside = spec.channels * config.bands
        self.encoder = nn.Sequential(
            nn.Conv1d(inside, config.width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(config.width, config.width, config.frames, stride=config.frames),
            nn.ReLU(),
            nn.Conv1d(config.width, config.digits, 1),
        )
        self.fsq = FSQ(config.patches, config.digits, config.levels)
        self.decoder = nn.Sequential(
            nn.Conv1d(config.digits, config.width, 1),
            nn.ReLU(),
            nn.Conv1d(config.width, config.width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(config.width, config.frames * inside, 1),
        )
        self.register_buffer("mean", torch.zeros(spec.channels, 1, config.bands))
        self.register_buffer("scale", torch.ones(spec.channels, 1, config.bands))

    def fit_statistics(self, raw: Tensor) -> None:
        """Store mean and deviation of each band over the sample ``(B, S, channels)``.

        A deviation below a third of the usual one of its kind, or below 0.1, counts as that, so
        that the noise of a silent band is not blown up.
        """
        features = self.features(raw)  # (B, channels, T, bands)
        scale, mean = torch.std_mean(features, dim=(0, 2), correction=0)  # (channels, bands)
        usual = scale.square().mean(1, keepdim=True).sqrt()
        self.mean.copy_(mean[:, None])
        self.scale.copy_(scale.maximum(usual / 3).clamp(min=0.1)[:, None])

    def features(self, raw: Tensor) -> Tensor:
        """Return ``(B, channels, T, bands)``, natural log energies: middle first, then the sides.

        Middle is the mean over channels; a side is one channel less the next (left less right).
        """
        self.check_raw(raw)
        return by_rows(self.spectrum.features, [raw], "features", self)

    @torch.no_grad()
    def features_from_codes(self, codes: Tensor) -> Tensor:
        """Return the features, as :meth:`features`, that ``codes`` ``(B, C, G)`` stand for."""
        self.check_codes(codes)
        return by_rows(self._draw, [codes], "draw", self)

    def forward(self, raw: Tensor, previous: Tensor | None = None) -> CodecOutput:
        """Return the squared error of the standardised features of ``raw`` ``(B, S, channels)``."""
        with torch.no_grad():
            target = (self.spectrum.features(raw) - self.mean) / self.scale
        values = self.fsq(self.encoder(self._in_time(target)).transpose(1, 2))
        error = (self._decode_values(values) - target).square()  # (B, channels, T, bands)
        middle, side = error[:, 0].mean(), _mean_or_zero(error[:, 1:])
        loss = middle + self.config.side_weight * side
        return CodecOutput(loss, {"middle_error": middle.detach(), "side_error": side.detach()})

    @torch.no_grad()
    def encode(self, raw: Tensor) -> Tensor:
        """Return the codes ``(B, C, G)`` of sounds ``(B, S, channels)``; same row, same bits.

        Raises:
            ConfigurationError: for samples that are not finite, or outside [-1, 1].
        """
        self.check_raw(raw)
        if not bool((raw.abs() <= 1.0).all()):
            raise ConfigurationError(
                "the sound has samples that are not finite or outside [-1, 1]; divide 16-bit "
                "samples by 32768."
            )
        return by_rows(self._read, [raw], "read", self, finish=self.fsq.quantise)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return sounds ``(B, S, channels)`` float32 in [-1, 1] of ``codes`` ``(B, C, G)``."""
        self.check_codes(codes)
        features = by_rows(self._draw, [codes], "draw", self)
        spectrum = self.spectrum
        return by_rows(spectrum.synthesise, [features], "synthesise", self, finish=spectrum.cut)

    def latent(self, codes: Tensor) -> Tensor:
        """Return the FSQ values ``(B, C*G)`` of ``codes`` ``(B, C, G)``."""
        return self.fsq.values(codes).flatten(1)

    def expected_latent(self, probabilities: Tensor) -> Tensor:
        """Return the expected FSQ values ``(B, C*G)`` under ``probabilities`` ``(B, C, G, V)``."""
        return self.fsq.expected(probabilities).flatten(1)

    @torch.no_grad()
    def health(self, raw: Tensor) -> dict[str, float]:
        """Return distinct codes, and errors in nats beside those of the mean spectrum."""
        codes, features = self.encode(raw), self.features(raw)
        standard = (features - self.mean) / self.scale
        counts = check_collapse(self.modality, standard.round(), codes)
        error = (self.features_from_codes(codes) - features).abs()
        still = (self.mean - features).abs()
        return {
            **counts,
            "middle_error": float(error[:, 0].mean()),
            "middle_error_of_mean": float(still[:, 0].mean()),
            "side_error": float(_mean_or_zero(error[:, 1:])),
            "side_error_of_mean": float(_mean_or_zero(still[:, 1:])),
        }

    def _read(self, raw: Tensor) -> Tensor:
        """Return what is quantised, ``(B, C, G)``, of sounds ``(B, S, channels)``."""
        target = (self.spectrum.features(raw) - self.mean) / self.scale
        return self.fsq.standardise(self.encoder(self._in_time(target)).transpose(1, 2))

    def _draw(self, codes: Tensor) -> Tensor:
        """Return the features ``(B, channels, T, bands)`` of ``codes`` ``(B, C, G)``."""
        return self._decode_values(self.fsq.values(codes)) * self.scale + self.mean

    def _in_time(self, features: Tensor) -> Tensor:
        """Return features ``(B, channels, T, bands)`` as ``(B, channels*bands, T)``."""
        return features.transpose(2, 3).flatten(1, 2)

    def _decode_values(self, values: Tensor) -> Tensor:
        """Return standardised features ``(B, channels, T, bands)`` of values ``(B, C, G)``."""
        out = self.decoder(values.transpose(1, 2))  # (B, frames*channels*bands, C)
        shape = (self.config.frames, self.spec.channels, self.config.bands)
        return out.unflatten(1, shape).permute(0, 2, 4, 1, 3).flatten(2, 3)


def _mean_or_zero(error: Tensor) -> Tensor:
    """Return the mean of ``error``, zero where there is none (mono sound has no side)."""
    return error.mean() if error.numel() else error.new_zeros(())
