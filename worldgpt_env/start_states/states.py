"""Where dreams begin: real states out of the recording, stored as codes beside the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.arguments import near
from worldgpt_env.model.checkpoint import refused, verify_beside
from worldgpt_env.model.modalities import Modality, TextSpec
from worldgpt_env.model.safe_io import write_tensors
from worldgpt_env.model.safe_tensors import read_tensors
from worldgpt_env.model.states import Presence, State, widen
from worldgpt_env.model.transitions import TransitionStore

from ..errors import CheckpointError, MissingStartStatesError
from ..randomness import Keys, uniforms
from .descriptions import Descriptions

FILE_NAME = "start_states.safetensors"
PRESENT = "present/"
KINDS = ("first", "visited", "mixed", "rewarded")
BOOL, WHOLE = (torch.bool,), (torch.int32, torch.int64)
CODES = (torch.uint8, torch.int16, torch.int32, torch.int64)
WAY = 64  # recorded steps that still count as the way to a reward


class Recorded(Protocol):
    """A recording, as :class:`worldgpt_env.training.recording.Recording`."""

    episodes: Any  # of worldgpt_env.model.transitions.RecordedEpisode


@dataclass(frozen=True)
class StartStates:
    """Real states that episodes may start from.

    Attributes:
        codes: per modality ``(R, C, G)`` codes in a small dtype, or float32 embeddings; neutral
            ones where a modality is absent.
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

    def check(self) -> None:
        """Refuse parts of another type than the class says, and steps that contradict each other.

        Raises:
            CheckpointError: naming the part.
        """
        told = {"first": (self.first, BOOL), "episode": (self.episode, WHOLE)}
        told |= {"step": (self.step, WHOLE)}
        told |= {f"{PRESENT}{m}": (there, BOOL) for m, there in self.present.items()}
        told |= {} if self.reward is None else {"reward": (self.reward, (torch.float32,))}
        for name, (part, types) in told.items():
            if part.dim() != 1 or part.dtype not in types:
                raise CheckpointError(f"{name} of the start states is {part.dtype} {part.shape}.")
        if not set(self.present) <= set(self.codes):
            raise CheckpointError("the start states tell the presence of what they do not hold.")
        for modality, codes in self.codes.items():
            if codes.dim() != 3 or codes.dtype not in (*CODES, torch.float32):
                raise CheckpointError(f"{modality} of the start states is {codes.dtype}.")
        if int(self.episode.min()) < 0 or int(self.step.min()) < 0:
            raise CheckpointError("an episode or a step of the start states is below 0.")
        if not torch.equal(self.first, self.step == 0):
            raise CheckpointError("the first start states of episodes are not those of step 0.")
        if self.reward is not None and bool(self.reward.isinf().any()):
            raise CheckpointError("a reward of the start states is infinite.")

    @classmethod
    def from_recording(
        cls, model: WorldGPT, recording: Recorded, limit: int = 4096, seed: int = 0
    ) -> StartStates:
        """Encode a recording and choose start states of it; see :meth:`from_store`."""
        store = TransitionStore.encode(model.processor, recording.episodes)
        return cls.from_store(store, limit, seed)

    @classmethod
    def from_store(cls, store: TransitionStore, limit: int = 4096, seed: int = 0) -> StartStates:
        """Choose start states among the time steps of a recording.

        Args:
            store: the encoded recording; the last time step of each episode is left out.
            limit: states that are kept: the first of each episode, then those on the way to a
                reward (see :attr:`pre_reward`), then others, at random.
            seed: of that random choice.
        """
        rows = store.begins.numpy()
        shuffled = np.random.default_rng(seed).permutation(len(rows))
        places = torch.stack([store.episode, store.step], 1).numpy()[rows]  # (N, 2)
        best = _best(store.reward.numpy()[rows])
        rank = np.where(places[:, 1] == 0, 0, np.where(_before_reward(places, best), 1, 2))
        order = shuffled[np.argsort(rank[shuffled], kind="stable")][:limit]
        chosen = store.select(torch.from_numpy(rows[np.sort(order)]))
        return cls(
            codes=chosen.state,
            first=chosen.step == 0,
            episode=chosen.episode.int(),
            step=chosen.step.int(),
            present=chosen.present,
            reward=chosen.reward,
        )

    @cached_property
    def rewarding(self) -> np.ndarray:
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
    def pre_reward(self) -> np.ndarray:
        """Indices of the states that led to a paid one within 64 recorded steps, it included."""
        paid = np.zeros(len(self), bool)
        paid[self.rewarding] = True
        return np.flatnonzero(
            _before_reward(torch.stack([self.episode, self.step], 1).numpy(), paid)
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
                f"there are no start states at {path}{near(str(path), KINDS)}; write them with "
                "StartStates.from_recording(model, recording).save(folder)."
            )
        verify_beside(path)
        parts = read_tensors(path, "It holds no start states; copy it again.", unchecked=["reward"])
        with refused(path, "It holds no start states; copy it again."):
            rest = {name: parts.pop(name) for name in ("first", "episode", "step")}
            paid = parts.pop("reward", None)
            there = {name: parts.pop(name) for name in list(parts) if name.startswith(PRESENT)}
            codes = {Modality(name): parts[name] for name in sorted(parts)}
            present = {Modality(name.removeprefix(PRESENT)): there[name] for name in sorted(there)}
            codes = {m: codes[m] for m in Modality if m in codes}
            states = cls(codes, **rest, present=present, reward=paid)
            states.check()
        return states

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
        return {modality: widen(codes[rows]) for modality, codes in self.codes.items()}

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
                (either, evenly), or ``"rewarded"`` (first moments and :attr:`pre_reward` ones,
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
            drawn = self.pre_reward[(draws * len(self.pre_reward)).astype(np.int64)]
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


def _before_reward(places: np.ndarray, paid: np.ndarray) -> np.ndarray:
    """Return which of N moments come to a ``paid`` one of their episode in time, ``(N,)`` bool.

    Args:
        places: ``(N, 2)`` their episodes and steps.
        paid: ``(N,)`` bool.
    """
    time = places[:, 0].astype(np.int64) * 2**32 + places[:, 1]
    goals = np.append(np.sort(time[paid]), np.iinfo(np.int64).max)
    return goals[np.searchsorted(goals, time)] - time < WAY
