"""Figures of one predicted state beside the true one: cosine, skill, retrieval, pictures, sound.

The figures of raw observations come as pairs ``(N, 2)`` of a sum and the number of things summed,
so that they can be averaged over any choice of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worldgpt_env.model.codecs.spectrum import Spectrum
from worldgpt_env.model.modalities import (
    AudioSpec,
    ImageSpec,
    ModalitySpec,
    TextSpec,
    VectorSpec,
    VideoSpec,
)

from ...measures import CHANGED_PIXEL

WINDOW, SIGMA = 11, 1.5  # of the structural similarity (Wang et al. 2004)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
FRAMES, BANDS = 8, 16  # of the spectra that sounds are compared by
PSNR, SSIM = "PSNR (dB)", "SSIM"
DECIBELS = 10 / math.log(10)  # of one natural logarithm

RawFigures = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]


def cosine(guess: Tensor, truth: Tensor) -> Tensor:
    """Return the cosine of each row of ``guess`` and ``truth``, ``(..., F)`` to ``(...)``.

    A zero vector has no direction: two of them count as equal (1), one of them as unlike (0).
    """
    lengths = [part.norm(dim=-1) for part in (guess, truth)]
    nothing = [length < 1e-6 for length in lengths]
    product = (guess * truth).sum(-1) / (lengths[0] * lengths[1]).clamp(min=1e-12)
    product = torch.where(nothing[0] | nothing[1], torch.zeros_like(product), product)
    return torch.where(nothing[0] & nothing[1], torch.ones_like(product), product)


def skill(cosines: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Return how much of what ``baseline`` lacks is gained: 1 perfect, 0 as good, below 0 worse.

    ``(cos - baseline) / (1 - baseline)`` of mean cosines, any shape; NaN where the baseline is
    perfect, for then there is nothing to gain.
    """
    room = 1 - np.asarray(baseline, np.float64)
    return np.divide(
        np.asarray(cosines) - baseline, room, out=np.full(room.shape, np.nan), where=room > 1e-6
    )


def retrieval(guess: Tensor, candidates: Tensor, there: Tensor) -> Tensor:
    """Return how often the true next state is nearest to the guess; equals share the hit.

    Args:
        guess: ``(N, F)``.
        candidates: ``(N, K, F)``; the true one comes first.
        there: ``(N, K)`` bool, which candidates count.

    Returns:
        ``(N,)`` float32 in [0, 1].
    """
    near = cosine(guess[:, None], candidates).masked_fill(~there, -2.0)  # (N, K)
    best = near >= near.max(1, keepdim=True).values - 1e-6
    return best[:, 0].float() / best.sum(1)


def psnr(square_error: float) -> float:
    """Return the signal-to-noise ratio in dB of a mean squared error of colours in [0, 255]."""
    return 10 * math.log10(255**2 / square_error) if square_error else math.inf


