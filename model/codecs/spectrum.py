"""Waveforms to log-mel energies of middle and side, and back: arithmetic, nothing learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ConfigurationError
from ..modalities import AudioSpec

FLOOR = 1e-7
"""Energy of a band that counts as silence (an amplitude of about ten steps of 16-bit sound)."""

CORRECTIONS = 1
"""Times that the filtered noise is measured and its bands set right."""


class Spectrum(nn.Module):
    """Log-mel energies in ``frames`` equal parts of one observation, and noise that has them.

    Nothing here is learned. A sound is rebuilt by filtering one fixed noise, the same in each
    channel, so that the energy of every band of every channel is right: texture is lost, loudness,
    colour, course in time and direction stay. The result is deterministic.
    """

    window: Tensor
    mel: Tensor
    spread: Tensor
    mix: Tensor
    unmix: Tensor
    noise: Tensor

    def __init__(self, spec: AudioSpec, frames: int, bands: int) -> None:
        """Make the window, the filters and the noise for sounds of ``spec``."""
        super().__init__()
        self.samples, self.frames = spec.samples, frames
        self.hop = math.ceil(spec.samples / frames)
        self.size = max(64, 2 ** math.ceil(math.log2(2 * self.hop)))  # window length
        self.margin = (self.size - self.hop) // 2 + (self.size - self.hop) % 2
        if bands > self.size // 4:
            raise ConfigurationError(
                f"{bands} mel bands do not fit {self.size // 2} frequencies; "
                f"use at most {self.size // 4}."
            )
        mel = mel_filters(self.size // 2 + 1, bands, spec.rate)  # (bands, F)
        channels = spec.channels
        mix = torch.eye(channels) - torch.diag(torch.ones(channels - 1), 1)
        mix = torch.cat([torch.full((1, channels), 1 / channels), mix[:-1]])
        noise = torch.randn(spec.samples, generator=torch.Generator().manual_seed(0))
        self.register_buffer("window", torch.hann_window(self.size))
        self.register_buffer("mel", mel)
        self.register_buffer("spread", mel / mel.sum(0).clamp(min=1e-6))
        self.register_buffer("mix", mix)
        self.register_buffer("unmix", torch.linalg.inv(mix).contiguous())
        self.register_buffer("noise", noise)

    def features(self, raw: Tensor) -> Tensor:
        """Return the natural logs ``(B, channels, T, bands)`` of sounds ``(B, S, channels)``."""
        logs = torch.log(self._energies(self._transform(raw.transpose(1, 2))) + FLOOR)
        return torch.einsum("kc,bctm->bktm", self.mix, logs)

    @staticmethod
    def cut(sound: Tensor) -> Tensor:
        """Return ``sound`` of any shape, cut to [-1, 1]."""
        return sound.clamp(-1.0, 1.0)

    def synthesise(self, features: Tensor) -> Tensor:
        """Return the sound ``(B, S, channels)`` float32 of ``features``, as loud as it is."""
        logs = torch.einsum("ck,bktm->bctm", self.unmix, features)
        target = (torch.exp(logs.clamp(max=0.0)) - FLOOR).clamp(min=0.0)  # (B, channels, T, bands)
        noise = self._transform(self.noise)  # (T, F)
        pieces = torch.fft.irfft(noise[:, None] * self.spread, n=self.size) * self.window
        gain = torch.sqrt(target / self._energies(noise).clamp(min=1e-12))
        sound = self._add_up(gain, pieces)
        for _ in range(CORRECTIONS):
            energy = self._energies(self._transform(sound))
            gain = gain * torch.sqrt((target + 1e-9) / (energy + 1e-9)).clamp(0.25, 4.0)
            sound = self._add_up(gain, pieces)
        return sound.transpose(1, 2)  # (B, S, channels)

    def _transform(self, sound: Tensor) -> Tensor:
        """Return the spectra ``(..., T, F)`` complex of ``sound`` ``(..., S)``."""
        tail = self.margin + self.frames * self.hop - self.samples
        padded = functional.pad(sound, (self.margin, tail))
        return torch.fft.rfft(padded.unfold(-1, self.size, self.hop) * self.window)

    def _add_up(self, gain: Tensor, pieces: Tensor) -> Tensor:
        """Return the sound ``(B, channels, S)`` of bands ``pieces`` ``(T, bands, size)``.

        ``gain`` ``(B, channels, T, bands)`` is how loud each band of the noise is in each frame;
        the windowed frames are added where they overlap, and divided by the windows' own sum.
        """
        bands = gain.flatten(0, 1).transpose(0, 1)  # (T, B*channels, bands)
        sound = self._overlap((bands @ pieces).transpose(0, 1))  # (B*channels, length)
        windows = self._overlap(self.window.square().expand(1, self.frames, self.size))
        sound = (sound / windows.clamp(min=0.1))[:, self.margin : self.margin + self.samples]
        return sound.unflatten(0, gain.shape[:2])

    def _overlap(self, frames: Tensor) -> Tensor:
        """Return the sum ``(N, length)`` of frames ``(N, T, size)``, a ``hop`` apart."""
        laps = math.ceil(self.size / self.hop)
        parts = functional.pad(frames, (0, laps * self.hop - self.size)).unflatten(2, (laps, -1))
        total = frames.new_zeros(len(frames), self.frames + laps - 1, self.hop)
        for lap in range(laps):
            total[:, lap : lap + self.frames] += parts[:, :, lap]
        return total.flatten(1)

    def _energies(self, spectra: Tensor) -> Tensor:
        """Return mean squares per mel band ``(..., T, bands)`` of spectra ``(..., T, F)``."""
        squares = torch.view_as_real(spectra).flatten(-2).square()  # (..., T, 2*F)
        scale = 2 / (self.window.square().sum() * self.size)
        return squares @ (self.mel * scale).repeat_interleave(2, dim=1).T


def mel_filters(frequencies: int, bands: int, rate: int) -> Tensor:
    """Return triangular filters ``(bands, frequencies)``, their peaks even on the mel scale."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)
    places = torch.linspace(0, rate / 2, frequencies, dtype=torch.float64)
    width = rate / 2 / (frequencies - 1)
    rise = (places - edges[:-2, None]) / (edges[1:-1] - edges[:-2]).clamp(min=width)[:, None]
    fall = (edges[2:, None] - places) / (edges[2:] - edges[1:-1]).clamp(min=width)[:, None]
    filters = torch.minimum(rise, fall).clamp(min=0)
    return filters.float()
