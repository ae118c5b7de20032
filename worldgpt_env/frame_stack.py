"""FrameStack: past observations of an episode, stacked beside the present one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.arguments import check_whole
from worldgpt_env.model.cognition.choice import choose_steps
from worldgpt_env.model.modalities import Modality

from .errors import ConfigurationError, WorldMismatchError

Observation = dict[str, np.ndarray]
KNOWN = "past"
"""The key that says which past observations there are."""
MOST_FRAMES, LONGEST = 1024, 65536  # all of them are kept in RAM, for each row


@dataclass(frozen=True)
class FrameStackConfig:
    """Which past observations an agent sees.

    Attributes:
        count: how many, beside the first of the episode.
        horizon: None: the last ``count``; else ``count`` spread evenly over the last ``horizon``.
    """

    count: int = 4
    horizon: int | None = None

    def __post_init__(self) -> None:
        """Refuse a stack of nothing, and a horizon that is shorter than what is seen of it."""
        count = check_whole("count of the past observations", self.count, 1, MOST_FRAMES)
        object.__setattr__(self, "count", count)
        if self.horizon is not None:
            name = "horizon of the past observations"
            object.__setattr__(self, "horizon", check_whole(name, self.horizon, count, LONGEST))


class FrameStack:
    """The observations of N episodes side by side, each ``(size,)`` numbers per key.

    Beside ``image`` it shows ``first_image``, that of the first moment of the episode, and
    ``past_image``, those of the chosen moments one after the other, the oldest first; zeros where
    there is none. ``past`` says which there are, 0 or 1 each.

    Args:
        space: of one observation, a Dict of one-dimensional Boxes.
        rows: episodes.
        config: which past observations are shown.

    Attributes:
        space: of one observation with the past ones.
    """

    def __init__(self, space: gym.Space, rows: int, config: FrameStackConfig) -> None:
        """Remember nothing yet."""
        space = space if isinstance(space, gym.spaces.Dict) else gym.spaces.Dict()
        parts = space.spaces
        flat = [isinstance(p, gym.spaces.Box) and len(p.shape) == 1 for p in parts.values()]
        if not flat or not all(flat) or KNOWN in parts:
            raise ConfigurationError(
                f"an agent can remember latent observations, and these have the keys {[*parts]} of "
                f"{[p.shape for p in parts.values()]}; use obs_mode='latent', or LatentObservation "
                "around a real world, and one memory."
            )
        self.config, self.rows = config, rows
        self.space = stacked_space(space, config.count)
        self.length = max(config.count, config.horizon or 0)
        self._steps = np.zeros(rows, np.int64)  # observations kept of each episode
        sizes = {key: (part.shape or ())[0] for key, part in parts.items()}
        self._first = {key: np.zeros((rows, n), np.float32) for key, n in sizes.items()}
        self._kept = {k: np.zeros((rows, self.length, n), np.float32) for k, n in sizes.items()}

    def forget(self, rows: np.ndarray | None = None) -> None:
        """Begin new episodes in ``rows`` (bool mask or numbers; all by default)."""
        self._steps[... if rows is None else rows] = 0

    def show(self, observation: Mapping[str, np.ndarray]) -> Observation:
        """Return observations ``(N, size)`` per key with what is remembered; nothing is kept."""
        horizon, count = self.config.horizon, self.config.count
        step, valid = choose_steps(torch.from_numpy(self._steps), horizon, count)
        there = valid.numpy()
        place = np.arange(self.rows)[:, None], step.numpy() % self.length
        new = (self._steps == 0)[:, None]
        shown = {key: np.asarray(observation[key]) for key in self._kept}
        first = {k: np.where(new, v, self._first[k]) for k, v in shown.items()}
        past = {
            key: np.where(there[..., None], kept[place], np.float32(0)).reshape(self.rows, -1)
            for key, kept in self._kept.items()
        }
        shown |= {f"first_{key}": value for key, value in first.items()}
        shown |= {f"past_{key}": value for key, value in past.items()}
        return shown | {KNOWN: there.astype(np.float32)}

    def keep(self, observation: Mapping[str, np.ndarray]) -> None:
        """Remember the observations ``(N, size)`` of this moment."""
        new = (self._steps == 0)[:, None]
        place = np.arange(self.rows), self._steps % self.length
        for key, kept in self._kept.items():
            kept[place] = observation[key]
            self._first[key] = np.where(new, observation[key], self._first[key])
        self._steps += 1

    def select(self, rows: np.ndarray) -> FrameStack:
        """Return the past of some rows, as copies (numbers, repeats allowed)."""
        other = FrameStack.__new__(FrameStack)
        vars(other).update(vars(self))
        other.rows, other._steps = len(rows), self._steps[rows]
        other._first = {key: part[rows] for key, part in self._first.items()}
        other._kept = {key: part[rows] for key, part in self._kept.items()}
        return other

    def snapshot(self) -> dict[str, Tensor]:
        """Return all that is remembered, as tensors by name (copies)."""
        parts: dict[str, np.ndarray] = {"steps": self._steps}
        parts |= {f"first/{key}": part for key, part in self._first.items()}
        parts |= {f"kept/{key}": part for key, part in self._kept.items()}
        return {name: torch.from_numpy(part.copy()) for name, part in parts.items()}

    def check(self, snapshot: Mapping[str, Tensor]) -> None:
        """Refuse what is no :meth:`snapshot` of a past like this one.

        Raises:
            WorldMismatchError: it is something else.
        """
        wanted = {name: (part.shape, part.dtype) for name, part in self.snapshot().items()}
        if wanted != {n: (getattr(p, "shape", None), getattr(p, "dtype", None))
                      for n, p in snapshot.items()}:  # fmt: skip
            raise WorldMismatchError(
                f"this state does not hold the past observations of {self.rows} rows; pass what "
                "get_state() of the same dream and number of rows returned."
            )

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Return to a :meth:`snapshot` of a past like this one."""
        parts = {name: part.numpy().copy() for name, part in snapshot.items()}
        self._steps = parts["steps"]
        self._first = {key: parts[f"first/{key}"] for key in self._first}
        self._kept = {key: parts[f"kept/{key}"] for key in self._kept}


def stacked_space(space: gym.spaces.Dict, count: int) -> gym.spaces.Dict:
    """Return the space of an observation of ``space`` with ``count`` past ones."""
    parts: dict[str, Any] = dict(space.spaces)
    parts |= {f"first_{key}": part for key, part in space.spaces.items()}
    for key, part in space.spaces.items():
        assert isinstance(part, gym.spaces.Box)
        low, high = (np.tile(bound, count) for bound in (part.low, part.high))
        parts[f"past_{key}"] = gym.spaces.Box(np.minimum(low, 0), np.maximum(high, 0))
    parts[KNOWN] = gym.spaces.Box(0.0, 1.0, (count,), np.float32)
    return gym.spaces.Dict(**parts)  # in this order; a plain dict would be sorted


def observed_now(space: gym.spaces.Dict) -> list[str]:
    """Return the keys of what is observed now, without those of what is remembered."""
    return [key for key in space.spaces if key in {str(modality) for modality in Modality}]
