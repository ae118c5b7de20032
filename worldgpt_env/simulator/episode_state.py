"""EpisodeState: where N imagined episodes stand, and what one step did to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.arguments import shown
from worldgpt_env.model.batch import Presence, State
from worldgpt_env.model.modalities import Modality

from ..errors import ConfigurationError, InvalidSeedError
from ..randomness import Keys, Stream, draw_keys, seed_keys
from ..spaces import plain_array
from ..start_states import Start

COUNTERS = ("seeds", "episodes", "steps", "ended", "start_index", "match")


@dataclass(frozen=True)
class SimulatorStep:
    """What one step did to every row; a row that had ended before stands still with reward 0.

    Attributes:
        state: the states now, per modality ``(N, C, G)``.
        reward: ``(N,)`` float32, after the uncertainty penalty.
        terminated: ``(N,)`` bool, the world ended.
        truncated: ``(N,)`` bool, the dream was cut; never together with ``terminated``.
        uncertainty: ``(N,)`` float32, at least 0.
        consistency: ``(N,)`` float32 in [0, 1].
        truncated_by: ``(N,)`` object array of ``""``, ``"horizon"`` or ``"uncertainty"``.
        read: what was read of memory and knowledge, as ``info`` tells it; arrays ``(N, ...)``.
    """

    state: State
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    uncertainty: np.ndarray
    consistency: np.ndarray
    truncated_by: np.ndarray
    read: dict[str, Any] = field(default_factory=dict)


@dataclass
class EpisodeState:
    """N episodes: with the history that the model remembers, all that their future depends on.

    Attributes:
        codes: the state tokens now, per modality ``(N, C, G)``; empty before the first reset.
        present: per modality ``(N,)`` bool, which rows have it; on the CPU.
        seeds: ``(N,)`` uint64, the mixed seed of the row.
        episodes: ``(N,)`` int64, episodes since that seed was set; -1 in a row never reset.
        steps: ``(N,)`` int64, steps of the episode.
        ended: ``(N,)`` bool, whether the episode has ended.
        start_index: ``(N,)`` int64, the start state of the episode; -1 if it is none of them.
        match: ``(N,)`` float64, how well it fits the words that were asked for; -1 if none were.
    """

    codes: State
    present: Presence
    seeds: Keys
    episodes: np.ndarray
    steps: np.ndarray
    ended: np.ndarray
    start_index: np.ndarray
    match: np.ndarray

    @classmethod
    def new(cls, count: int, modalities: Sequence[Modality]) -> EpisodeState:
        """Return ``count`` rows that were never reset."""
        return cls(
            codes={},
            present={modality: torch.ones(count, dtype=torch.bool) for modality in modalities},
            seeds=np.zeros(count, np.uint64),
            episodes=np.full(count, -1, np.int64),
            steps=np.zeros(count, np.int64),
            ended=np.zeros(count, bool),
            start_index=np.full(count, -1, np.int64),
            match=np.full(count, -1.0),
        )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.seeds)

    # episodes -----------------------------------------------------------------------------------

    def chosen(self, rows: np.ndarray | Sequence[int] | None, repeats: bool = False) -> np.ndarray:
        """Return row numbers ``(B,)`` int64 of numbers, of a bool mask, or of all rows."""
        numbers: Any = np.arange(len(self)) if rows is None else plain_array(rows)
        if numbers is not None and numbers.dtype == bool and numbers.shape == (len(self),):
            numbers = np.flatnonzero(numbers)
        fits = numbers is not None and numbers.ndim == 1 and numbers.dtype.kind in "iu"
        fits = fits and len(numbers) > 0 and 0 <= numbers.min() and numbers.max() < len(self)
        if not fits or not repeats and len(np.unique(numbers)) < len(numbers):
            raise ConfigurationError(
                f"rows {shown(rows)} are not rows; pass numbers from 0 to {len(self) - 1}, "
                f"or a bool mask ({len(self)},), at least one row"
                + ("." if repeats else " and none of them twice.")
            )
        return np.asarray(numbers, np.int64)

    def next_episodes(
        self, chosen: np.ndarray, seeds: Sequence[int | None] | None
    ) -> tuple[Keys, np.ndarray]:
        """Return the seeds and episode numbers ``(B,)`` that new episodes of ``chosen`` will have.

        A row with a seed starts to count anew; one without goes on, or draws a seed if it never had
        one.
        """
        given = [None] * len(chosen) if seeds is None else _one_each(seeds, len(chosen))
        keys, episodes = self.seeds[chosen], self.episodes[chosen] + 1  # copies
        for place, seed in enumerate(given):
            if seed is not None:
                keys[place], episodes[place] = seed_keys(checked_seeds([seed]))[0], 0
            elif episodes[place] == 0:
                keys[place] = np.random.SeedSequence().generate_state(1, np.uint64)[0]
        return keys, episodes

    def begin(self, chosen: np.ndarray, keys: Keys, episodes: np.ndarray, start: Start) -> None:
        """Begin the episodes that :meth:`next_episodes` announced, in the states of ``start``."""
        if not self.codes:
            shapes = {m: (len(self), *codes.shape[1:]) for m, codes in start.state.items()}
            self.codes = {m: codes.new_zeros(shapes[m]) for m, codes in start.state.items()}
        place = torch.from_numpy(chosen).to(next(iter(self.codes.values())).device)
        self.codes = {m: c.index_copy(0, place, start.state[m]) for m, c in self.codes.items()}
        for modality, there in self.present.items():
            there[chosen] = start.presence(modality)
        self.seeds[chosen], self.episodes[chosen] = keys, episodes
        self.steps[chosen], self.ended[chosen] = 0, False
        self.start_index[chosen], self.match[chosen] = start.index, start.match

    def move(self, state: State) -> None:
        """Turn to the predicted ``state``; rows that have ended stay as they are.

        Whatever a row lacked is predicted, so it is present from here on.
        """
        if self.ended.any():
            device = next(iter(state.values())).device
            still = torch.from_numpy(self.ended).to(device)[:, None, None]
            state = {m: torch.where(still, self.codes[m], codes) for m, codes in state.items()}
        self.codes = state
        live = torch.from_numpy(~self.ended)
        for there in self.present.values():
            there |= live

    def draw(self, stream: Stream) -> Keys:
        """Return the random keys of this step, ``(N,)``."""
        return draw_keys(self.seeds, self.episodes, self.steps, stream)

    def partly_present(self, device: torch.device) -> Presence:
        """Return what the model needs to know: the modalities that are missing in some row."""
        return {m: there.to(device) for m, there in self.present.items() if not there.all()}

    def absent_keys(self, row: int) -> tuple[str, ...]:
        """Return the keys of the modalities that ``row`` lacks."""
        return tuple(str(modality) for modality, there in self.present.items() if not there[row])

    # copies -------------------------------------------------------------------------------------

    def select(self, chosen: np.ndarray, seeds: Sequence[int] | None = None) -> EpisodeState:
        """Return copies of the ``chosen`` rows, with new ``seeds`` if given."""
        parts = {name: getattr(self, name)[chosen] for name in COUNTERS}
        if seeds is not None:
            parts["seeds"] = seed_keys(checked_seeds(_one_each(seeds, len(chosen))))
        rows = torch.from_numpy(chosen)
        return EpisodeState(
            {m: codes[rows.to(codes.device)] for m, codes in self.codes.items()},
            {m: there[rows] for m, there in self.present.items()},
            **parts,
        )

    def to_tensors(self) -> dict[str, Tensor]:
        """Return everything by name, as copies."""
        counters = {name: getattr(self, name) for name in COUNTERS}
        counters["seeds"] = self.seeds.view(np.int64)  # torch has no arithmetic on uint64
        tensors = {f"state/{m}": codes.clone() for m, codes in self.codes.items()}
        tensors |= {f"present/{m}": there.clone() for m, there in self.present.items()}
        return tensors | {f"rows/{n}": torch.from_numpy(c.copy()) for n, c in counters.items()}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], modalities: Sequence[Modality], device: torch.device
    ) -> EpisodeState:
        """Return the rows written by :meth:`to_tensors`, the codes on ``device``."""
        counters = {
            name: tensors[f"rows/{name}"].detach().cpu().numpy().copy() for name in COUNTERS
        }
        counters["seeds"] = counters["seeds"].view(np.uint64)
        return cls(
            {m: tensors[f"state/{m}"].detach().to(device, copy=True) for m in modalities},
            {m: tensors[f"present/{m}"].cpu().clone() for m in modalities},
            **counters,
        )


def holds_rows(tensors: Mapping[str, Tensor], model: WorldGPT, count: int) -> bool:
    """Return whether :meth:`EpisodeState.to_tensors` of ``count`` rows can have given these."""
    blank = EpisodeState.new(count, tuple(model.specs))
    for modality in model.specs:
        codec = model.codec(modality)
        dtype = torch.float32 if codec.continuous else torch.int64
        blank.codes[modality] = torch.zeros(count, codec.cells, codec.digits, dtype=dtype)
    if forms(tensors) != forms(blank.to_tensors()):
        return False
    for modality in model.specs:
        codec, codes = model.codec(modality), tensors[f"state/{modality}"]
        if not codec.continuous and not (0 <= int(codes.min()) <= int(codes.max()) < codec.levels):
            return False
    return True


def forms(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the shape and dtype of each tensor."""
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _one_each(seeds: Sequence[Any], count: int) -> list[Any]:
    """Return ``seeds`` as a list; another number of them than ``count`` is an error."""
    if isinstance(seeds, np.ndarray) and seeds.ndim == 1:
        seeds = list(seeds)
    if not isinstance(seeds, list | tuple | range) or len(seeds) != count:
        raise InvalidSeedError(
            f"seeds are {shown(seeds)}; pass {count} whole numbers from 0, one for each row."
        )
    return list(seeds)


def checked_seeds(seeds: Sequence[int]) -> list[int]:
    """Return whole numbers from 0; anything else is an :class:`InvalidSeedError`."""
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InvalidSeedError(
                f"seed {shown(seed)} is not understood; pass a whole number from 0."
            )
    return [int(seed) for seed in seeds]
