"""Sound at another rate: FFmpeg's band-limited resampler, through PyAV."""

from __future__ import annotations

import av
import numpy as np

from worldgpt_env.model.errors import ConfigurationError


def to_mono(samples: np.ndarray) -> np.ndarray:
    """Return the mean of the channels of ``(S, channels)`` as ``(S, 1)`` float32."""
    return samples.mean(1, keepdims=True, dtype=np.float32)  # (S, 1)


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Return a sound at another rate, without echoes of what lies above its new top frequency.

    Args:
        samples: ``(S, channels)`` float32 in [-1, 1], one or two channels.
        rate: samples per second that it has.
        wanted: samples per second that it shall have.

    Returns:
        ``(round(S * wanted / rate), channels)`` float32 in [-1, 1]; the filter may
        overshoot and is cut.
    """
    count, channels = samples.shape
    if channels not in (1, 2) or rate < 1 or wanted < 1:
        raise ConfigurationError(
            f"a sound of {channels} channels cannot go from {rate} to {wanted} Hz; "
            "give one or two channels and rates above 0."
        )
    length = round(count * wanted / rate)
    if rate == wanted or not length:
        return samples[:length].astype(np.float32)
    layout = "mono" if channels == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples.reshape(1, -1), np.float32), format="flt", layout=layout
    )
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="flt", layout=layout, rate=wanted)
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    sound = np.concatenate([piece.to_ndarray().reshape(-1, channels) for piece in pieces])
    missing = length - len(sound)  # the filter rounds by a sample
    sound = np.pad(sound, ((0, max(missing, 0)), (0, 0)), mode="edge")[:length]
    return np.clip(sound, -1, 1)  # (length, channels)


class MelBands:
    """How loud the bands of a mel scale are in each moment of a sound.

    Args:
        rate: samples a second.
        samples: of one moment; nothing outside of it is heard.
        bands: how many, up to half the rate.
    """

    def __init__(self, rate: int, samples: int, bands: int = 16) -> None:
        """Make the window and the filters."""
        from worldgpt_env.model.codecs.spectrum import mel_filters  # imports torch

        self._samples = samples
        self._window = np.hanning(samples + 2)[1:-1].astype(np.float32)
        filters = mel_filters(samples // 2 + 1, bands, rate).numpy()  # (bands, F)
        self._filters = filters * (2 / (samples * np.square(self._window).sum()))

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        """Return decibels ``(n, bands)`` float32 of ``sound`` ``(S, 1)``; -70 is silence."""
        count = len(sound) // self._samples
        moments = sound[: count * self._samples, 0].reshape(count, self._samples)
        spectra = np.abs(np.fft.rfft(moments * self._window)) ** 2  # (n, F)
        energies = spectra @ self._filters.T  # (n, bands)
        return (10 * np.log10(energies + 1e-7)).astype(np.float32)
