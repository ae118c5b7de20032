"""Randomness by counting: every draw is a hash of (seed of the row, episode, step, what it is for).

Nothing is stored and nothing is shared between rows, so a dream is the same whatever number of rows
is imagined beside it, and a forked or restored row goes on exactly as the original would.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_GOLDEN = 0x9E3779B97F4A7C15


class Stream(IntEnum):
    """What a draw is for; draws of different streams are independent."""

    START = 1
    DYNAMICS = 2
    TERMINATION = 3
    PLANNING = 4


def seed_keys(seeds: list[int]) -> Keys:
    """Return one well-mixed key per seed (any whole number from 0), ``(B,)`` uint64."""
    states = [np.random.SeedSequence(seed).generate_state(1, np.uint64) for seed in seeds]
    return np.concatenate(states) if states else np.zeros(0, np.uint64)


def draw_keys(
    seeds: Keys, episodes: NDArray[np.int64], steps: NDArray[np.int64], stream: Stream
) -> Keys:
    """Return the keys of one draw in every row, ``(B,)`` uint64."""
    keys = seeds
    for count in (episodes, steps, np.full_like(steps, stream)):
        keys = _mix(keys + (count.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN))
    return keys


def uniforms(keys: Keys) -> NDArray[np.float64]:
    """Return one number in [0, 1) per key, ``(B,)`` float64."""
    return (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53


def noise_keys(keys: Keys) -> NDArray[np.int64]:
    """Return the keys as non-negative int64, ``(B,)``: what the model takes as ``noise``."""
    return (keys >> np.uint64(1)).astype(np.int64)


def _mix(keys: Keys) -> Keys:
    """Return the splitmix64 finaliser of ``keys`` (Steele, Lea and Flood 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
