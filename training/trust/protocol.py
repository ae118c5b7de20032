"""TrustedWorld: what the trust card asks of any world model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Observation = dict[str, np.ndarray]
"""Observations of B rows by key, ``(B, ...)`` each."""


@dataclass(frozen=True)
class WorldStep:
    """One imagined step of B rows.

    Attributes:
        state: the next states, in whatever form the model keeps them.
        reward: ``(B,)`` float, as an agent in the dream gets it.
        ended: ``(B,)`` bool, whether the dream ends here; a time limit is no end.
        end_probability: ``(B,)`` float in [0, 1].
        uncertainty: ``(B,)`` float, higher where the model trusts itself less; None without one.
        consistency: ``(B,)`` float, lower where the modalities disagree; None without one.
        expected_reward: ``(B,)`` float, the mean over both outcomes; ``reward`` by default.
    """

    state: Any
    reward: np.ndarray
    ended: np.ndarray
    end_probability: np.ndarray
    uncertainty: np.ndarray | None = None
    consistency: np.ndarray | None = None
    expected_reward: np.ndarray | None = None


class TrustedWorld(Protocol):
    """A world model whose trust is measured; subclass it and write the first three methods.

    Observations are those of the real world, batched by key. A model that keeps latents also says
    what agents see of real observations (:meth:`see`), and decodes its states (:meth:`decode`).
    """

    def reset(self, observations: Observation, seed: int) -> Any:
        """Return states that begin at real ``observations``; the same seed dreams the same."""
        ...

    def step(self, state: Any, actions: np.ndarray) -> WorldStep:
        """Imagine one step of every row by ``actions`` ``(B, ...)``; ``state`` is used up."""
        ...

    def observe(self, state: Any) -> Observation:
        """Return what agents see of ``state``."""
        ...

    def correct(self, state: Any, observations: Observation, seed: int) -> Any:
        """Return ``state`` with real ``observations`` in the place of imagined ones.

        What the model remembers of the steps before stays. By default nothing does.
        """
        return self.reset(observations, seed)

    def see(self, observations: Observation) -> Observation:
        """Return what agents see of real ``observations``; by default these themselves."""
        return observations

    def decode(self, state: Any) -> Observation:
        """Return ``state`` as observations of the real world; by default what agents see."""
        return self.observe(state)

    def impossible(self, observations: Observation) -> np.ndarray | None:
        """Return which observations cannot be, ``(B,)`` bool; None where nobody can tell."""
        return None
