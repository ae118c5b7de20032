"""Experience: all real steps of a Dyna run, kept per round and joined for learning."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldgpt_env.model.checkpoint import CURE
from worldgpt_env.model.errors import CheckpointError
from worldgpt_env.model.safe_io import write_tensors
from worldgpt_env.model.safe_tensors import read_tensors
from worldgpt_env.model.vector_dynamics import ActionEncoder, VectorTransitions

_KINDS = {
    **dict.fromkeys(("states", "next_states"), "float32"),
    **dict.fromkeys(("terminated", "ended", "first"), "bool"),
    **{"rewards": "float64", "seeds": "int64"},
}
"""Types of the columns; that of the actions is the world's."""


@dataclass(frozen=True)
class RealSteps:
    """``N`` real steps one after another, as the world gave them.

    Attributes:
        states: ``(N, D)`` float32.
        actions: ``(N,)`` int64 or ``(N, A)``.
        rewards: ``(N,)`` float64.
        next_states: ``(N, D)`` float32.
        terminated: ``(N,)`` bool.
        ended: ``(N,)`` bool, the episode ended here: by the world, its time limit or a crash.
        first: ``(N,)`` bool, the step is the first of its episode.
        seeds: ``(N,)`` int64, what the episode was reset with.
    """

    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_states: np.ndarray
    terminated: np.ndarray
    ended: np.ndarray
    first: np.ndarray
    seeds: np.ndarray

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.states)

    def save(self, path: Path) -> None:
        """Write the steps to ``path``, a safetensors file in a folder that is being written."""
        write_tensors(path, {f.name: torch.from_numpy(getattr(self, f.name)) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> RealSteps:
        """Read the steps of one round.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        arrays = {name: tensor.numpy() for name, tensor in read_tensors(path, CURE).items()}
        lengths = {len(array) if array.ndim else 0 for array in arrays.values()}
        kinds = {name: arrays[name].dtype.name for name in _KINDS if name in arrays}
        if set(arrays) != {f.name for f in fields(cls)} or len(lengths) != 1 or kinds != _KINDS:
            raise CheckpointError(f"{path} holds no real steps. {CURE}")
        return cls(**arrays)

    @classmethod
    def joined(cls, parts: list[RealSteps]) -> RealSteps:
        """Return all steps of ``parts``."""
        columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(cls)}
        return cls(**{name: np.concatenate(arrays) for name, arrays in columns.items()})

    def transitions(self, encoder: ActionEncoder) -> VectorTransitions:
        """Return the steps as a dynamics learns from them."""
        return VectorTransitions(
            torch.from_numpy(self.states),
            encoder(self.actions),
            torch.from_numpy(self.rewards).float(),
            torch.from_numpy(self.next_states),
            torch.from_numpy(self.terminated),
            torch.from_numpy(self.first),
        )

    def episode_returns(self) -> list[float]:
        """Return the sum of rewards of every episode that has ended."""
        returns, total = [], 0.0
        for first, reward, ended in zip(self.first, self.rewards, self.ended, strict=True):
            total = float(reward) if first else total + float(reward)
            if ended:
                returns.append(total)
        return returns

    def unfinished(self) -> tuple[int, np.ndarray] | None:
        """Return seed and actions of the episode that goes on after the last step, if one does."""
        if not len(self) or self.ended[-1]:
            return None
        start = int(np.flatnonzero(self.first)[-1])
        return int(self.seeds[-1]), self.actions[start:]


class StepRecorder:
    """Collects the real steps of one round."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        """Return how many steps were added."""
        return len(self._rows)

    def add(self, *row: Any) -> None:
        """Add one step: the fields of :class:`RealSteps` in their order."""
        self._rows.append(row)

    def cut(self) -> None:
        """Say that the episode of the last step ended there."""
        if self._rows:
            *rest, _, first, seed = self._rows[-1]
            self._rows[-1] = (*rest, True, first, seed)

    def steps(self) -> RealSteps:
        """Return what was collected."""
        dtypes = (np.float32, None, np.float64, np.float32, bool, bool, bool, np.int64)
        columns = zip(*self._rows, strict=True)
        arrays = [np.array(column, dtype) for column, dtype in zip(columns, dtypes, strict=True)]
        return RealSteps(*arrays)
