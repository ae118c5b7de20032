"""Transitions of a WorldNet, one a row: as they were recorded, and as a model encodes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.batch import State
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import ActionSpec, Modality
from worldgpt_env.model.worldgpt import WorldGPT

from ...recording import Recording

CHUNK = 256


@dataclass(frozen=True)
class Samples:
    """Chosen transitions of a recording.

    Attributes:
        recording: where they are; nothing of it is copied.
        episode: ``(N,)`` int64, number of the episode of each.
        step: ``(N,)`` int64, number of the step in it.
    """

    recording: Recording
    episode: np.ndarray
    step: np.ndarray

    def __len__(self) -> int:
        """Return ``N``."""
        return len(self.episode)

    @classmethod
    def draw(cls, recording: Recording, count: int, seed: int) -> Samples:
        """Draw at most ``count`` transitions, as many of each scenario as there are or are due.

        The same recording and seed give the same transitions, in the order of the recording.
        """
        lengths = [len(episode) for episode in recording.episodes]
        episode = np.repeat(np.arange(len(lengths)), lengths)
        step = np.concatenate([np.arange(n) for n in lengths]) if lengths else np.arange(0)
        scenario = np.array([recording.episodes[e].scenario for e in episode])
        generator = np.random.default_rng(seed)
        pools = [
            generator.permutation(np.flatnonzero(scenario == name)) for name in np.unique(scenario)
        ]
        pools.sort(key=len)
        kept: list[np.ndarray] = []
        for number, pool in enumerate(pools):
            due = (count - sum(map(len, kept))) // (len(pools) - number)
            kept.append(pool[:due])
        rows = np.sort(np.concatenate(kept)) if kept else np.arange(0)
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

    def there(self, modality: Modality, after: bool) -> np.ndarray:
        """Return in which rows the state before or after the action has ``modality``, ``(N,)``."""
        if modality not in self.recording.specs:
            return np.zeros(len(self), bool)
        masks = [e.present.get(modality) for e in self.recording.episodes]
        rows = zip(self.episode, self.step + after, strict=True)
        return np.array([(m := masks[e]) is None or bool(m[s]) for e, s in rows], dtype=bool)

    def raw(self, modality: Modality, after: bool, rows: np.ndarray) -> np.ndarray:
        """Return the observations of ``rows`` before or after the action, ``(n, *shape)``."""
        episodes = self.recording.episodes
        moments = zip(self.episode[rows], self.step[rows] + after, strict=True)
        return np.stack([episodes[e].observations[modality][s] for e, s in moments])

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
class Side:
    """The states before, or after, the actions.

    Attributes:
        state: per modality ``(N, C, G)``, zeros where it is missing.
        latent: per modality ``(N, F)`` float32, likewise.
        there: per modality ``(N,)`` bool.
    """

    state: State
    latent: dict[Modality, Tensor]
    there: dict[Modality, Tensor]


@dataclass(frozen=True)
class EncodedSamples:
    """Transitions as a model sees them; all tensors on the CPU."""

    samples: Samples
    before: Side
    after: Side
    action: Tensor

    @classmethod
    def of(
        cls, model: WorldGPT, samples: Samples, modalities: Sequence[Modality]
    ) -> EncodedSamples:
        """Encode ``modalities`` of ``samples`` with the codecs of ``model``."""
        before, after = (_encode_side(model, samples, modalities, after) for after in (False, True))
        return cls(samples, before, after, samples.actions(model.action_spec))


def _encode_side(
    model: WorldGPT, samples: Samples, modalities: Sequence[Modality], after: bool
) -> Side:
    state: State = {}
    latent, there = {}, {}
    for modality in modalities:
        codec = model.codec(modality)
        mask = samples.there(modality, after)
        kind = torch.float32 if codec.continuous else torch.int64
        codes = torch.zeros(len(samples), codec.cells, codec.digits, dtype=kind)
        seen = torch.zeros(len(samples), codec.latent_size)
        rows = np.flatnonzero(mask)
        for part in np.split(rows, range(CHUNK, len(rows), CHUNK)):
            if len(part):
                encoded = model.encode({modality: samples.raw(modality, after, part)})
                place = torch.from_numpy(part)
                codes[place] = encoded[modality].cpu()
                seen[place] = model.latent(encoded)[modality].float().cpu()
        state[modality], latent[modality] = codes, seen
        there[modality] = torch.from_numpy(mask)
    return Side(state, latent, there)
