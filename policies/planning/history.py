"""History: what really happened so far, as the model that plans remembers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import State
from worldgpt_env.simulator import Simulator, SimulatorConfig
from worldgpt_env.spaces import check_observation

from .subgoals import distance

ENDLESS = 10**9
"""Steps after which a followed episode would be cut; the real world decides when it ends."""


@dataclass(frozen=True)
class History:
    """The observed moments of ``N`` real episodes; nothing in it ever changes.

    Attributes:
        simulator: stands where reality stands, with the observed steps in its memory. Only forks
            of it are stepped.
        surprise: ``(N,)`` float64, the distance of the last moment from what was imagined of it; 0
            in the first.
    """

    simulator: Simulator
    surprise: np.ndarray

    @classmethod
    def begin(
        cls,
        model: WorldGPT,
        observation: Mapping[str, np.ndarray],
        rows: int,
        dream: SimulatorConfig,
        seed: int,
    ) -> History:
        """Return the first moments of ``rows`` episodes, seen in ``observation``.

        Every row has the same randomness, so that an episode is the same in any row.
        """
        simulator = Simulator(model, rows, replace(dream, horizon=ENDLESS))
        simulator.reset(seeds=[seed] * rows, options={"observation": observation})
        return cls(simulator, np.zeros(rows))

    @property
    def state(self) -> State:
        """The observed state now, per modality ``(N, C, G)``."""
        return self.simulator.state

    def after(
        self,
        actions: np.ndarray,
        observation: Mapping[str, np.ndarray],
        starts: np.ndarray,
        seed: int,
    ) -> History:
        """Return the history one moment later.

        Args:
            actions: ``(N, ...)`` what was done; of no meaning in rows that start.
            observation: raw, per key ``(N, *shape)``.
            starts: ``(N,)`` bool, rows in which a new episode starts; their past is forgotten.
            seed: of the randomness of new episodes.
        """
        simulator = self.simulator.fork()
        model, rows = simulator.model, simulator.num_envs
        raw = check_observation(observation, model.specs, rows)
        seen = model.encode({m: value.copy() for m, value in raw.items()})
        imagined = simulator.step(actions).state
        surprise = np.where(starts, 0.0, distance(model, seen, imagined))
        state = simulator.get_state()
        state |= {f"state/{modality}": codes for modality, codes in seen.items()}
        state["rows/ended"] = state["rows/ended"].new_zeros(rows)
        simulator.set_state(state)
        if starts.any():
            first = {str(m): value[starts] for m, value in raw.items()}
            begun = np.flatnonzero(starts)
            simulator.reset(begun, [seed] * len(begun), {"observation": first})
        return History(simulator, surprise)

    def select(self, rows: Sequence[int] | np.ndarray) -> History:
        """Return the history of some rows."""
        return History(self.simulator.fork(rows), self.surprise[np.asarray(rows)])
