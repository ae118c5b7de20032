"""Windows of encoded transitions, with the rare events (rewards, ends) oversampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.batch import Batch, Presence, State, blur
from worldgpt_env.model.codecs import Codec
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.worldgpt import WorldGPT

from .data_checks import check_for_model
from .recording import Episode, Recording


@dataclass(frozen=True)
class EncodedRecording:
    """A recording as codes; moments of all episodes lie one after another.

    Attributes:
        state: per modality ``(M, C, G)`` of all M moments: uint8 or int16 codes, or float32
            embeddings.
        action: ``(M, ...)``; the row of an episode's last moment is a repeat and never used.
        reward: ``(M,)`` float32, likewise; NaN where nobody recorded it.
        terminated: ``(M,)`` float32, likewise.
        first: ``(E,)`` int64 moment at which each episode begins.
        steps: ``(E,)`` int64 transitions of each episode.
        present: per modality ``(M,)`` bool, where it is there; everywhere if not named.
    """

    state: State
    action: Tensor
    reward: Tensor
    terminated: Tensor
    first: np.ndarray
    steps: np.ndarray
    present: Presence = field(default_factory=dict)


def encode_recording(model: WorldGPT, recording: Recording, chunk: int = 512) -> EncodedRecording:
    """Return the codes of every moment of ``recording``.

    Raises:
        RecordingError: it is of another world than the model, or an episode does not fit.
    """
    check_for_model(recording, model.specs, model.action_spec)
    state = {}
    for modality in model.specs:
        raw = np.concatenate([e.observations[modality] for e in recording.episodes])  # (M, ...)
        dtype = _storage(model.codec(modality))
        parts = [
            model.encode({modality: raw[i : i + chunk]})[modality].to(dtype).cpu()
            for i in range(0, len(raw), chunk)
        ]
        state[modality] = torch.cat(parts)
    steps = np.array([len(e.rewards) for e in recording.episodes])
    ends = [np.zeros(len(e.rewards) + 1, np.float32) for e in recording.episodes]
    for end, episode in zip(ends, recording.episodes, strict=True):
        end[-2] = float(episode.terminated)
    return EncodedRecording(
        state,
        torch.from_numpy(np.concatenate([_one_more(e.actions) for e in recording.episodes])),
        torch.from_numpy(
            np.concatenate([_one_more(e.rewards) for e in recording.episodes])
        ).float(),
        torch.from_numpy(np.concatenate(ends)),
        np.concatenate([[0], np.cumsum(steps + 1)[:-1]]),
        steps,
        presence(recording),
    )


def presence(recording: Recording) -> Presence:
    """Return where each modality is there, ``(M,)`` bool over all moments; only partial ones."""
    partial = {m for episode in recording.episodes for m in episode.present}
    return {
        modality: torch.from_numpy(
            np.concatenate(
                [e.present.get(modality, np.ones(len(e) + 1, bool)) for e in recording.episodes]
            )
        )
        for modality in recording.specs
        if modality in partial
    }


def _storage(codec: Codec) -> torch.dtype:
    """Return the smallest dtype that holds what ``codec`` gives."""
    if codec.continuous:
        return torch.float32
    return torch.uint8 if codec.levels <= 256 else torch.int16


def _one_more(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, values[-1:]])


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
        data: EncodedRecording,
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
        self.acted = np.concatenate(
            [np.arange(f, f + n) for f, n in zip(data.first, data.steps, strict=True)]
        )  # moments that have a transition
        self.rare_weight = self._rarity(rarity)
        self.event, self.event_weight = self._events()
        self.events = int(event_share * rows) if len(self.event) else 0

    def _rarity(self, exponent: float) -> np.ndarray:
        """Return how often to draw each moment that has a transition, ``(A,)``, summing to 1."""
        codes = [
            codes.flatten(1).numpy()
            for codes in self.data.state.values()
            if not codes.is_floating_point()
        ]
        if not codes or exponent == 0:
            return np.full(len(self.acted), 1 / len(self.acted))
        rows = np.ascontiguousarray(np.concatenate([c.astype(np.int16) for c in codes], 1))
        whole = rows[self.acted].view(np.dtype((np.void, rows.shape[1] * 2)))[:, 0]
        _, which, counts = np.unique(whole, return_inverse=True, return_counts=True)
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
        moments, valid = self.moments(update)
        acted = moments[:, :-1]
        state = {m: codes[moments] for m, codes in self.data.state.items()}
        state = {m: x if x.is_floating_point() else x.long() for m, x in state.items()}
        return Batch(
            state,
            self.data.action[acted],
            self.data.reward[acted],
            self.data.terminated[acted],
            valid,
            self._blur(state, update) if self.blurred else None,
            {m: there[moments] for m, there in self.data.present.items()},
        )

    def moments(self, update: int) -> tuple[Tensor, Tensor]:
        """Return the moments of the windows of ``update``, ``(B, T + 1)``, and which are valid."""
        generator = np.random.default_rng([self.seed, update])
        anywhere = generator.choice(self.acted, self.rows - self.events, p=self.rare_weight)
        inside = anywhere.astype(np.int64)  # (B,) a moment in each window
        if self.events:
            event = generator.choice(self.event, self.events, p=self.event_weight)
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
