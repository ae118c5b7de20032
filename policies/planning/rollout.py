"""Rollout: candidates lived through in imagination, and what each of them is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from worldgpt_env.model.batch import State
from worldgpt_env.simulator import Simulator

from .subgoals import Subgoal

Value = Callable[[Simulator, State], np.ndarray]
"""What the states at the end of a plan are worth beyond it, ``(N,)`` in units of the reward."""


@dataclass(frozen=True)
class Wish:
    """A subgoal beside the reward, and what reaching it at once is worth."""

    subgoal: Subgoal
    worth: float


def imagine(
    simulator: Simulator,
    sequences: np.ndarray,
    discount: float,
    penalty: float = 0.0,
    value: Value | None = None,
    wishes: Sequence[Wish | None] = (),
) -> np.ndarray:
    """Live through one sequence per row and return the scores, ``(N,)`` float64.

    A score is the discounted sum of the rewards less ``penalty`` times the uncertainty, until the
    episode ends; ``value`` of the last state of those that do not; and for a wish its worth times
    the best discounted match on the way, so that to reach it sooner is better.

    Args:
        simulator: a fork, which is stepped.
        sequences: ``(N, H)`` or ``(N, H, parts)`` actions.
        discount: of each further step.
        penalty: per unit of uncertainty.
        value: of the states at the end of the plan.
        wishes: one per block of ``N / len(wishes)`` rows.
    """
    rows = len(sequences)
    score, reached = np.zeros(rows), np.zeros(rows)
    live, factor = np.ones(rows, bool), 1.0
    for time in range(sequences.shape[1]):
        step = simulator.step(np.ascontiguousarray(sequences[:, time]))
        gain = step.reward.astype(np.float64) - penalty * step.uncertainty
        score += np.where(live, factor * gain, 0.0)
        if any(wish is not None for wish in wishes):
            match = factor * _matches(simulator, step.state, wishes)
            reached = np.where(live, np.maximum(reached, match), reached)
        live &= ~(step.terminated | step.truncated)
        factor *= discount
        if not live.any():
            break
    if value is not None and live.any():
        score += np.where(live, factor * value(simulator, simulator.state), 0.0)
    return score + reached


def _matches(simulator: Simulator, state: State, wishes: Sequence[Wish | None]) -> np.ndarray:
    """Return what each row has of the worth of its wish, ``(N,)`` float64."""
    block = simulator.num_envs // len(wishes)
    found = np.zeros(simulator.num_envs)
    for number, wish in enumerate(wishes):
        if wish is not None:
            rows = slice(number * block, (number + 1) * block)
            part = {modality: codes[rows] for modality, codes in state.items()}
            found[rows] = wish.worth * wish.subgoal.match(simulator.model, part)
    return found
