"""The counters of N imagined episodes: seed, episode, step and whether each has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .errors import ConfigurationError, InvalidSeedError
from .randomness import Keys, Stream, draw_keys, seed_keys


@dataclass
class Rows:
    """One number per row; with the states and the model's memory, all that a future depends on.

    Attributes:
        seeds: ``(N,)`` uint64, the mixed seed of the row.
        episodes: ``(N,)`` int64, episodes since that seed was set; -1 in a row never reset.
        steps: ``(N,)`` int64, steps of the episode.
        ended: ``(N,)`` bool, whether the episode has ended.
        start_index: ``(N,)`` int64, the start state of the episode; -1 if it is none of them.
        match: ``(N,)`` float64, how well it fits the words that were asked for; -1 if none were.
    """

    seeds: Keys
    episodes: np.ndarray
    steps: np.ndarray
    ended: np.ndarray
    start_index: np.ndarray
    match: np.ndarray

    @classmethod
    def new(cls, count: int) -> Rows:
        """Return ``count`` rows that were never reset."""
        never = np.full(count, -1, np.int64)
        steps, ended = np.zeros(count, np.int64), np.zeros(count, bool)
        unasked = np.full(count, -1.0)
        return cls(np.zeros(count, np.uint64), never, steps, ended, never.copy(), unasked)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.seeds)

    def chosen(self, rows: np.ndarray | Sequence[int] | None) -> np.ndarray:
        """Return row numbers ``(B,)`` int64 of numbers, of a bool mask, or of all rows."""
        numbers = np.arange(len(self)) if rows is None else np.asarray(rows)
        if numbers.dtype == bool and numbers.shape == (len(self),):
            numbers = np.flatnonzero(numbers)
        fits = numbers.ndim == 1 and numbers.dtype.kind in "iu" and len(numbers) > 0
        if not fits or numbers.min() < 0 or numbers.max() >= len(self):
            raise ConfigurationError(
                f"rows {rows!r:.80} are not rows; pass numbers from 0 to {len(self) - 1}, "
                f"or a bool mask ({len(self)},), at least one row."
            )
        return numbers.astype(np.int64)

    def next_episodes(
        self, chosen: np.ndarray, seeds: Sequence[int | None] | None
    ) -> tuple[Keys, np.ndarray]:
        """Return the seeds and episode numbers ``(B,)`` that new episodes of ``chosen`` will have.

        A row with a seed starts to count anew; one without goes on, or draws a seed if it never had
        one.
        """
        given = [None] * len(chosen) if seeds is None else list(seeds)
        if len(given) != len(chosen):
            raise InvalidSeedError(f"there are {len(given)} seeds for {len(chosen)} rows.")
        keys, episodes = self.seeds[chosen], self.episodes[chosen] + 1  # copies
        for place, seed in enumerate(given):
            if seed is not None:
                keys[place], episodes[place] = seed_keys(checked_seeds([seed]))[0], 0
            elif episodes[place] == 0:
                keys[place] = np.random.SeedSequence().generate_state(1, np.uint64)[0]
        return keys, episodes

    def begin(
        self,
        chosen: np.ndarray,
        keys: Keys,
        episodes: np.ndarray,
        index: np.ndarray,
        match: np.ndarray,
    ) -> None:
        """Start the episodes that :meth:`next_episodes` announced, from start states ``index``."""
        self.seeds[chosen], self.episodes[chosen] = keys, episodes
        self.steps[chosen], self.ended[chosen] = 0, False
        self.start_index[chosen], self.match[chosen] = index, match

    def draw(self, stream: Stream) -> Keys:
        """Return the random keys of this step, ``(N,)``."""
        return draw_keys(self.seeds, self.episodes, self.steps, stream)

    def select(self, chosen: np.ndarray, seeds: Sequence[int] | None = None) -> Rows:
        """Return copies of the ``chosen`` rows, with new ``seeds`` if given."""
        if seeds is not None and len(seeds) != len(chosen):
            raise InvalidSeedError(f"there are {len(seeds)} seeds for {len(chosen)} rows.")
        parts = {name: part[chosen] for name, part in vars(self).items()}
        if seeds is not None:
            parts["seeds"] = seed_keys(checked_seeds(seeds))
        return Rows(**parts)

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the counters by name, as copies."""
        parts = vars(self) | {"seeds": self.seeds.view(np.int64)}
        return {name: torch.from_numpy(part.copy()) for name, part in parts.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Rows:
        """Return the rows written by :meth:`to_tensors`."""
        parts = {name: part.cpu().numpy().copy() for name, part in tensors.items()}
        return cls(**parts | {"seeds": parts["seeds"].view(np.uint64)})


def checked_seeds(seeds: Sequence[int]) -> list[int]:
    """Return whole numbers from 0; anything else is an :class:`InvalidSeedError`."""
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InvalidSeedError(
                f"seed {seed!r:.80} is not understood; pass a whole number from 0."
            )
    return [int(seed) for seed in seeds]
