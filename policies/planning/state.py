"""What a planner remembers of real episodes between two steps, and what it tells of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .history import History


@dataclass(frozen=True)
class PlannerState:
    """All that a planner remembers of ``N`` real episodes; what `predict` takes and returns.

    Attributes:
        history: what was observed.
        plan: ``(N, H)`` or ``(N, H, parts)``, the plan that is followed.
        age: ``(N,)`` int64, steps of it that were taken.
        step: ``(N,)`` int64, steps of the episode that were taken.
        score: ``(N,)`` float64, of the plan when it was made.
        queues: what each row is after, for planners that have subgoals.
    """

    history: History
    plan: np.ndarray
    age: np.ndarray
    step: np.ndarray
    score: np.ndarray
    queues: tuple[Any, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.age)

    def select(self, rows: Sequence[int] | np.ndarray) -> PlannerState:
        """Return what is remembered of some rows, when the other episodes are over."""
        place = np.asarray(rows, np.int64)
        return PlannerState(
            self.history.select(place),
            self.plan[place],
            self.age[place],
            self.step[place],
            self.score[place],
            tuple(self.queues[row] for row in place) if self.queues else (),
        )


@dataclass(frozen=True)
class PlanNote:
    """What a planner did for one row in one step.

    Attributes:
        row: of the batch.
        step: of the episode, from 0.
        action: the action in words, or as numbers.
        reason: why a plan was made now; "" if the last one is followed.
        score: of the plan when it was made.
        surprise: how far reality is from what was imagined of it.
        subgoal: what is to be reached now; "" without subgoals.
        subgoals: all that were proposed and are not reached.
    """

    row: int
    step: int
    action: str
    reason: str
    score: float
    surprise: float
    subgoal: str = ""
    subgoals: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line of a log."""
        parts = [f"row {self.row} step {self.step}: {self.action}"]
        parts += [f"towards {self.subgoal!r}"] if self.subgoal else []
        parts += [f"new plan ({self.reason}), score {self.score:.3f}"] if self.reason else []
        return ", ".join([*parts, f"surprise {self.surprise:.3f}"])
