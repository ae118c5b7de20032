"""Figures that compare what was predicted with what was recorded; plain arrays in, floats out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CHANGED_PIXEL = 8
"""A pixel changed when any of its colours moved by more than this, of 255."""


def share(hits: np.ndarray, among: np.ndarray | None = None) -> float | None:
    """Return the share of True in ``hits`` (``among`` selects some); None if none is selected."""
    chosen = hits if among is None else hits[among]
    return float(chosen.mean()) if chosen.size else None


def f1(predicted: np.ndarray, real: np.ndarray) -> float | None:
    """Return the F1 of predicted events, both ``(N,)`` bool; None if there is none in either."""
    hits, said, happened = (int(x.sum()) for x in (predicted & real, predicted, real))
    return 2 * hits / (said + happened) if said + happened else None


@dataclass(frozen=True)
class RewardScore:
    """How well rewards other than the commonest were announced.

    Attributes:
        f1: None if there was none and none was announced.
        events: how many there were.
    """

    f1: float | None
    events: int


def reward_score(predicted: np.ndarray, real: np.ndarray) -> RewardScore:
    """Return the F1 of rewards that are not of the commonest kind.

    Recorded values nearer to each other than 2 % of their range are one kind. A prediction is of
    the kind of the recorded value next to it, and hits when the recorded reward is of that kind.

    Args:
        predicted: ``(N,)`` float.
        real: ``(N,)`` float.
    """
    values = np.unique(real)
    kinds = np.cumsum(np.diff(values, prepend=values[0]) > 0.02 * np.ptp(values))
    true, said = (kinds[np.abs(r[:, None] - values).argmin(1)] for r in (real, predicted))  # (N,)
    common = np.bincount(true).argmax()
    hits = int(((said == true) & (true != common)).sum())
    events, announced = int((true != common).sum()), int((said != common).sum())
    total = events + announced
    return RewardScore(2 * hits / total if total else None, events)


def psnr(square_errors: np.ndarray) -> float:
    """Return the signal-to-noise ratio in dB over all frames of :func:`image_errors`."""
    error = float(square_errors.mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def image_errors(predicted: np.ndarray, real: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return three numbers per frame, ``(N, 3)`` float64, all colours in [0, 255].

    They are the mean squared error of the frame, the sum of the absolute errors on the pixels that
    changed, and the number of these pixels.

    Args:
        predicted: ``(N, H, W, 3)`` uint8.
        real: what came, likewise.
        before: what was there before, likewise; where it differs from ``real`` is the foreground.
    """
    moved = np.abs(real.astype(np.int16) - before).max(-1) > CHANGED_PIXEL  # (N, H, W)
    error = predicted.astype(np.float32) - real  # (N, H, W, 3)
    square = np.square(error).mean((1, 2, 3), dtype=np.float64)
    return np.stack([square, (np.abs(error).mean(-1) * moved).sum((1, 2)), moved.sum((1, 2))], 1)


def video_errors(predicted: np.ndarray, real: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the numbers of :func:`image_errors` for every frame, ``(N, frames, 3)`` float64.

    Args:
        predicted: ``(N, frames, H, W, 3)`` uint8.
        real: what came, likewise.
        before: what was there before, likewise.
    """
    frames = (clips.reshape(-1, *clips.shape[2:]) for clips in (predicted, real, before))
    return image_errors(*frames).reshape(*real.shape[:2], 3)


def foreground_error(errors: np.ndarray) -> float | None:
    """Return the mean error, of 1, on the changed pixels of :func:`image_errors`; None without."""
    pixels = errors[..., 2].sum()
    return float(errors[..., 1].sum() / pixels / 255) if pixels else None


def loudness(audio: np.ndarray) -> np.ndarray:
    """Return the level of each moment in decibels, ``(N,)``, of ``(N, samples, channels)``."""
    return 10 * np.log10(np.square(audio, dtype=np.float32).mean((1, 2)) + 1e-8)


def balance(audio: np.ndarray) -> np.ndarray:
    """Return where sound comes from, ``(N,)`` in [-1 left, 1 right], of ``(N, samples, 2)``."""
    left, right = np.square(audio, dtype=np.float32).mean(1).T
    return (right - left) / (right + left + 1e-8)


def onsets(level: np.ndarray, before: np.ndarray, loudest: float) -> np.ndarray:
    """Return where a sound begins, ``(N,)`` bool.

    A sound begins where it is at least 6 dB louder than the moment before, and within 12 dB of the
    loudest recorded moment. In the Doom rooms these are the shots (F1 .96 against the ammunition).

    Args:
        level: ``(N,)`` decibels of the moments in question.
        before: ``(N,)`` decibels of the moments before them.
        loudest: decibels of the loudest recorded moment.
    """
    return (level - before >= 6) & (level >= loudest - 12)


def ranking(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Return how often a positive has a higher ``score`` than a negative (the area under ROC).

    0.5 is chance, 1 perfect; equal scores count half; None without positives or negatives.

    Args:
        score: ``(N,)`` float.
        positive: ``(N,)`` bool.
    """
    count = int(positive.sum())
    if not 0 < count < len(positive):
        return None
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]  # (N,) from 1, means over equal scores
    return float((rank[positive].mean() - (count + 1) / 2) / (len(positive) - count))
