"""Cutting: where a long recording changes, by its shots, its motion and its sound."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from worldgpt_env.model.errors import ConfigurationError


class Change(StrEnum):
    """What changes at a boundary; the order says which one counts where two meet."""

    SHOT = "shot"
    SOUND = "sound"
    MOTION = "motion"


@dataclass(frozen=True)
class Boundary:
    """A moment at which a recording changes.

    Attributes:
        second: since the beginning.
        change: what changes there.
        strength: 1 at the threshold of that change, more where it is clearer.
    """

    second: float
    change: Change
    strength: float


@dataclass(frozen=True)
class CutConfig:
    """What counts as a change.

    Attributes:
        changes: the kinds to look for.
        shot: smallest mean difference of two pictures, in [0, 1], that may be a new shot.
        shot_ratio: how many times the differences around it a new shot must be.
        motion: smallest change of the logarithm of the motion.
        sound: smallest change of the sound in decibels, root mean square over its bands.
        seconds: how far each side of a moment is looked at for motion and sound.
        gap: boundaries nearer to each other than this many seconds are one.
    """

    changes: tuple[Change, ...] = tuple(Change)
    shot: float = 0.05
    shot_ratio: float = 4.0
    motion: float = 1.0
    sound: float = 9.0
    seconds: float = 0.8
    gap: float = 0.5

    def __post_init__(self) -> None:
        """Refuse kinds that do not exist and thresholds that everything passes."""
        unknown = {str(change) for change in self.changes} - {str(change) for change in Change}
        if unknown or not self.changes:
            raise ConfigurationError(
                f"changes are {[str(c) for c in self.changes]}; choose from {', '.join(Change)}."
            )
        object.__setattr__(self, "changes", tuple(Change(change) for change in self.changes))
        for name in ("shot", "shot_ratio", "motion", "sound", "seconds", "gap"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; give more than 0.")


@dataclass(frozen=True)
class Signals:
    """A recording in small: what is looked at to cut it; ``n`` moments, evenly spaced.

    Attributes:
        rate: moments a second.
        pictures: ``(n, h, w, 3)`` float32 in [0, 1], thumbnails; or None without pictures.
        sounds: ``(n, bands)`` float32, decibels of the bands of a mel scale; or None.
    """

    rate: float
    pictures: np.ndarray | None
    sounds: np.ndarray | None


def find_boundaries(signals: Signals, config: CutConfig | None = None) -> list[Boundary]:
    """Return where ``signals`` change, in order, at least ``config.gap`` seconds apart.

    A new shot is a difference of two pictures that stands out of those around it. Motion and sound
    change where the mean over the seconds before differs from the mean over the seconds after, and
    more so than at the moments around.
    """
    config = config or CutConfig()
    reach = max(round(config.seconds * signals.rate), 1)
    strengths: dict[Change, np.ndarray] = {}
    if signals.pictures is not None and len(signals.pictures) > 2:
        difference = _differences(signals.pictures)  # (n,)
        strengths[Change.SHOT] = _shots(difference, reach, config)
        motion = np.log(_without(difference, strengths[Change.SHOT] >= 1) + 1e-3)
        strengths[Change.MOTION] = _contrast(motion[:, None], reach) / config.motion
    if signals.sounds is not None and len(signals.sounds) > 2:
        strengths[Change.SOUND] = _contrast(signals.sounds, reach) / config.sound
    found = [
        Boundary(float(moment / signals.rate), change, float(strengths[change][moment]))
        for change in Change
        if change in config.changes and change in strengths
        for moment in _peaks(strengths[change], reach)
    ]
    return _apart(found, config.gap)


def _differences(pictures: np.ndarray) -> np.ndarray:
    """Return the mean difference of each picture to the one before, ``(n,)``; the first is 0."""
    steps = np.abs(np.diff(pictures, axis=0)).mean((1, 2, 3))  # (n - 1,)
    return np.concatenate([[0.0], steps])


def _shots(difference: np.ndarray, reach: int, config: CutConfig) -> np.ndarray:
    """Return how clearly each moment begins a new shot, ``(n,)``: 1 at the threshold."""
    around = np.pad(difference, reach, mode="reflect" if len(difference) > reach else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(around, 2 * reach + 1)  # (n, 2*reach + 1)
    usual = np.median(windows, axis=1)
    return np.minimum(difference / config.shot, difference / (config.shot_ratio * usual + 1e-6))


def _without(difference: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return ``difference`` with the value before in place of each cut: a cut is no motion."""
    kept = np.where(cuts, 0, np.arange(len(cuts)))
    return difference[np.maximum.accumulate(kept)]


def _contrast(values: np.ndarray, reach: int) -> np.ndarray:
    """Return how far the mean after each moment is from the mean before, ``(n,)``.

    ``values`` are ``(n, d)``; the distance is the root mean square over ``d``. A moment belongs to
    what comes after it. The first and last have nothing to compare and are 0.
    """
    count = len(values)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    moments = np.arange(1, count)
    first, last = np.maximum(moments - reach, 0), np.minimum(moments + reach, count)
    before = (sums[moments] - sums[first]) / (moments - first)[:, None]
    after = (sums[last] - sums[moments]) / (last - moments)[:, None]
    distance = np.sqrt(((after - before) ** 2).mean(1))
    short = np.minimum(moments - first, last - moments) < max(reach // 2, 1)
    return np.concatenate([[0.0], np.where(short, 0.0, distance)])


def _peaks(strength: np.ndarray, reach: int) -> np.ndarray:
    """Return the moments that pass the threshold and are the strongest within ``reach``."""
    padded = np.pad(strength, reach, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    highest = windows.argmax(1) == reach  # of equals, the first
    return np.flatnonzero(highest & (strength >= 1))


def _apart(found: list[Boundary], gap: float) -> list[Boundary]:
    """Return boundaries ``gap`` seconds apart or more; of two near ones, the kind that counts."""
    rank = {change: place for place, change in enumerate(Change)}
    kept: list[Boundary] = []
    for boundary in sorted(found, key=lambda b: (rank[b.change], -b.strength)):
        if all(abs(boundary.second - other.second) >= gap for other in kept):
            kept.append(boundary)
    return sorted(kept, key=lambda b: b.second)
