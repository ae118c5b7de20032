"""Metrics of predictions beside what was recorded: events, pictures, sound, words, latents.

Metrics of observations compare a prediction with the next state, on what changed since the state.
Those that come as pairs ``(N, 2)``, a sum and the number of things summed, can be averaged over any
choice of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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

CHANGED_PIXEL = 8
"""A pixel changed when any of its colours moved by more than this, of 255."""

WINDOW, SIGMA = 11, 1.5  # of the structural similarity (Wang et al. 2004)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
FRAMES, BANDS = 8, 16  # of the spectra that sounds are compared by
PSNR, SSIM = "PSNR (dB)", "SSIM"
DECIBELS = 10 / math.log(10)  # of one natural logarithm

MetricValues = dict[str, np.ndarray]
ObservationMetrics = Callable[[np.ndarray, np.ndarray, np.ndarray], MetricValues]
"""From predictions, next states and states ``(N, *shape)`` to ``(N, ...)`` per metric."""


def share(hits: np.ndarray, among: np.ndarray | None = None) -> float | None:
    """Return the share of True in ``hits`` (``among`` selects some); None if none is selected."""
    chosen = hits if among is None else hits[among]
    return float(chosen.mean()) if chosen.size else None


def f1(predicted: np.ndarray, real: np.ndarray) -> float | None:
    """Return the F1 of predicted events, both ``(N,)`` bool; None if there is none in either."""
    hits, predictions, events = (int(x.sum()) for x in (predicted & real, predicted, real))
    return 2 * hits / (predictions + events) if predictions + events else None


@dataclass(frozen=True)
class RewardScore:
    """How well rewards other than the commonest were predicted."""

    f1: float | None  # None if there was none and none was predicted
    events: int


def reward_score(predicted: np.ndarray, real: np.ndarray) -> RewardScore:
    """Return the F1 of rewards ``(N,)`` that are not of the commonest kind.

    Recorded values nearer to each other than 2 % of their range are one kind. A prediction is of
    the kind of the recorded value next to it, and hits when the recorded reward is of that kind.
    """
    values = np.unique(real)
    kinds = np.cumsum(np.diff(values, prepend=values[0]) > 0.02 * np.ptp(values))
    true, guess = (kinds[np.abs(r[:, None] - values).argmin(1)] for r in (real, predicted))  # (N,)
    common = np.bincount(true).argmax()
    hits = int(((guess == true) & (true != common)).sum())
    events, predictions = int((true != common).sum()), int((guess != common).sum())
    total = events + predictions
    return RewardScore(2 * hits / total if total else None, events)


def ranking(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Return how often a ``positive`` row has a higher score than others (the area under ROC).

    0.5 is chance, 1 perfect; equal scores count half; None without positives or negatives. Both are
    ``(N,)``.
    """
    count = int(positive.sum())
    if not 0 < count < len(positive):
        return None
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]  # (N,) from 1, means over equal scores
    return float((rank[positive].mean() - (count + 1) / 2) / (len(positive) - count))


def psnr(square_error: float) -> float:
    """Return the signal-to-noise ratio in dB of a mean squared error of colours in [0, 255]."""
    return 10 * math.log10(255**2 / square_error) if square_error else math.inf


