"""Distributions over sequences of actions: drawn by keys, fitted to the better candidates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import ActionSpec
from worldgpt_env.randomness import Keys, Stream, draw_keys, uniforms

NARROWEST = 0.05
"""The least spread of a Gaussian, as a share of the range of the action."""


class Sequences(ABC):
    """How likely each sequence of ``H`` actions is held to be the best one."""

    @abstractmethod
    def draw(self, keys: Keys) -> np.ndarray:
        """Return a sequence per key ``(C,)``: ``(C, H)`` or ``(C, H, parts)``.

        A key draws the same sequence whatever the other keys are.
        """

    @abstractmethod
    def fitted(self, sequences: np.ndarray, weights: np.ndarray, kept: float) -> Sequences:
        """Return a distribution moved towards ``sequences`` ``(C, H, ...)``.

        Args:
            sequences: the candidates.
            weights: ``(C,)``, which sum to 1.
            kept: the share of the present distribution that stays.
        """

    @abstractmethod
    def around(self, plan: np.ndarray, trust: float) -> Sequences:
        """Return a distribution that follows ``plan`` ``(H, ...)`` with the share ``trust``."""

    @abstractmethod
    def middle(self) -> np.ndarray:
        """Return the likeliest action of each moment, ``(H,)`` or ``(H, parts)``."""


@dataclass(frozen=True)
class CategoricalSequences(Sequences):
    """Actions that are chosen from some values, each part and each moment for itself.

    Attributes:
        probabilities: ``(H, parts, values)`` float64, which sum to 1 over the values.
        possible: ``(parts, values)`` float64, evenly over the values that a part can take.
        flat: an action is a number, not an array of parts.
        even: the share that stays evenly spread, so that nothing is ever ruled out.
    """

    probabilities: np.ndarray
    possible: np.ndarray
    flat: bool
    even: float = 0.1

    @classmethod
    def evenly(cls, spec: ActionSpec, horizon: int) -> CategoricalSequences:
        """Return the even distribution; the unknown word of a text action is never said."""
        text = spec.kind == "text"
        sizes = (len(spec.names),) * spec.sizes[0] if text else spec.sizes
        possible = np.zeros((len(sizes), max(sizes)))  # (parts, values)
        for part, size in enumerate(sizes):
            possible[part, :size] = 1.0
        if text:
            possible[:, 1] = 0.0
        possible /= possible.sum(-1, keepdims=True)
        spread = np.repeat(possible[None], horizon, 0)  # (H, parts, values)
        return cls(spread, possible, spec.kind == "discrete")

    def draw(self, keys: Keys) -> np.ndarray:
        """See :class:`Sequences`; int64."""
        horizon, parts, _ = self.probabilities.shape
        chance = _many_uniforms(keys, horizon * parts).reshape(-1, horizon, parts)
        reached = self.probabilities.cumsum(-1)  # (H, parts, values)
        reached = reached / reached[..., -1:]
        chosen = (chance[..., None] >= reached).sum(-1)  # (C, H, parts)
        return chosen[..., 0] if self.flat else chosen

    def fitted(self, sequences: np.ndarray, weights: np.ndarray, kept: float) -> Sequences:
        """See :class:`Sequences`."""
        fresh = np.tensordot(weights, self._one_hot(sequences), 1)  # (H, parts, values)
        return self._blended(kept * self.probabilities + (1 - kept) * fresh)

    def around(self, plan: np.ndarray, trust: float) -> Sequences:
        """See :class:`Sequences`."""
        followed = self._one_hot(plan[None])[0]
        return self._blended(trust * followed + (1 - trust) * self.possible)

    def middle(self) -> np.ndarray:
        """See :class:`Sequences`."""
        likeliest = self.probabilities.argmax(-1)  # (H, parts)
        return likeliest[:, 0] if self.flat else likeliest

    def _one_hot(self, sequences: np.ndarray) -> np.ndarray:
        """Return ``(C, H, parts, values)`` of ``(C, H)`` or ``(C, H, parts)``."""
        parted = sequences[..., None] if self.flat else sequences
        return np.eye(self.possible.shape[-1])[parted]

    def _blended(self, probabilities: np.ndarray) -> Sequences:
        mixed = (1 - self.even) * probabilities + self.even * self.possible
        return replace(self, probabilities=mixed)


@dataclass(frozen=True)
class GaussianSequences(Sequences):
    """Actions that are vectors of numbers, each number and each moment for itself.

    Numbers drawn beyond the bounds are put on them: the ends are often the best actions.

    Attributes:
        mean: ``(H, n)`` float64.
        spread: ``(H, n)`` float64, standard deviations.
        low: ``(n,)`` float32.
        high: ``(n,)`` float32.
        narrowing: the spread follows the candidates too, not the mean alone.
    """

    mean: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray
    narrowing: bool = True

    @classmethod
    def evenly(cls, spec: ActionSpec, horizon: int, narrowing: bool = True) -> GaussianSequences:
        """Return a wide distribution around the middle of the bounds."""
        low, high = np.array(spec.low, np.float32), np.array(spec.high, np.float32)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ConfigurationError(
                f"the actions have the bounds {spec.low} and {spec.high}; "
                "a planner needs finite ones."
            )
        shape = (horizon, len(low))
        mean = np.broadcast_to((low.astype(float) + high) / 2, shape).copy()
        spread = np.broadcast_to((high.astype(float) - low) / 2, shape).copy()
        return cls(mean, spread, low, high, narrowing)

    def draw(self, keys: Keys) -> np.ndarray:
        """See :class:`Sequences`; float32."""
        numbers = self.mean.size
        first, second = np.split(_many_uniforms(keys, 2 * numbers), 2, -1)  # (C, H * n) each
        normal = np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * math.pi * second)
        drawn = self.mean + self.spread * normal.reshape(-1, *self.mean.shape)
        return self._inside(drawn)

    def fitted(self, sequences: np.ndarray, weights: np.ndarray, kept: float) -> Sequences:
        """See :class:`Sequences`."""
        mean = np.tensordot(weights, sequences.astype(np.float64), 1)  # (H, n)
        spread = self.spread
        if self.narrowing:
            variance = np.tensordot(weights, (sequences - mean) ** 2, 1)
            spread = kept * self.spread + (1 - kept) * np.sqrt(variance)
            spread = np.maximum(spread, NARROWEST * (self.high - self.low))
        return replace(self, mean=kept * self.mean + (1 - kept) * mean, spread=spread)

    def around(self, plan: np.ndarray, trust: float) -> Sequences:
        """See :class:`Sequences`."""
        return replace(self, mean=trust * plan + (1 - trust) * self.mean)

    def middle(self) -> np.ndarray:
        """See :class:`Sequences`."""
        return self._inside(self.mean)

    def _inside(self, numbers: np.ndarray) -> np.ndarray:
        return np.clip(numbers.astype(np.float32), self.low, self.high)


def sequences_of(spec: ActionSpec, horizon: int, narrowing: bool = True) -> Sequences:
    """Return the widest distribution over ``horizon`` actions of ``spec``."""
    if spec.kind == "box":
        return GaussianSequences.evenly(spec, horizon, narrowing)
    return CategoricalSequences.evenly(spec, horizon)


def _many_uniforms(keys: Keys, count: int) -> np.ndarray:
    """Return ``(C, count)`` numbers in [0, 1), ``count`` per key."""
    numbers = np.arange(count)[None]
    return uniforms(draw_keys(keys[:, None], numbers, np.zeros_like(numbers), Stream.PLANNING))
