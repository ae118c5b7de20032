"""TransitionStore: the time steps of episodes as codes, one row each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .batch import Batch
from .contexts import Contexts
from .errors import ConfigurationError
from .modalities import Modality
from .processor import Processor
from .states import Presence, State, action_like, action_limit, widen

ENCODE_AT_ONCE = 512
"""Time steps that are raw in memory at once, but for the end of the episode that reaches it."""


class RecordedEpisode(Protocol):
    """An episode of T steps, as :class:`worldgpt_env.training.recording.Episode`.

    ``observations`` are per modality ``(T + 1, *shape)``, ``actions`` ``(T, ...)``, ``rewards``
    ``(T,)`` with NaN where nobody recorded one; ``present`` says per modality ``(T + 1,)`` which
    time steps have it, all if it is not named.
    """

    observations: Mapping[Modality, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    present: dict[Modality, np.ndarray]
    scenario: str


@dataclass(frozen=True)
class TransitionStore:
    """M time steps of E episodes; a transition is a row and the one behind it.

    Attributes:
        state: per modality ``(M, C, G)``: codes in the smallest dtype that holds them, or float32
            embeddings; neutral ones where the modality is absent.
        action: ``(M, ...)``, as ``Batch.action``; that of an episode's last row is a repeat.
        reward: ``(M,)`` float32, likewise; NaN where nobody recorded it.
        terminated: ``(M,)`` float32 in {0, 1}, likewise.
        episode: ``(M,)`` int64, number of the episode.
        step: ``(M,)`` int64, number of the time step in its episode.
        scenario: ``(M,)`` int64, number of the episode's scenario in ``scenarios``.
        scenarios: their names.
        present: per modality ``(M,)`` bool; in all rows if it is not named.
    """

    state: State
    action: Tensor
    reward: Tensor
    terminated: Tensor
    episode: Tensor
    step: Tensor
    scenario: Tensor
    scenarios: tuple[str, ...] = ("",)
    present: Presence = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse parts of different lengths."""
        lengths = {name: len(part) for name, part in self.tensors().items()}
        if len(set(lengths.values())) != 1 or not self.state:
            raise ConfigurationError(
                f"the parts of stored transitions have {lengths} rows; give all one length."
            )

    def __len__(self) -> int:
        """Return the number of time steps, M."""
        return len(self.episode)

    @classmethod
    def encode(cls, processor: Processor, episodes: Iterable[RecordedEpisode]) -> TransitionStore:
        """Encode every time step once; few episodes are raw in memory at a time.

        Raises:
            ConfigurationError: there is no episode.
        """
        parts: list[dict[str, Tensor]] = []
        names: list[str] = []
        lengths: list[int] = []
        for group in _groups(episodes):
            parts.append(_encode(processor, group))
            names += [episode.scenario for episode in group]
            lengths += [len(episode.rewards) + 1 for episode in group]
        if not parts:
            raise ConfigurationError("there is no episode to encode; record at least one.")
        tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return cls._numbered(tensors, lengths, names)

    @classmethod
    def join(cls, stores: Sequence[TransitionStore]) -> TransitionStore:
        """Return the episodes of several stores of one processor, numbered anew."""
        whole: dict[str, list[Tensor]] = {}
        masks = {m for store in stores for m in store.present}
        for store in stores:
            everywhere = {f"present/{m}": torch.ones(len(store), dtype=torch.bool) for m in masks}
            for name, part in (everywhere | store.tensors()).items():
                whole.setdefault(name, []).append(part)
        lengths = np.concatenate([store.steps + 1 for store in stores]).tolist()
        names = [
            store.scenarios[number]
            for store in stores
            for number in store.scenario[torch.from_numpy(store.first)].tolist()
        ]
        tensors = {name: torch.cat(parts) for name, parts in whole.items()}
        return cls._numbered(tensors, lengths, names)

    @classmethod
    def _numbered(
        cls, tensors: dict[str, Tensor], lengths: list[int], names: list[str]
    ) -> TransitionStore:
        """Return episodes of ``lengths`` time steps, numbered in their order."""
        scenarios = tuple(sorted(set(names)))
        counts = torch.tensor(lengths)
        numbers = torch.tensor([scenarios.index(name) for name in names])
        columns = {
            "episode": torch.arange(len(names)).repeat_interleave(counts),
            "scenario": numbers.repeat_interleave(counts),
            "step": torch.cat([torch.arange(length) for length in lengths]),
        }
        return cls.of(tensors | columns, scenarios)

    def episodes(self, numbers: Sequence[int]) -> TransitionStore:
        """Return the episodes at ``numbers``, in that order and numbered by it."""
        spans = [torch.arange(self.first[n], self.first[n] + self.steps[n] + 1) for n in numbers]
        names = [self.scenarios[int(self.scenario[self.first[n]])] for n in numbers]
        rows = torch.cat(spans)
        tensors = {name: part[rows] for name, part in self.tensors().items()}
        return self._numbered(tensors, [len(span) for span in spans], names)

    @classmethod
    def pairs(
        cls,
        processor: Processor,
        state: State,
        action: Tensor,
        next_state: State,
        episode: Tensor,
        scenario: Sequence[str] | None = None,
        present: Presence | None = None,
        present_next: Presence | None = None,
    ) -> TransitionStore:
        """Return N transitions that need not follow each other; row 2 n begins transition n.

        Args:
            processor: gives the dtypes.
            state: per modality ``(N, C, G)``.
            action: ``(N, ...)``.
            next_state: per modality ``(N, C, G)``.
            episode: ``(N,)`` int64, the episode that each is of.
            scenario: N names; "" by default.
            present: which states have a modality, ``(N,)`` bool; all if not named.
            present_next: likewise of ``next_state``.

        Raises:
            ConfigurationError: the parts are not of one length, or of different modalities.
        """
        count = len(action)
        names = [""] * count if scenario is None else list(scenario)
        lengths = {len(episode), len(names), *(len(x) for x in (state | next_state).values())}
        if lengths != {count} or set(state) != set(next_state) or not state:
            raise ConfigurationError(
                f"the parts of {count} transitions have {sorted(lengths)} rows; give all one "
                "length, and each modality in state and next_state."
            )
        scenarios = tuple(sorted(set(names))) or ("",)
        number = torch.tensor([scenarios.index(name) for name in names], dtype=torch.int64)
        tensors = {
            f"state/{m}": _interleave(state[m], next_state[m]).to(processor.storage_dtype(m))
            for m in processor.specs
            if m in state
        }
        for modality in {**(present or {}), **(present_next or {})}:
            masks = [
                (known or {}).get(modality, torch.ones(count, dtype=torch.bool))
                for known in (present, present_next)
            ]
            tensors[f"present/{modality}"] = _interleave(*masks)
        begun = 3 * torch.arange(count)  # a gap of one step parts each pair from the next one
        tensors |= {
            "action": _interleave(action, action),
            "reward": torch.full((2 * count,), torch.nan),
            "terminated": torch.zeros(2 * count),
            "episode": _interleave(episode, episode).long(),
            "step": _interleave(begun, begun + 1),
            "scenario": _interleave(number, number),
        }
        return cls.of(tensors, scenarios)

    # indices over the rows ----------------------------------------------------------------------

    @cached_property
    def begins(self) -> Tensor:
        """Rows that begin a transition, ``(N,)`` int64."""
        same = (self.episode[1:] == self.episode[:-1]) & (self.step[1:] == self.step[:-1] + 1)
        return same.nonzero()[:, 0]

    @cached_property
    def first(self) -> np.ndarray:
        """The row at which each episode begins, ``(E,)`` int64."""
        new = np.flatnonzero(np.diff(self.episode.numpy())) + 1
        return np.concatenate([[0], new])

    @cached_property
    def steps(self) -> np.ndarray:
        """Transitions of each episode, ``(E,)`` int64."""
        return np.diff(self.first, append=len(self)) - 1

    def states(self, rows: Tensor) -> State:
        """Return the states at ``rows``, any shape, as models compute with them."""
        return {m: widen(codes[rows]) for m, codes in self.state.items()}

    def presence(self, rows: Tensor) -> Presence:
        """Return which of ``rows``, any shape, have each modality that is absent somewhere."""
        return {m: mask[rows] for m, mask in self.present.items()}

    def windows(self, rows: Tensor, valid: Tensor) -> Batch:
        """Return windows of transitions.

        Args:
            rows: ``(B, T + 1)`` int64, one behind the other within an episode.
            valid: ``(B, T)`` float32, 0 where a window is longer than its episode.
        """
        acted = rows[:, :-1]
        return Batch(
            self.states(rows),
            self.action[acted],
            self.reward[acted],
            self.terminated[acted],
            valid,
            present=self.presence(rows),
        )

    def contexts(self, rows: Tensor, valid: Tensor, distance: Tensor | None = None) -> Contexts:
        """Return the transitions that begin at ``rows``, to be read in front of a step.

        Args:
            rows: ``(B, K)`` int64; any row where it is not valid.
            valid: ``(B, K)`` bool.
            distance: ``(B, K)`` float32; NaN if None.
        """
        return Contexts(
            self.states(rows),
            self.action[rows],
            self.states(rows + 1),
            valid,
            torch.full(rows.shape, torch.nan) if distance is None else distance,
            self.presence(rows),
            self.presence(rows + 1),
        )

    # parts --------------------------------------------------------------------------------------

    def select(self, rows: Tensor) -> TransitionStore:
        """Return the time steps at ``rows`` (indices or bool mask)."""
        parts = {name: part[rows] for name, part in self.tensors().items()}
        return TransitionStore.of(parts, self.scenarios)

    def tensors(self) -> dict[str, Tensor]:
        """Return every part by its name, such as ``"state/image"``."""
        parts = {f"state/{m}": codes for m, codes in self.state.items()}
        parts |= {f"present/{m}": mask for m, mask in self.present.items()}
        return parts | {name: getattr(self, name) for name in COLUMNS}

    @classmethod
    def of(
        cls, tensors: Mapping[str, Tensor], scenarios: tuple[str, ...] = ("",)
    ) -> TransitionStore:
        """Return the store written by :meth:`tensors`; a modality that all rows have is not named.

        Raises:
            KeyError: a part is missing.
        """
        groups: dict[str, dict[Modality, Tensor]] = {"state": {}, "present": {}}
        for modality in Modality:
            for kind, group in groups.items():
                if f"{kind}/{modality}" in tensors:
                    group[modality] = tensors[f"{kind}/{modality}"]
        present = {m: mask for m, mask in groups["present"].items() if not bool(mask.all())}
        columns: dict[str, Any] = {name: tensors[name] for name in COLUMNS}
        return cls(groups["state"], scenarios=scenarios, present=present, **columns)

    def check(self, processor: Processor) -> None:
        """Refuse what ``processor`` cannot have given: other shapes, types, or numbers.

        Raises:
            ConfigurationError: naming the part.
        """
        count, (shape, dtype) = len(self), action_like(processor.action_spec)
        whole, real = torch.int64, torch.float32
        wanted: dict[str, tuple[tuple[int, ...], torch.dtype, Any]] = {
            "action": ((count, *shape), dtype, action_limit(processor.action_spec)),
            "reward": ((count,), real, None),
            "terminated": ((count,), real, 2),
            "episode": ((count,), whole, None),
            "step": ((count,), whole, None),
            "scenario": ((count,), whole, len(self.scenarios)),
        }
        for modality in self.state:
            codec = processor.codec(modality)
            shape, dtype = (count, codec.cells, codec.digits), processor.storage_dtype(modality)
            wanted[f"state/{modality}"] = (shape, dtype, codec.levels or None)
            wanted[f"present/{modality}"] = ((count,), torch.bool, None)
        for name, part in self.tensors().items():
            size, kind, limit = wanted.get(name, ((), part.dtype, None))
            if tuple(part.shape) != size or part.dtype != kind:
                raise ConfigurationError(
                    f"{name} is {part.dtype} {tuple(part.shape)}, and the model gives {kind} {size}"
                )
            if limit is not None and bool(((part < 0) | (part >= limit)).any()):
                raise ConfigurationError(f"{name} has a number that is not from 0 to {limit}")


