"""Where dreams begin: real states out of the recording, stored as codes beside the model."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldgpt_env.model.batch import State
from worldgpt_env.model.modalities import Modality, TextSpec

from .errors import CheckpointError, InvalidOptionError, MissingStartStatesError
from .randomness import Keys, uniforms

FILE_NAME = "start_states.safetensors"
KINDS = ("first", "visited", "mixed")


class RecordedEpisode(Protocol):
    """An episode of a recording: per modality ``(T + 1, *shape)``, the last moment not acted in."""

    observations: Mapping[Modality, np.ndarray]


class Recorded(Protocol):
    """A recording, as :class:`worldgpt_env.training.recording.Recording`."""

    episodes: Any  # of RecordedEpisode


class Encoder(Protocol):
    """Whatever turns raw observations into states, as :meth:`WorldGPT.encode`."""

    def encode(self, observation: Mapping[Any, Any]) -> State:
        """Return the codes of a batch of raw observations."""
        ...


@dataclass(frozen=True)
class StartStates:
    """Real states that episodes may start from.

    Attributes:
        codes: per modality ``(R, C, G)`` codes, uint8 where they fit, else int16.
        first: ``(R,)`` bool, whether the state is the first of its episode.
        episode: ``(R,)`` int32, number of the episode in the recording.
        step: ``(R,)`` int32, number of the moment in its episode.
    """

    codes: State
    first: Tensor
    episode: Tensor
    step: Tensor

    def __post_init__(self) -> None:
        """Refuse an empty set and parts of different lengths."""
        lengths = {str(modality): len(codes) for modality, codes in self.codes.items()}
        lengths |= {"first": len(self.first), "episode": len(self.episode), "step": len(self.step)}
        if len(set(lengths.values())) != 1 or not self.codes or not len(self.first):
            raise CheckpointError(f"start states need parts of one length above 0, not {lengths}.")

    def __len__(self) -> int:
        """Return the number of states."""
        return len(self.first)

    @classmethod
    def from_recording(
        cls, model: Encoder, recording: Recorded, limit: int = 4096, seed: int = 0
    ) -> StartStates:
        """Encode the start states of a recording.

        Args:
            model: encodes raw observations.
            recording: its episodes are read; the last moment of each is left out.
            limit: states that are kept: first moments before all others, those at random.
            seed: of that random choice.
        """
        moments = [
            (number, step)
            for number, episode in enumerate(recording.episodes)
            for step in range(len(next(iter(episode.observations.values()))) - 1)
        ]
        shuffled = np.random.default_rng(seed).permutation(len(moments)).tolist()
        order = sorted(shuffled, key=lambda place: moments[place][1] > 0)[:limit]  # stable
        chosen = sorted(moments[place] for place in order)
        parts = []
        for start in range(0, len(chosen), 256):
            block = chosen[start : start + 256]
            parts.append(model.encode(_gather(recording, block)))
        numbers = torch.tensor(chosen, dtype=torch.int32).reshape(-1, 2)  # (R, 2)
        return cls(
            codes={m: _small(torch.cat([part[m] for part in parts])) for m in parts[0]}
            if parts
            else {},
            first=numbers[:, 1] == 0,
            episode=numbers[:, 0].contiguous(),
            step=numbers[:, 1].contiguous(),
        )

    @classmethod
    def load(cls, path: str | Path) -> StartStates:
        """Read the file ``path``, or ``start_states.safetensors`` in the folder ``path``.

        Raises:
            MissingStartStatesError: there is no such file.
            CheckpointError: it is truncated or something else.
        """
        path = Path(path)
        path = path / FILE_NAME if path.is_dir() else path
        if not path.is_file():
            raise MissingStartStatesError(
                f"there are no start states at {path}; write them with "
                "StartStates.from_recording(model, recording).save(folder)."
            )
        try:
            parts = load_file(path)
            rest = {name: parts.pop(name) for name in ("first", "episode", "step")}
            codes = {Modality(name): parts[name] for name in sorted(parts)}
        except (SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path} holds no start states ({error}); copy it again."
            ) from error
        return cls({m: codes[m] for m in Modality if m in codes}, **rest)

    def save(self, path: str | Path) -> Path:
        """Write the file ``path``, or into the folder ``path``, replacing an old file whole."""
        path = Path(path)
        path = path / FILE_NAME if path.is_dir() else path
        parts = {str(modality): codes.contiguous() for modality, codes in self.codes.items()}
        parts |= {"first": self.first, "episode": self.episode, "step": self.step}
        unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            save_file(parts, unfinished)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        return path

    def subset(self, keep: Tensor) -> StartStates:
        """Return the states that ``keep`` ``(R,)`` bool or indices names, ``states.first`` say."""
        codes = {modality: part[keep] for modality, part in self.codes.items()}
        return StartStates(codes, self.first[keep], self.episode[keep], self.step[keep])

    def select(self, indices: np.ndarray) -> State:
        """Return the states at ``indices`` ``(B,)``, per modality ``(B, C, G)`` int64."""
        rows = torch.from_numpy(np.array(indices, np.int64))
        return {modality: codes[rows].long() for modality, codes in self.codes.items()}

    def sample(self, kind: str, keys: Keys) -> np.ndarray:
        """Return one index per key, ``(B,)`` int64.

        Args:
            kind: ``"first"`` (first moments of episodes), ``"visited"`` (any moment), or
                ``"mixed"`` (either, evenly).
            keys: ``(B,)`` one random key per row.
        """
        firsts = np.flatnonzero(self.first.numpy())
        if kind != "visited" and not len(firsts):
            raise MissingStartStatesError(
                f"these {len(self)} start states hold no first moment of an episode; "
                "pass start_states='visited'."
            )
        draws = uniforms(keys)  # (B,) in [0, 1)
        if kind == "mixed":
            from_first, draws = draws < 0.5, (draws * 2) % 1
        else:
            from_first = np.full(len(draws), kind == "first")
        visited = (draws * len(self)).astype(np.int64)
        if not from_first.any():
            return visited
        return np.where(from_first, firsts[(draws * len(firsts)).astype(np.int64)], visited)

    def nearest(self, description: str, spec: TextSpec, keys: Keys) -> np.ndarray:
        """Return per key the index ``(B,)`` of a state whose words come nearest to ``description``.

        The nearest states hold the most of the given words and the fewest others; among equals the
        key chooses.

        Raises:
            InvalidOptionError: a word occurs in no start state.
        """
        words = np.zeros((len(self), len(spec.vocabulary)), bool)  # (R, V)
        slots = self.codes[Modality.TEXT].numpy()[..., 0].astype(np.int64)  # (R, L)
        np.put_along_axis(words, slots, True, axis=1)
        words[:, 0] = False  # the empty word
        known = [spec.vocabulary[word] for word in np.flatnonzero(words.any(0))]
        asked = description.lower().split()
        unknown = sorted(set(asked) - set(known))
        if unknown or not asked:
            raise InvalidOptionError(
                f"no start state is described by {unknown or 'an empty description'}; "
                f"use some of these words: {' '.join(sorted(known))}."
            )
        wanted = np.isin(np.array(spec.vocabulary), asked)  # (V,)
        score = (words & wanted).sum(1) - (words & ~wanted).sum(1) / len(spec.vocabulary)  # (R,)
        best = np.flatnonzero(score == score.max())
        return best[(uniforms(keys) * len(best)).astype(np.int64)]


def _gather(recording: Recorded, moments: list[tuple[int, int]]) -> dict[Modality, np.ndarray]:
    """Return the observations at ``(episode, step)`` pairs as one batch."""
    modalities = recording.episodes[moments[0][0]].observations
    return {
        m: np.stack([np.asarray(recording.episodes[e].observations[m][t]) for e, t in moments])
        for m in modalities
    }


def _small(codes: Tensor) -> Tensor:
    """Return codes in the smallest dtype of the file format that holds them."""
    return codes.cpu().to(torch.uint8 if int(codes.max()) < 256 else torch.int16)
