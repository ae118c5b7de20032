"""Drift: where dreams of 200 steps get to, by what cannot be or by what was never recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from ..intervals import cluster_bootstrap
from .card import IMPOSSIBLE, Figure
from .episodes import Transitions
from .probes import scale_of
from .protocol import Observation, TrustedWorld
from .ranked_policy import RankedPolicy

STEPS = 200
EVERY = 5
"""Of this many steps, the last is looked at."""
ORDINARY = 0.99
"""Share of real states that lie nearer to recorded ones than what counts as far."""


def drift_figure(
    world: TrustedWorld, policy: RankedPolicy, first: Observation, play: Transitions
) -> Figure:
    """Return the share of impossible states, or of far ones where the world cannot tell.

    Args:
        world: to be judged.
        policy: acts, as at random.
        first: observations that the dreams begin with, ``(B, ...)`` per key.
        play: real steps.
    """
    known = world.impossible(play.state)
    if known is not None:
        note = f"{known.sum()} of {len(known)} real states count as impossible"
        return _share(f"drift: impossible states in {STEPS} steps", world, policy, first, note)
    distance = _Distance(world, play)
    name = f"drift: states far from recorded ones in {STEPS} steps"
    note = f"{1 - ORDINARY:.0%} of real states are as far"
    return _share(name, world, policy, first, note, lambda state: distance(world.observe(state)))


def _share(
    name: str,
    world: TrustedWorld,
    policy: RankedPolicy,
    first: Observation,
    note: str,
    far: Callable[[Any], np.ndarray] | None = None,
) -> Figure:
    """Return the share of states that are ``far``, or else impossible, with its interval."""
    rows, bad = [], []
    for going, state in _dream(world, policy, first):
        strange = far(state) if far else world.impossible(world.decode(state))
        assert strange is not None
        rows.append(np.flatnonzero(going))
        bad.append(strange[going])
    if not sum(map(len, rows)):
        return Figure(name, None, None, f"not measured: every dream ends within {EVERY} steps")
    strange = np.concatenate(bad)
    found = cluster_bootstrap(lambda drawn: float(strange[drawn].mean()), np.concatenate(rows))
    return Figure(name, found, None if far else IMPOSSIBLE, f"{len(strange)} states; {note}")


def _dream(
    world: TrustedWorld, policy: RankedPolicy, first: Observation
) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield which rows ``(B,)`` bool have not ended, and the states, every few steps."""
    torch.manual_seed(0)
    state, memory = world.reset(first, 0), None
    going = np.ones(len(next(iter(first.values()))), bool)
    begins = going.copy()
    for number in range(1, STEPS + 1):
        seen = policy.in_dream(world, state)
        actions, memory = policy.policy.predict(seen, memory, begins, deterministic=False)
        step = world.step(state, actions)
        state, going, begins = step.state, going & ~step.ended, np.zeros_like(begins)
        if not going.any():
            return
        if number % EVERY == 0:
            yield going, state


class _Distance:
    """Whether states are farther from recorded ones than nearly all real states are."""

    def __init__(self, world: TrustedWorld, play: Transitions) -> None:
        """Compare the states of every other episode with those of the rest."""
        seen = world.see(play.state)
        self.scale = scale_of(seen)
        points, other = self._points(seen), play.episode % 2 == 1
        self.recorded = points[~other] if other.any() else points
        self.limit = (
            float(np.quantile(self._nearest(points[other]), ORDINARY)) if other.any() else 0
        )

    def __call__(self, seen: Observation) -> np.ndarray:
        """Return which rows are far, ``(B,)`` bool."""
        return self._nearest(self._points(seen)) > self.limit

    def _points(self, seen: Observation) -> torch.Tensor:
        """Return rows of all keys, each key in units of its scale and of one weight."""
        parts = []
        for key, value in seen.items():
            flat = value.reshape(len(value), -1).astype(np.float32)
            parts.append(flat / (self.scale[key] * np.sqrt(flat.shape[1])))
        return torch.from_numpy(np.concatenate(parts, 1))

    def _nearest(self, points: torch.Tensor) -> np.ndarray:
        return torch.cdist(points, self.recorded).amin(1).numpy()
