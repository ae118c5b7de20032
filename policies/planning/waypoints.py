"""WaypointProposer: goes where recorded episodes went, by the shortest path to the goal."""

from __future__ import annotations

import numpy as np

from worldgpt_env.errors import InvalidOptionError
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import State
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.randomness import Keys, seed_keys
from worldgpt_env.start_states import StartStates

from .proposer import Situation
from .replay_graph import ReplayGraph, ShortestPaths
from .subgoals import Place, ProposalError, Subgoal, distance, see, text_spec

WORDS, REWARD = "words", "reward"


class WaypointProposer:
    """Finds the shortest way to the goal through all that was recorded, see :class:`ReplayGraph`.

    It begins at the recorded place nearest to here (in the latents of the model) from which the
    goal was ever reached, in one episode or by changing from one to another. Places on that way
    are the subgoals; the goal is the last one.

    Args:
        states: recorded moments with their episode and step, as the start states of a model.
        goal: ``"words"``, the moments that fit the words of the goal best; ``"reward"``, those
            whose step was paid at least half of the most that any was; or a state to reach, per
            modality ``(1, C, G)``.
        every: recorded steps between two subgoals.
        near: see :class:`Place`; also how near moments must be to count as one place.

    Raises:
        ConfigurationError: the goal is none of these, or a number is impossible.
    """

    def __init__(
        self,
        states: StartStates,
        goal: State | str = WORDS,
        every: int = 4,
        near: float = 0.05,
    ) -> None:
        """Keep the recording; the paths are found when they are first asked for."""
        if isinstance(goal, str) and goal not in (WORDS, REWARD):
            raise ConfigurationError(
                f'the goal of a way is {goal!r:.80}; use "words", "reward" or a state.'
            )
        number = isinstance(near, int | float) and near >= 0
        if not isinstance(every, int) or every < 1 or not number:
            raise ConfigurationError(
                f"every is {every!r} and near is {near!r}; use a number from 1 and one from 0."
            )
        self.states, self.goal, self.every, self.near = states, goal, every, near
        self._graph: ReplayGraph | None = None
        self._paths: dict[str, ShortestPaths] = {}

    def propose(self, situation: Situation) -> tuple[Subgoal, ...]:
        """See :class:`Proposer`."""
        graph = self._graph or ReplayGraph(situation.model, self.states, self.near)
        self._graph = graph
        asked = situation.goal if self.goal == WORDS else ""
        if asked not in self._paths:
            self._paths[asked] = graph.paths(self._ends(asked, situation.model))
        paths = self._paths[asked]
        start = graph.nearest(see(situation.model, situation.state), paths)
        return tuple(self._place(moment) for moment in paths.stops(start, self.every))

    def _ends(self, goal: str, model: WorldGPT) -> np.ndarray:
        """Return the moments at the goal, indices ``(E,)``."""
        if isinstance(self.goal, str):
            return self.states.rewarding if self.goal == REWARD else self._told(goal, model)
        recorded = self.states.select(np.arange(len(self.states)))
        ends = np.flatnonzero(distance(model, recorded, self.goal) <= self.near)
        if not len(ends):
            raise ProposalError(
                "no recorded moment is at the goal; record more of the world, or ask for "
                "something that was seen."
            )
        return ends

    def _told(self, goal: str, model: WorldGPT) -> np.ndarray:
        """Return the moments that match the words of ``goal`` best."""
        descriptions = self.states.descriptions(text_spec(model))
        keys: Keys = seed_keys([0])
        try:
            best = descriptions.nearest(goal, keys)
        except InvalidOptionError as error:
            raise ProposalError(f"the goal {goal!r:.120} was never seen: {error}") from error
        return descriptions.alike(int(best.index[0]))

    def _place(self, moment: int) -> Place:
        name = f"recorded {int(self.states.episode[moment])}:{int(self.states.step[moment])}"
        return Place(self.states.select(np.array([moment])), name, self.near)