def changed_pixels(next_state: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Return where pictures ``(..., H, W, 3)`` uint8 differ visibly, ``(..., H, W)`` bool."""
    return np.abs(next_state.astype(np.int16) - state).max(-1) > CHANGED_PIXEL


def frame_errors(prediction: np.ndarray, next_state: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Return three numbers per frame, ``(..., 3)`` float64, all colours in [0, 255].

    They are the mean squared error of the frame, the sum of the absolute errors on the pixels that
    changed, and the number of these pixels. The arguments are images ``(N, H, W, 3)`` uint8, or the
    frames of videos ``(N, frames, H, W, 3)``.
    """
    changed = changed_pixels(next_state, state)  # (..., H, W)
    error = prediction.astype(np.float32) - next_state  # (..., H, W, 3)
    square = np.square(error).mean((-3, -2, -1), dtype=np.float64)
    absolute = (np.abs(error).mean(-1) * changed).sum((-2, -1))
    return np.stack([square, absolute, changed.sum((-2, -1))], -1)


def foreground_error(errors: np.ndarray) -> float | None:
    """Return the mean error, of 1, on the changed pixels of :func:`frame_errors`; None without."""
    pixels = errors[..., 2].sum()
    return float(errors[..., 1].sum() / pixels / 255) if pixels else None


def ssim_map(prediction: np.ndarray, next_state: np.ndarray) -> np.ndarray:
    """Return the structural similarity around each pixel (Wang et al. 2004), of grey pictures.

    From ``(N, H, W, 3)`` uint8, both sides longer than 5 pixels, to ``(N, H, W)`` float32 in
    [-1, 1]; the borders are mirrored.
    """
    x, y = (torch.from_numpy(part).float().mean(-1)[:, None] for part in (prediction, next_state))
    mx, my, xx, yy, xy = (_smooth(part) for part in (x, y, x * x, y * y, x * y))
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


def picture_metrics(
    prediction: np.ndarray, next_state: np.ndarray, state: np.ndarray
) -> MetricValues:
    """Return squared error and similarity on the pixels that changed, ``(N, 2)`` pairs each.

    The arguments are those of :func:`frame_errors`; a clip is compared frame by frame.
    """
    changed = changed_pixels(next_state, state)  # (..., H, W)
    square = np.square(prediction.astype(np.float32) - next_state).mean(-1)
    frames = (x.reshape(-1, *x.shape[-3:]) for x in (prediction, next_state))
    alike = ssim_map(*frames).reshape(changed.shape)

    def sums(pixels: np.ndarray) -> np.ndarray:
        return pixels.reshape(len(prediction), -1).astype(np.float64).sum(1)

    pixels = {PSNR: square * changed, SSIM: alike * changed}
    return {name: np.stack([sums(part), sums(changed)], 1) for name, part in pixels.items()}


def loudness(audio: np.ndarray) -> np.ndarray:
    """Return the level of each time step in decibels, ``(N,)``, of ``(N, samples, channels)``."""
    return 10 * np.log10(np.square(audio, dtype=np.float32).mean((1, 2)) + 1e-8)


def balance(audio: np.ndarray) -> np.ndarray:
    """Return where sound comes from, ``(N,)`` in [-1 left, 1 right], of ``(N, samples, 2)``."""
    left, right = np.square(audio, dtype=np.float32).mean(1).T
    return (right - left) / (right + left + 1e-8)


def onsets(level: np.ndarray, previous: np.ndarray, loudest: float) -> np.ndarray:
    """Return where a sound begins, ``(N,)`` bool.

    A sound begins where its level ``(N,)`` is at least 6 dB over that of the time step before, and
    within 12 dB of the loudest recorded one, all in decibels. In the Doom rooms these are the shots
    (F1 .96 against the ammunition).
    """
    return (level - previous >= 6) & (level >= loudest - 12)


def sound_metrics(spec: AudioSpec) -> ObservationMetrics:
    """Return the function that gives the error of log-mel energies in dB of sounds of ``spec``."""
    spectrum = Spectrum(spec, FRAMES, BANDS)

    def metrics(prediction: np.ndarray, next_state: np.ndarray, state: np.ndarray) -> MetricValues:
        guess, real = (spectrum.features(torch.from_numpy(x)) for x in (prediction, next_state))
        error = (guess - real).abs().flatten(1).mean(1).numpy() * DECIBELS
        return {"log-mel error (dB)": np.stack([error, np.ones_like(error)], 1)}

    return metrics


def word_metrics(prediction: np.ndarray, next_state: np.ndarray, state: np.ndarray) -> MetricValues:
    """Return the right words among all that are there or predicted, and among those that changed.

    The arguments are ids ``(N, slots)``; 0 is an empty slot.
    """
    right, changed = prediction == next_state, next_state != state
    words = (next_state != 0) | (prediction != 0)
    return {
        name: np.stack([(right & among).sum(1), among.sum(1)], 1).astype(np.float64)
        for name, among in (("words right", words), ("words right, changed", changed))
    }


def number_metrics(spec: VectorSpec) -> ObservationMetrics:
    """Return the function that gives the error of numbers of ``spec``, as a share of the range."""
    span = np.subtract(spec.high, spec.low)

    def metrics(prediction: np.ndarray, next_state: np.ndarray, state: np.ndarray) -> MetricValues:
        error = np.abs(prediction - next_state) / span  # (N, n)
        return {"number error": np.stack([error.sum(1), np.full(len(error), len(span))], 1)}

    return metrics


def observation_metrics(spec: ModalitySpec) -> ObservationMetrics:
    """Return the function that compares observations of ``spec``; its metrics are pairs."""
    if isinstance(spec, ImageSpec | VideoSpec):
        return picture_metrics
    if isinstance(spec, AudioSpec):
        return sound_metrics(spec)
    return word_metrics if isinstance(spec, TextSpec) else number_metrics(spec)


def average(name: str, pairs: np.ndarray) -> float | None:
    """Return the mean of ``pairs`` ``(N, 2)`` of the metric ``name``; None without anything."""
    total, count = pairs.sum(0)
    if not count:
        return None
    return psnr(float(total / count)) if name == PSNR else float(total / count)


def cosine(prediction: Tensor, next_state: Tensor) -> Tensor:
    """Return the cosine of each row of two latents, ``(..., F)`` to ``(...)``.

    A zero vector has no direction: two of them count as equal (1), one of them as unlike (0).
    """
    lengths = [part.norm(dim=-1) for part in (prediction, next_state)]
    nothing = [length < 1e-6 for length in lengths]
    product = (prediction * next_state).sum(-1) / (lengths[0] * lengths[1]).clamp(min=1e-12)
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


def retrieval(prediction: Tensor, candidates: Tensor, present: Tensor) -> Tensor:
    """Return how often the true next state is nearest to the prediction, ``(N,)`` in [0, 1].

    Equals share the hit. Of the candidates ``(N, K, F)`` the true one comes first; ``present``
    ``(N, K)`` bool says which count.
    """
    near = cosine(prediction[:, None], candidates).masked_fill(~present, -2.0)  # (N, K)
    best = near >= near.max(1, keepdim=True).values - 1e-6
    return best[:, 0].float() / best.sum(1)
