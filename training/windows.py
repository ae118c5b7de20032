"""Windows of encoded transitions, with the rare events (rewards, ends) oversampled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.batch import Batch, blur
from worldgpt_env.model.cognition.fingerprints import state_fingerprints
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.states import State
from worldgpt_env.model.transitions import TransitionStore

from .recording import Episode, Recording


class WindowSampler:
    """Draws batches of windows; the same update number always draws the same windows.

    Args:
        data: the encoded recording.
        length: transitions of a window, T.
        rows: windows of a batch, B.
        event_share: share of windows that must hold an event: an end, a reward that stands out, or
            words that change.
        seed: of all draws.
        rarity: how much more often rare states are drawn: a state met n times has weight
            ``n ** -rarity`` each time.
        levels: of each modality's digits, needed to blur.
        blurred: share of the digits that the model sees at random, see :func:`blur`.
    """

    def __init__(
        self,
        data: TransitionStore,
        length: int,
        rows: int,
        event_share: float,
        seed: int,
        rarity: float = 0.0,
        levels: Mapping[Modality, int] | None = None,
        blurred: float = 0.0,
    ) -> None:
        """See the class."""
        if not len(data.steps):
            raise ConfigurationError("the recording holds no episode; collect one first.")
        self.data, self.length, self.rows, self.seed = data, length, rows, seed
        self.levels, self.blurred = levels or {}, blurred
        self.acted = data.begins.numpy()
        self.rare_sums = _sums(self._rarity(rarity))
        self.event, event_weight = self._events()
        self.event_sums = _sums(event_weight)
        self.events = int(event_share * rows) if len(self.event) else 0

    def _rarity(self, exponent: float) -> np.ndarray:
        """Return how often to draw each moment that has a transition, ``(A,)``, summing to 1."""
        if exponent == 0:
            return np.full(len(self.acted), 1 / len(self.acted))
        prints = state_fingerprints(self.data, self.data.begins).numpy()
        _, which, counts = np.unique(prints, return_inverse=True, return_counts=True)
        weight = counts[which].astype(np.float64) ** -exponent
        return weight / weight.sum()

    def _events(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the moments of events and how often to draw each: rare kinds more often."""
        reward, ended = self.data.reward.nan_to_num().numpy(), self.data.terminated.numpy()
        spread = np.ptp(reward[self.acted]) or 1.0
        unusual = np.abs(reward - np.median(reward[self.acted])) > 0.02 * spread
        told = np.zeros(len(reward))
        if Modality.TEXT in self.data.state:
            words = self.data.state[Modality.TEXT].flatten(1).numpy()
            told[:-1] = (words[1:] != words[:-1]).any(1)
        moments = self.acted[(unusual | (ended > 0) | (told > 0))[self.acted]]
        kind = np.stack([np.round(reward[moments] / spread, 2), ended[moments], told[moments]], 1)
        _, which, counts = np.unique(kind, axis=0, return_inverse=True, return_counts=True)
        weight = counts[which.reshape(-1)] ** -0.5
        return moments, weight / max(weight.sum(), 1e-9)

    def batch(self, update: int) -> Batch:
        """Return the windows of ``update``, ``(B, T)``."""
        batch = self.data.windows(*self.moments(update))
        if not self.blurred:
            return batch
        return dataclasses.replace(batch, seen=self._blur(batch.state, update))

    def moments(self, update: int) -> tuple[Tensor, Tensor]:
        """Return the moments of the windows of ``update``, ``(B, T + 1)``, and which are valid."""
        generator = np.random.default_rng([self.seed, update])
        anywhere = self.acted[_draw(generator, self.rare_sums, self.rows - self.events)]
        inside = anywhere.astype(np.int64)  # (B,) a moment in each window
        if self.events:
            event = self.event[_draw(generator, self.event_sums, self.events)]
            inside = np.concatenate([inside, event]).astype(np.int64)
        episode = np.searchsorted(self.data.first, inside, side="right") - 1
        begin = inside - generator.integers(0, self.length, self.rows)
        end = self.data.first[episode] + self.data.steps[episode]  # the last moment, (B,)
        begin = np.maximum(np.minimum(begin, end - self.length), self.data.first[episode])
        moments = begin[:, None] + np.arange(self.length + 1)  # (B, T + 1)
        valid = torch.from_numpy((moments[:, :-1] < end[:, None]).astype(np.float32))
        index = torch.from_numpy(np.minimum(moments, end[:, None]))
        return index, valid

    def _blur(self, state: State, update: int) -> State:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + update)
        return {
            m: x if x.is_floating_point() else blur(x, self.levels[m], self.blurred, generator)
            for m, x in state.items()
        }


def _sums(weight: np.ndarray) -> np.ndarray:
    """Return the running sums of ``weight``, made once: a draw then costs no pass over all."""
    sums = np.cumsum(weight)
    return sums / sums[-1] if len(sums) else sums


def _draw(generator: np.random.Generator, sums: np.ndarray, count: int) -> np.ndarray:
    """Draw ``count`` places by their weights, the same ones as ``generator.choice(p=...)``."""
    return sums.searchsorted(generator.random(count), side="right")


def described(batch: Batch) -> Batch:
    """Return the first moments of ``batch`` with themselves as what follows the empty action.

    A model that learns them completes a moment from its description in words (WorldGPT §6.2).
    """
    twice = [0, 0]
    return Batch(
        {m: x[:, twice] for m, x in batch.state.items()},
        torch.zeros_like(batch.action[:, :1]),
        torch.full_like(batch.reward[:, :1], torch.nan),
        torch.zeros_like(batch.terminated[:, :1]),
        batch.valid[:, :1],
        present={m: there[:, twice] for m, there in batch.present.items()},
    )


def sample_moments(
    recording: Recording, modality: Modality, update: int, rows: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return ``rows`` random observations of ``modality`` and those one step earlier, raw.

    Raises:
        ConfigurationError: if no two moments in a row have the modality.
    """
    generator = np.random.default_rng([seed, update])
    both = [steps_with(episode, modality) for episode in recording.episodes]
    counts = np.array([len(steps) for steps in both])
    if not counts.sum():
        raise ConfigurationError(f"no two moments in a row have the modality {modality!s}.")
    chosen = generator.choice(len(counts), rows, p=counts / counts.sum())
    drawn = generator.integers(0, counts[chosen])
    steps = [int(both[e][n]) for e, n in zip(chosen, drawn, strict=True)]
    now, before = (
        np.stack(
            [
                recording.episodes[e].observations[modality][step + shift]
                for e, step in zip(chosen, steps, strict=True)
            ]
        )
        for shift in (1, 0)
    )
    return torch.from_numpy(now), torch.from_numpy(before)


def has(recording: Recording, modality: Modality) -> bool:
    """Return whether two moments in a row have ``modality`` somewhere."""
    return any(len(steps_with(episode, modality)) for episode in recording.episodes)


def steps_with(episode: Episode, modality: Modality) -> np.ndarray:
    """Return the steps of ``episode`` before and after which ``modality`` is there."""
    there = episode.present.get(modality)
    if there is None:
        return np.arange(len(episode))
    return np.flatnonzero(there[:-1] & there[1:])