def ssim_map(guess: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return the structural similarity around each pixel (Wang et al. 2004), of grey pictures.

    Args:
        guess: ``(N, H, W, 3)`` uint8; both sides longer than 5 pixels.
        real: likewise.

    Returns:
        ``(N, H, W)`` float32 in [-1, 1]; the borders are mirrored.
    """
    x, y = (torch.from_numpy(part).float().mean(-1)[:, None] for part in (guess, real))
    means = [_smooth(part) for part in (x, y, x * x, y * y, x * y)]
    mx, my, xx, yy, xy = means
    top = (2 * mx * my + C1) * (2 * (xy - mx * my) + C2)
    bottom = (mx * mx + my * my + C1) * (xx - mx * mx + yy - my * my + C2)
    return (top / bottom)[:, 0].numpy()


def _smooth(pictures: Tensor) -> Tensor:
    """Return ``(N, 1, H, W)`` under the gaussian window, borders mirrored."""
    places = torch.arange(WINDOW) - WINDOW // 2
    weights = torch.exp(-(places**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    padded = functional.pad(pictures, [WINDOW // 2] * 4, mode="reflect")
    across = functional.conv2d(padded, weights.view(1, 1, 1, -1))
    return functional.conv2d(across, weights.view(1, 1, -1, 1))


def picture_figures(
    guess: np.ndarray, real: np.ndarray, before: np.ndarray
) -> dict[str, np.ndarray]:
    """Return squared error and similarity on the pixels that changed, ``(N, 2)`` pairs each.

    Args:
        guess: ``(N, H, W, 3)`` or ``(N, frames, H, W, 3)`` uint8.
        real: what came, likewise.
        before: what was there before, likewise; a clip is compared frame by frame.
    """
    frames = [part.reshape(-1, *part.shape[-3:]) for part in (guess, real, before)]
    moved = np.abs(frames[1].astype(np.int16) - frames[2]).max(-1) > CHANGED_PIXEL  # (M, H, W)
    square = np.square(frames[0].astype(np.float32) - frames[1]).mean(-1)
    alike = ssim_map(frames[0], frames[1])
    count = _rows(moved, len(guess)).sum(1)
    return {
        PSNR: np.stack([_rows(square * moved, len(guess)).sum(1), count], 1),
        SSIM: np.stack([_rows(alike * moved, len(guess)).sum(1), count], 1),
    }


def sound_figures(spec: AudioSpec) -> RawFigures:
    """Return the function that gives the error of log-mel energies in dB of sounds of ``spec``."""
    spectrum = Spectrum(spec, FRAMES, BANDS)

    def figures(guess: np.ndarray, real: np.ndarray, before: np.ndarray) -> dict[str, np.ndarray]:
        heard, true = (spectrum.features(torch.from_numpy(part)) for part in (guess, real))
        error = (heard - true).abs().flatten(1).mean(1).numpy() * DECIBELS
        return {"log-mel error (dB)": np.stack([error, np.ones_like(error)], 1)}

    return figures


def word_figures(guess: np.ndarray, real: np.ndarray, before: np.ndarray) -> dict[str, np.ndarray]:
    """Return the right words among all that are there or guessed, and among those that changed.

    Args:
        guess: ids ``(N, slots)``; 0 is an empty slot.
        real: likewise.
        before: likewise.
    """
    right, spoken, changed = guess == real, (real != 0) | (guess != 0), real != before
    return {
        name: np.stack([(right & among).sum(1), among.sum(1)], 1).astype(np.float64)
        for name, among in (("words right", spoken), ("words right, changed", changed))
    }


def number_figures(spec: VectorSpec) -> RawFigures:
    """Return the function that gives the error of numbers of ``spec``, as a share of the range."""
    span = np.subtract(spec.high, spec.low)

    def figures(guess: np.ndarray, real: np.ndarray, before: np.ndarray) -> dict[str, np.ndarray]:
        error = np.abs(guess - real) / span  # (N, n)
        return {"number error": np.stack([error.sum(1), np.full(len(error), len(span))], 1)}

    return figures


def raw_figures(spec: ModalitySpec) -> RawFigures:
    """Return the function that compares raw observations of ``spec``: guess, real, before."""
    if isinstance(spec, ImageSpec | VideoSpec):
        return picture_figures
    if isinstance(spec, AudioSpec):
        return sound_figures(spec)
    return word_figures if isinstance(spec, TextSpec) else number_figures(spec)


def average(name: str, pairs: np.ndarray) -> float | None:
    """Return the mean of ``pairs`` ``(N, 2)`` of the figure ``name``; None without anything."""
    total, count = pairs.sum(0)
    if not count:
        return None
    return psnr(float(total / count)) if name == PSNR else float(total / count)


def _rows(frames: np.ndarray, rows: int) -> np.ndarray:
    """Return frames ``(rows * frames, H, W)`` as ``(rows, frames * H * W)``."""
    return frames.reshape(rows, -1).astype(np.float64)
