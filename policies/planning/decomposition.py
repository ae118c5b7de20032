"""Decomposition: long goals in words, one subgoal after another, each planned in imagination."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.modalities import Modality, TextSpec
from worldgpt_env.simulator import SimulatorConfig

from .cem import CEM, CEMConfig
from .proposer import Proposer, Situation
from .rollout import SubgoalBonus, Value
from .state import PlannerState, PlanNote
from .subgoals import Subgoal


@dataclass(frozen=True)
class DecompositionConfig(CEMConfig):
    """How subgoals are followed.

    Attributes:
        worth: what it is worth to reach a subgoal at once, in units of the largest recorded reward.
        patience: steps after which a subgoal is given up, and subgoals are proposed anew.
        novelty: as in :class:`PlannerConfig`, but a little by default.
        max_surprise: likewise, but with a limit by default.
    """

    worth: float = 1.0
    patience: int = 40
    novelty: float = 0.01
    max_surprise: float | None = 0.05

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        super().__post_init__()
        self._need("worth", lambda value: value > 0, "a number above 0")
        whole = "a number from 1"
        self._need("patience", lambda value: isinstance(value, int) and value >= 1, whole)


@dataclass(frozen=True)
class SubgoalQueue:
    """What one episode is after.

    Attributes:
        goal: in words.
        subgoals: what is still to be reached, the next one first; then the reward alone counts.
        reached: names of those that were reached.
        since: step of the episode since which the first one is tried.
    """

    goal: str
    subgoals: tuple[Subgoal, ...]
    reached: tuple[str, ...] = ()
    since: int = 0


class Decomposition(CEM):
    """CEM towards one subgoal after another, proposed from a goal that is given in words.

    A subgoal is reached when what is really observed matches it, from the first step on; then the
    next one is planned for. When reality is not what was imagined, the plan is made anew, and when
    a subgoal is not reached in time, all of them are proposed anew from where the episode stands.

    Args:
        model: as in :class:`Planner`.
        proposer: takes the goal to pieces.
        goal: in words; by default the words of the first observation of each episode.
        config: how subgoals are followed.
        value: as in :class:`Planner`.
        dream: as in :class:`Planner`.
    """

    config_class = DecompositionConfig
    config: DecompositionConfig

    def __init__(
        self,
        model: WorldGPT | str,
        proposer: Proposer,
        goal: str = "",
        config: DecompositionConfig | None = None,
        *,
        value: Value | None = None,
        dream: SimulatorConfig | None = None,
    ) -> None:
        """See the class."""
        super().__init__(model, config, value=value, dream=dream)
        self.proposer, self.goal = proposer, goal

    def _aim(self, now: PlannerState, reasons: list[str]) -> tuple[PlannerState, list[str]]:
        queues, told = list(now.queues), list(reasons)
        for row, reason in enumerate(reasons):
            if reason == "start":
                queues[row] = self._proposed(now, row, self.goal or self._text(now, row), ())
                continue
            before: SubgoalQueue = queues[row]
            queues[row] = self._advanced(now, row, before)
            if len(queues[row].subgoals) < len(before.subgoals):
                told[row] = f"reached {queues[row].reached[-1]!r}"
            elif before.subgoals and now.step[row] - before.since >= self.config.patience:
                queues[row] = self._proposed(now, row, before.goal, before.reached)
                told[row] = f"did not reach {before.subgoals[0].name!r}"
        return replace(now, queues=tuple(queues)), told

    def _bonus(self, now: PlannerState, row: int) -> SubgoalBonus | None:
        subgoals = now.queues[row].subgoals
        if not subgoals:
            return None
        return SubgoalBonus(subgoals[0], self.config.worth * self._largest_reward)

    def _note(self, now: PlannerState, row: int, reason: str, action: np.ndarray) -> PlanNote:
        names = tuple(subgoal.name for subgoal in now.queues[row].subgoals)
        current = names[0] if names else "the reward"
        note = super()._note(now, row, reason, action)
        return replace(note, subgoal=current, subgoals=names)

    def _advanced(self, now: PlannerState, row: int, queue: SubgoalQueue) -> SubgoalQueue:
        """Return the queue without the subgoals that the observed state of ``row`` reaches."""
        here = {m: codes[row : row + 1] for m, codes in now.history.state.items()}
        while queue.subgoals and queue.subgoals[0].match(self.model, here)[0] >= 1:
            reached = (*queue.reached, queue.subgoals[0].name)
            queue = SubgoalQueue(queue.goal, queue.subgoals[1:], reached, int(now.step[row]))
        return queue

    def _proposed(
        self, now: PlannerState, row: int, goal: str, reached: tuple[str, ...]
    ) -> SubgoalQueue:
        here = {m: codes[row : row + 1] for m, codes in now.history.state.items()}
        situation = Situation(self.model, goal, here, self._text(now, row), reached)
        return SubgoalQueue(goal, self.proposer.propose(situation), reached, int(now.step[row]))

    def _text(self, now: PlannerState, row: int) -> str:
        spec = self.model.specs.get(Modality.TEXT)
        if not isinstance(spec, TextSpec):
            return ""
        ids = now.history.state[Modality.TEXT][row, :, 0].cpu().numpy()  # (slots,)
        return spec.decode(ids)