COLUMNS = ("action", "reward", "terminated", "episode", "step", "scenario")


def _groups(episodes: Iterable[RecordedEpisode]) -> Iterator[list[RecordedEpisode]]:
    """Yield runs of episodes that are worth encoding at once."""
    waiting: list[RecordedEpisode] = []
    count = 0
    for episode in episodes:
        waiting.append(episode)
        count += len(episode.rewards) + 1
        if count >= ENCODE_AT_ONCE:
            yield waiting
            waiting, count = [], 0
    if waiting:
        yield waiting


def _encode(processor: Processor, episodes: Sequence[RecordedEpisode]) -> dict[str, Tensor]:
    """Return what depends on the observations, actions and rewards of some episodes."""
    lengths = torch.tensor([len(episode.rewards) + 1 for episode in episodes])
    parts: dict[str, Tensor] = {}
    for modality in processor.specs:
        raw = np.concatenate([episode.observations[modality] for episode in episodes])
        mask = np.concatenate(
            [e.present.get(modality, np.ones(len(e.rewards) + 1, bool)) for e in episodes]
        )
        codes = processor.neutral_codes(modality).repeat(len(raw), 1, 1)  # (M, C, G)
        if mask.any():
            codes[mask] = processor.encode({modality: raw[mask]})[modality].cpu()
        parts[f"state/{modality}"] = codes.to(processor.storage_dtype(modality))
        parts[f"present/{modality}"] = torch.from_numpy(mask)
    ended = torch.zeros(int(lengths.sum()))
    ended[lengths.cumsum(0) - 2] = torch.tensor([float(e.terminated) for e in episodes])
    rewards = np.concatenate([_one_more(e.rewards) for e in episodes])
    return parts | {
        "action": torch.from_numpy(np.concatenate([_one_more(e.actions) for e in episodes])),
        "reward": torch.from_numpy(rewards).float(),
        "terminated": ended,
    }


def _one_more(values: np.ndarray) -> np.ndarray:
    """Return ``values`` with the last one twice: an episode has one more time step than actions."""
    return np.concatenate([values, values[-1:]])


def _interleave(even: Tensor, odd: Tensor) -> Tensor:
    """Return the rows of both, ``(2 N, ...)`` on the CPU, one after another."""
    return torch.stack([even.cpu(), odd.cpu()], 1).flatten(0, 1)
