"""Transitions that are drawn from a recording: as recorded, and as a model encodes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import Presence, State
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import ActionSpec, Modality

from ..balanced import balanced_rows
from ..recording import Recording
from .observations import CHUNK


@dataclass(frozen=True)
class Samples:
    """``N`` transitions of a recording; a ``shift`` of 0 means their states, 1 the next states."""

    recording: Recording  # nothing of it is copied
    episode: np.ndarray  # (N,) int64, number of the episode of each
    step: np.ndarray  # (N,) int64, number of the step in it

    def __len__(self) -> int:
        """Return ``N``."""
        return len(self.episode)

    @classmethod
    def draw(cls, recording: Recording, count: int, seed: int) -> Samples:
        """Draw at most ``count`` transitions, evenly over the scenarios.

        The same recording and seed give the same transitions, in the order of the recording.
        """
        steps = [np.arange(len(episode)) for episode in recording.episodes]
        episode = np.repeat(np.arange(len(steps)), [len(part) for part in steps])
        step = np.concatenate(steps) if steps else np.arange(0)
        scenario = [recording.episodes[number].scenario for number in episode]
        rows = balanced_rows(scenario, count, seed)
        return cls(recording, episode[rows], step[rows])

    @cached_property
    def scenario(self) -> np.ndarray:
        """Name of the scenario of each row, ``(N,)``."""
        return np.array([self.recording.episodes[e].scenario for e in self.episode], dtype=str)

    def identity(self) -> str:
        """Return a word that two draws share if they hold the same transitions."""
        rows = zip(self.scenario, self.episode, self.step, strict=True)
        text = "\n".join(f"{name} {episode} {step}" for name, episode, step in rows)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def present(self, modality: Modality, shift: int) -> np.ndarray:
        """Return in which rows the state or next state has ``modality``, ``(N,)`` bool."""
        if modality not in self.recording.specs:
            return np.zeros(len(self), bool)
        masks = [e.present.get(modality) for e in self.recording.episodes]
        rows = zip(self.episode, self.step + shift, strict=True)
        return np.array([(m := masks[e]) is None or bool(m[s]) for e, s in rows], dtype=bool)

    def observations(self, modality: Modality, rows: np.ndarray, shift: int) -> np.ndarray:
        """Return what was recorded of ``rows``, ``(n, *shape)``."""
        episodes = self.recording.episodes
        steps = zip(self.episode[rows], self.step[rows] + shift, strict=True)
        return np.stack([episodes[e].observations[modality][s] for e, s in steps])

    def actions(self, spec: ActionSpec) -> Tensor:
        """Return the actions as ``spec`` has them, ``(N, ...)``; words are looked up anew.

        Raises:
            ConfigurationError: they are no words and of another kind than ``spec``.
        """
        episodes = self.recording.episodes
        rows = zip(self.episode, self.step, strict=True)
        own = np.stack([episodes[e].actions[s] for e, s in rows])
        known = self.recording.action_spec
        if known == spec:
            return torch.from_numpy(own)
        if known.kind != "text" or spec.kind != "text":
            raise ConfigurationError(
                f"the data has {known.kind} actions of sizes {known.sizes} and the model "
                f"{spec.kind} actions of sizes {spec.sizes}; only actions in words can be carried "
                "over. Evaluate on the world that the model has learned."
            )
        sentences = [known.vocabulary.decode(ids) for ids in own]
        return torch.from_numpy(np.stack([spec.vocabulary.encode(text) for text in sentences]))


@dataclass(frozen=True)
class EncodedStates:
    """States of ``N`` transitions, or their next states; zeros where a modality is missing."""

    codes: State  # per modality (N, C, G)
    latent: dict[Modality, Tensor]  # per modality (N, F) float32
    present: Presence  # per modality (N,) bool

    @classmethod
    def of(
        cls, model: WorldGPT, samples: Samples, modalities: Sequence[Modality], shift: int
    ) -> EncodedStates:
        """Encode the states or, shifted by 1, the next states of ``samples``."""
        found = cls({}, {}, {})
        for modality in modalities:
            codec, present = model.codec(modality), samples.present(modality, shift)
            kind = torch.float32 if codec.continuous else torch.int64
            codes = torch.zeros(len(samples), codec.cells, codec.digits, dtype=kind)
            latent = torch.zeros(len(samples), codec.latent_size)
            for rows in torch.from_numpy(np.flatnonzero(present)).split(CHUNK):
                if len(rows):
                    raw = samples.observations(modality, rows.numpy(), shift)
                    encoded = model.encode({modality: raw})
                    codes[rows] = encoded[modality].cpu()
                    latent[rows] = model.latent(encoded)[modality].float().cpu()
            found.codes[modality], found.latent[modality] = codes, latent
            found.present[modality] = torch.from_numpy(present)
        return found


@dataclass(frozen=True)
class EncodedSamples:
    """Transitions as a model sees them; all tensors on the CPU."""

    samples: Samples
    state: EncodedStates
    next_state: EncodedStates
    action: Tensor

    @classmethod
    def of(
        cls, model: WorldGPT, samples: Samples, modalities: Sequence[Modality]
    ) -> EncodedSamples:
        """Encode ``modalities`` of ``samples`` with the codecs of ``model``."""
        state, next_state = (
            EncodedStates.of(model, samples, modalities, shift) for shift in (0, 1)
        )
        return cls(samples, state, next_state, samples.actions(model.action_spec))
