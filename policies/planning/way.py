"""WayProposer: goes where recorded episodes went on their way to the goal."""

from __future__ import annotations

import numpy as np

from worldgpt_env.errors import InvalidOptionError
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import State
from worldgpt_env.randomness import Keys, seed_keys
from worldgpt_env.start_states import StartStates

from .proposer import Situation
from .subgoals import Place, ProposalError, Subgoal, distance, text_spec


class WayProposer:
    """Looks in a recording for an episode that passed near here and later came to the goal.

    Of all pairs of a moment here and a later one at the goal, in one episode, it takes the one
    whose first moment is nearest (in the latents of the model), and among those the shortest way.
    Moments on that way, evenly spaced in time, are the subgoals; the goal is the last one.

    Args:
        states: recorded moments with their episode and step, as the start states of a model.
        goal: a state to reach, per modality ``(1, C, G)``; by default the goal's words choose it.
        every: recorded steps between two subgoals.
        near: see :class:`Place`; also how near a moment must be to count as at ``goal``.
    """

    def __init__(
        self,
        states: StartStates,
        goal: State | None = None,
        every: int = 4,
        near: float = 0.05,
    ) -> None:
        """Keep the recording."""
        self.states, self.goal, self.every, self.near = states, goal, every, near
        self._episode, self._step = states.episode.numpy(), states.step.numpy()

    def propose(self, situation: Situation) -> tuple[Subgoal, ...]:
        """See :class:`Proposer`."""
        model = situation.model
        codes = self.states.select(np.arange(len(self.states)))
        recorded = {m: part.to(model.device) for m, part in codes.items()}
        ends = self._ends(situation, model, recorded)
        apart = distance(model, recorded, situation.state)  # (R,)
        first, last = self._pair(apart, ends)
        way = np.flatnonzero(
            (self._episode == self._episode[last])
            & (self._step > self._step[first])
            & (self._step < self._step[last])
        )
        way = way[np.argsort(self._step[way], kind="stable")]
        passed = (self._step[way] - self._step[first]) // self.every  # which stretch of the way
        stops = way[np.flatnonzero(np.diff(passed, prepend=0) > 0)]
        return tuple(self._place(int(moment)) for moment in [*stops, last])

    def _ends(self, situation: Situation, model: WorldGPT, recorded: State) -> np.ndarray:
        """Return the moments at the goal, indices ``(E,)``."""
        if self.goal is not None:
            ends = np.flatnonzero(distance(model, recorded, self.goal) <= self.near)
        else:
            ends = self._told(situation.goal, model)
        if not len(ends):
            raise ProposalError(
                f"no recorded moment is at the goal {situation.goal!r:.120}; record more of the "
                "world, or ask for something that was seen."
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

    def _pair(self, apart: np.ndarray, ends: np.ndarray) -> tuple[int, int]:
        """Return the moment to start from and the moment at the goal."""
        pairs = []
        for end in ends:
            before = np.flatnonzero(
                (self._episode == self._episode[end]) & (self._step <= self._step[end])
            )
            order = np.lexsort((self._step[end] - self._step[before], apart[before]))
            start = before[order[0]]
            pairs.append((apart[start], self._step[end] - self._step[start], start, end))
        _, _, start, end = min(pairs)
        return int(start), int(end)

    def _place(self, moment: int) -> Place:
        name = f"recorded {self._episode[moment]}:{self._step[moment]}"
        return Place(self.states.select(np.array([moment])), name, self.near)
