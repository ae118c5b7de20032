"""Observations that a model predicts, decoded, beside copying the state and the codec alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.modalities import Modality

from ..results_io import Result
from .metrics import MetricValues, ObservationMetrics

CHUNK = 256
"""Rows that are decoded at once."""

Item = TypeVar("Item")
Other = TypeVar("Other")


@dataclass(frozen=True)
class Score(Result):
    """One metric over rows; None where there was nothing to measure."""

    model: float | None
    copy: float | None  # of the prediction that nothing changes
    codec: float | None = None  # of the true next states, encoded and decoded: the best there is
    rows: int | None = None  # or events


@dataclass(frozen=True)
class Compared(Generic[Item]):
    """The same of model, copy and codec, see :class:`Score`: as ``(N, ...)`` of a metric."""

    model: Item
    copy: Item
    codec: Item

    def map(self, function: Callable[[Item], Other]) -> Compared[Other]:
        """Return ``function`` of each."""
        return Compared(function(self.model), function(self.copy), function(self.codec))

    def reduce(self, function: Callable[[Item], float | None], rows: int) -> Score:
        """Return ``function`` of each as the score of ``rows``."""
        return Score(function(self.model), function(self.copy), function(self.codec), rows)


class ObservationScorer:
    """Scores predictions of one modality for ``N`` pairs of state and next state.

    Args:
        model: whose codec decodes.
        modality: of the observations.
        observations: ``(M, *shape)``, recorded.
        state: ``(N,)`` int64, rows of ``observations`` that were acted in.
        next_state: ``(N,)`` int64, rows that came of it.
        codes: ``(N, C, G)`` of the next states.
        metrics: from predictions, next states and states to ``(N, ...)`` per name.
        still: who copies a video lets its last frame stand still; else the whole clip comes again.
    """

    def __init__(
        self,
        model: WorldGPT,
        modality: Modality,
        observations: np.ndarray,
        state: np.ndarray,
        next_state: np.ndarray,
        codes: Tensor,
        metrics: ObservationMetrics,
        still: bool = False,
    ) -> None:
        """See the class."""
        self.model, self.modality, self.metrics, self.still = model, modality, metrics, still
        self.observations, self.state, self.next_state = observations, state, next_state
        every = np.arange(len(state))
        self.copy, self.codec = self._score(every, None), self._score(every, codes)

    def compare(
        self, codes: Tensor, rows: np.ndarray | None = None
    ) -> dict[str, Compared[np.ndarray]]:
        """Return the metrics of predicted ``codes`` ``(n, C, G)`` for ``rows`` ``(n,)`` or all."""
        rows = np.arange(len(self.state)) if rows is None else rows
        return {
            name: Compared(values, self.copy[name][rows], self.codec[name][rows])
            for name, values in self._score(rows, codes).items()
        }

    def _score(self, rows: np.ndarray, codes: Tensor | None) -> MetricValues:
        """Return the metrics of ``codes``, or of copying, in chunks."""
        parts = []
        for first in range(0, len(rows), CHUNK):
            chunk = rows[first : first + CHUNK]
            next_state = self.observations[self.next_state[chunk]]
            state = self.observations[self.state[chunk]]
            if self.still and self.modality is Modality.VIDEO:
                state = np.repeat(state[:, -1:], state.shape[1], 1)  # (n, frames, H, W, 3)
            guess = state if codes is None else self._decode(codes[first : first + CHUNK])
            parts.append(self.metrics(guess, next_state, state))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _decode(self, codes: Tensor) -> np.ndarray:
        whole = codes if codes.is_floating_point() else codes.long()
        decoded = self.model.decode({self.modality: whole.to(self.model.device)})
        return decoded[self.modality].cpu().numpy()
