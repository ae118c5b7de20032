"""Episode: one life in a real world, as arrays; and the error of recordings that are no good."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from worldgpt_env.model.errors import WorldGPTError
from worldgpt_env.model.modalities import Modality


class RecordingError(WorldGPTError, ValueError):
    """A recording is missing, empty, damaged, foreign, or does not fit its specs or the others."""


class RecordingWarning(UserWarning):
    """A part of an unfinished recording was damaged; what was lost is recorded again."""


@dataclass
class Episode:
    """One episode of a real world, ``T`` steps.

    Attributes:
        observations: per modality ``(T + 1, *shape)``: the first moment, then one after each step.
        actions: ``(T,)`` int64 for discrete actions, ``(T, n)`` otherwise: int64, or float32 of a
            box.
        rewards: ``(T,)`` float32; ``rewards[t]`` follows ``actions[t]``.
        terminated: the world ended after the last action.
        truncated: the episode was cut there by a time limit, or by the end of the recording. It is
            one of both, never neither.
        seed: what the world was reset with, a whole number from 0.
        present: per modality ``(T + 1,)`` bool, which moments have it; a modality that is not
            named here is there in all of them. What is absent holds zeros that nothing reads.
        scenario: what kind of episode it is, such as the game; "" if there is one kind.
    """

    observations: dict[Modality, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    truncated: bool
    seed: int
    present: dict[Modality, np.ndarray] = field(default_factory=dict)
    scenario: str = ""

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.actions)

    def first(self, steps: int) -> Episode:
        """Return the first ``steps`` of it, or all if it has no more."""
        if steps >= len(self):
            return self
        return dataclasses.replace(
            self,
            observations={m: part[: steps + 1] for m, part in self.observations.items()},
            actions=self.actions[:steps],
            rewards=self.rewards[:steps],
            terminated=False,
            truncated=True,
            present={m: there[: steps + 1] for m, there in self.present.items()},
        )

    @property
    def nbytes(self) -> int:
        """How many bytes its arrays have."""
        parts = [*self.observations.values(), *self.present.values(), self.actions, self.rewards]
        return sum(part.nbytes for part in parts)
