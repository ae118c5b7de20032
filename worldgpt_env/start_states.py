"""Where dreams begin: real states out of the recording, stored as codes beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from worldgpt_env.model.batch import Presence, State
from worldgpt_env.model.codecs import Codec
from worldgpt_env.model.modalities import Modality, TextSpec
from worldgpt_env.model.safe_io import write_tensors

from .descriptions import Descriptions
from .errors import CheckpointError, MissingStartStatesError
from .presence import neutral_codes
from .randomness import Keys, uniforms

FILE_NAME = "start_states.safetensors"
PRESENT = "present/"
KINDS = ("first", "visited", "mixed", "rewarded")
WAY = 64  # recorded steps that still count as the way to a reward


class RecordedEpisode(Protocol):
    """An episode of a recording: per modality ``(T + 1, *shape)``, the last moment not acted in.

    ``rewards`` ``(T,)`` are what the steps paid, NaN where that is not told; ``present`` says per
    modality ``(T + 1,)`` which moments have it; all if it is not named.
    """

    observations: Mapping[Modality, np.ndarray]
    rewards: np.ndarray
    present: Mapping[Modality, np.ndarray]


class Recorded(Protocol):
    """A recording, as :class:`worldgpt_env.training.recording.Recording`."""

    episodes: Any  # of RecordedEpisode


class Encoder(Protocol):
    """Whatever turns raw observations into states, as :class:`WorldGPT`."""

    def encode(self, observation: Mapping[Any, Any]) -> State:
        """Return the codes of a batch of raw observations."""
        ...

    def codec(self, modality: Modality) -> Codec:
        """Return the codec of ``modality``."""
        ...


@dataclass(frozen=True)
class StartStates:
    """Real states that episodes may start from.

    Attributes:
        codes: per modality ``(R, C, G)`` codes, uint8 where they fit, else int16; or float32
            embeddings. Neutral ones where a modality is absent, see :func:`neutral_codes`.
        first: ``(R,)`` bool, whether the state is the first of its episode.
        episode: ``(R,)`` int32, number of the episode in the recording.
        step: ``(R,)`` int32, number of the moment in its episode.
        present: per modality ``(R,)`` bool, which states have it; all if it is not named.
        reward: ``(R,)`` float32, what the recorded step from there paid, NaN where that is not
            told; None in files that do not hold it.
    """

    codes: State
    first: Tensor
    episode: Tensor
    step: Tensor
    present: Presence = field(default_factory=dict)
    reward: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse an empty set and parts of different lengths."""
        lengths = {str(modality): len(codes) for modality, codes in self.codes.items()}
        lengths |= {"first": len(self.first), "episode": len(self.episode), "step": len(self.step)}
        lengths |= {f"present/{modality}": len(there) for modality, there in self.present.items()}
        lengths |= {} if self.reward is None else {"reward": len(self.reward)}
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
            limit: states that are kept: first moments, then those on the way to a reward (see
                :attr:`leading`), then others, at random.
            seed: of that random choice.
        """
        moments = [
            (number, step)
            for number, episode in enumerate(recording.episodes)
            for step in range(len(next(iter(episode.observations.values()))) - 1)
        ]
        shuffled = np.random.default_rng(seed).permutation(len(moments)).tolist()
        places = np.array(moments, np.int64).reshape(-1, 2)
        paid = np.concatenate([[], *(episode.rewards for episode in recording.episodes)])
        rank = np.where(places[:, 1] == 0, 0, np.where(_leading(places, _best(paid)), 1, 2))
        order = sorted(shuffled, key=rank.__getitem__)[:limit]  # stable
        chosen = sorted(moments[place] for place in order)
        numbers = torch.tensor(chosen, dtype=torch.int32).reshape(-1, 2)  # (R, 2)
        there = _gather_presence(recording, chosen)
        modalities = recording.episodes[chosen[0][0]].observations if chosen else {}
        return cls(
            codes={m: _encode(model, recording, chosen, m, there.get(m)) for m in modalities},
            first=numbers[:, 1] == 0,
            episode=numbers[:, 0].contiguous(),
            step=numbers[:, 1].contiguous(),
            present=there,
            reward=torch.tensor([recording.episodes[e].rewards[t] for e, t in chosen]).float(),
        )

    @cached_property
    def paid(self) -> np.ndarray:
        """Indices of the states whose step was paid at least half of the most that any was.

        Raises:
            MissingStartStatesError: none was paid, or it is not told what they were paid.
        """
        if self.reward is None:
            raise MissingStartStatesError(
                "these start states do not tell rewards; train the model anew, or pass "
                "StartStates.from_recording(model, recording)."
            )
        best = np.flatnonzero(_best(self.reward.numpy()))
        if not len(best):
            raise MissingStartStatesError(
                f"none of these {len(self)} start states was ever paid; record more of the world."
            )
        return best

    @cached_property
    def leading(self) -> np.ndarray:
        """Indices of the states that led to a paid one within 64 recorded steps, it included."""
        paid = np.zeros(len(self), bool)
        paid[self.paid] = True
        return np.flatnonzero(_leading(torch.stack([self.episode, self.step], 1).numpy(), paid))

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
            paid = parts.pop("reward", None)
            there = {name: parts.pop(name) for name in list(parts) if name.startswith(PRESENT)}
            codes = {Modality(name): parts[name] for name in sorted(parts)}
            present = {Modality(name.removeprefix(PRESENT)): there[name] for name in sorted(there)}
        except (SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path} holds no start states ({error}); copy it again."
            ) from error
        return cls(
            {m: codes[m] for m in Modality if m in codes}, **rest, present=present, reward=paid
        )

    def save(self, path: str | Path) -> Path:
        """Write the file ``path``, or into the folder ``path``, replacing an old file whole."""
        path = Path(path)
        path = path / FILE_NAME if path.is_dir() else path
        parts = {str(modality): codes for modality, codes in self.codes.items()}
        parts |= {"first": self.first, "episode": self.episode, "step": self.step}
        parts |= {f"{PRESENT}{modality}": there for modality, there in self.present.items()}
        parts |= {} if self.reward is None else {"reward": self.reward}
        write_tensors(path, parts)
        return path

    def subset(self, keep: Tensor) -> StartStates:
        """Return the states that ``keep`` ``(R,)`` bool or indices names, ``states.first`` say."""
        return StartStates(
            codes={modality: part[keep] for modality, part in self.codes.items()},
            first=self.first[keep],
            episode=self.episode[keep],
            step=self.step[keep],
            present={modality: there[keep] for modality, there in self.present.items()},
            reward=None if self.reward is None else self.reward[keep],
        )

    def select(self, indices: np.ndarray) -> State:
        """Return the states at ``indices`` ``(B,)``, per modality ``(B, C, G)``."""
        rows = torch.from_numpy(np.array(indices, np.int64))
        chosen = {modality: codes[rows] for modality, codes in self.codes.items()}
        return {m: part if part.is_floating_point() else part.long() for m, part in chosen.items()}

    def presence(self, indices: np.ndarray) -> Presence:
        """Return which of the states at ``indices`` ``(B,)`` have a modality, ``(B,)`` bool each.

        A modality that all start states have is not named.
        """
        rows = torch.from_numpy(np.array(indices, np.int64))
        return {modality: there[rows] for modality, there in self.present.items()}

    def descriptions(self, spec: TextSpec) -> Descriptions:
        """Return the words of the states, to be searched."""
        ids = self.codes[Modality.TEXT].numpy()[..., 0]  # (R, slots)
        there = self.present.get(Modality.TEXT, torch.ones(len(self), dtype=torch.bool))
        return Descriptions(ids, spec, there.numpy())

    def sample(self, kind: str, keys: Keys) -> np.ndarray:
        """Return one index per key, ``(B,)`` int64.

        Args:
            kind: ``"first"`` (first moments of episodes), ``"visited"`` (any moment), ``"mixed"``
                (either, evenly), or ``"rewarded"`` (first moments and :attr:`leading` ones,
                evenly).
            keys: ``(B,)`` one random key per row.

        Raises:
            MissingStartStatesError: there are none of this kind.
        """
        firsts = np.flatnonzero(self.first.numpy())
        if kind != "visited" and not len(firsts):
            raise MissingStartStatesError(
                f"these {len(self)} start states hold no first moment of an episode; "
                "pass start_states='visited'."
            )
        draws = uniforms(keys)  # (B,) in [0, 1)
        if kind in ("mixed", "rewarded"):
            from_first, draws = draws < 0.5, (draws * 2) % 1
        else:
            from_first = np.full(len(draws), kind == "first")
        if kind == "rewarded":
            drawn = self.leading[(draws * len(self.leading)).astype(np.int64)]
        else:
            drawn = (draws * len(self)).astype(np.int64)
        if not from_first.any():
            return drawn
        return np.where(from_first, firsts[(draws * len(firsts)).astype(np.int64)], drawn)


def _best(rewards: np.ndarray) -> np.ndarray:
    """Return which of ``rewards`` ``(N,)`` are at least half of the most, which is above 0."""
    told = np.nan_to_num(rewards)  # nothing where no reward is told
    most = told.max(initial=0.0)
    return (told >= most / 2) & (most > 0)


def _leading(places: np.ndarray, paid: np.ndarray) -> np.ndarray:
    """Return which of N moments come to a ``paid`` one of their episode in time, ``(N,)`` bool.

    Args:
        places: ``(N, 2)`` their episodes and steps.
        paid: ``(N,)`` bool.
    """
    time = places[:, 0].astype(np.int64) * 2**32 + places[:, 1]
    goals = np.append(np.sort(time[paid]), np.iinfo(np.int64).max)
    return goals[np.searchsorted(goals, time)] - time < WAY


def _gather_presence(recording: Recorded, moments: list[tuple[int, int]]) -> Presence:
    """Return which ``(episode, step)`` pairs have a modality, for those that some lack."""
    found = {}
    for modality in {m: None for episode in recording.episodes for m in episode.present}:
        rows = [
            modality not in recording.episodes[e].present
            or bool(recording.episodes[e].present[modality][t])
            for e, t in moments
        ]
        found[modality] = torch.tensor(rows, dtype=torch.bool)
    return {modality: there for modality, there in found.items() if not there.all()}


def _encode(
    model: Encoder,
    recording: Recorded,
    moments: list[tuple[int, int]],
    modality: Modality,
    there: Tensor | None,
) -> Tensor:
    """Return the codes ``(R, C, G)`` of a modality at ``(episode, step)`` pairs, 256 at a time."""
    rows = range(len(moments)) if there is None else torch.nonzero(there)[:, 0].tolist()
    parts = []
    for start in range(0, len(rows), 256):
        block = [moments[row] for row in rows[start : start + 256]]
        raw = np.stack([recording.episodes[e].observations[modality][t] for e, t in block])
        parts.append(model.encode({modality: raw})[modality].cpu())
    if there is None:
        return _small(torch.cat(parts))
    codes = neutral_codes(model.codec(modality)).repeat(len(moments), 1, 1)  # (R, C, G)
    if parts:
        codes[there] = torch.cat(parts)
    return _small(codes)


def _small(codes: Tensor) -> Tensor:
    """Return codes in the smallest dtype of the file format that holds them."""
    if codes.is_floating_point():
        return codes.float()
    return codes.to(torch.uint8 if int(codes.max()) < 256 else torch.int16)
