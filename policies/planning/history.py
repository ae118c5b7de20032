"""History: what really happened so far, as the model that plans remembers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import State
from worldgpt_env.simulator import Simulator, SimulatorConfig
from worldgpt_env.spaces import check_observation

from .episodic_memory import EpisodicMemory, state_keys
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
        memories: per row what the episode has met, and what followed there.
    """

    simulator: Simulator
    surprise: np.ndarray
    memories: tuple[EpisodicMemory, ...]

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
        return cls(simulator, np.zeros(rows), _begun(simulator.state))

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
        before = state_keys(simulator.state)
        imagined = simulator.step(actions).state
        surprise = np.where(starts, 0.0, distance(model, seen, imagined))
        simulator.correct(seen)
        if starts.any():
            first = {str(m): value[starts] for m, value in raw.items()}
            rows_begun = np.flatnonzero(starts)
            simulator.reset(rows_begun, [seed] * len(rows_begun), {"observation": first})
        begun, reached = _begun(simulator.state), state_keys(simulator.state)
        memories = tuple(
            begun[row] if starts[row] else past.after(before[row], actions[row], now, reached[row])
            for row, (past, now) in enumerate(zip(self.memories, _rows(seen), strict=True))
        )
        return History(simulator, surprise, memories)

    def select(self, rows: Sequence[int] | np.ndarray) -> History:
        """Return the history of some rows."""
        memories = tuple(self.memories[row] for row in rows)
        return History(self.simulator.fork(rows), self.surprise[np.asarray(rows)], memories)


def _begun(state: State) -> tuple[EpisodicMemory, ...]:
    """Return what episodes have lived through that begin in ``state``."""
    return tuple(EpisodicMemory(frozenset([mark])) for mark in state_keys(state))


def _rows(state: State) -> list[State]:
    """Return the state of each row, per modality ``(C, G)``."""
    rows = len(next(iter(state.values())))
    return [{modality: codes[row] for modality, codes in state.items()} for row in range(rows)]
