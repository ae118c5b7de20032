"""Rollout: candidates lived through in imagination, and what each of them is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from worldgpt_env.model.batch import State
from worldgpt_env.simulator import Simulator, SimulatorStep

from .episodic_memory import EpisodicMemory, NoveltyTracker, override, recall
from .subgoals import Subgoal

Value = Callable[[Simulator, State], np.ndarray]
"""What the states at the end of a plan are worth beyond it, ``(N,)`` in units of the reward."""


@dataclass(frozen=True)
class SubgoalBonus:
    """A subgoal beside the reward, and what reaching it at once is worth."""

    subgoal: Subgoal
    worth: float


@dataclass(frozen=True)
class Scoring:
    """What makes a plan a good one.

    Attributes:
        discount: of each further step.
        penalty: per unit of uncertainty.
        novelty: for each moment that neither the episode nor the plan has met, in units of the
            reward.
        recall: what really followed an action in a moment of the episode follows it again.
        value: of the states at the end of a plan.
    """

    discount: float
    penalty: float = 0.0
    novelty: float = 0.0
    recall: bool = False
    value: Value | None = None


def imagine(
    simulator: Simulator,
    sequences: np.ndarray,
    scoring: Scoring,
    bonuses: Sequence[SubgoalBonus | None],
    memories: Sequence[EpisodicMemory],
) -> np.ndarray:
    """Live through one sequence per row and return the scores, ``(N,)`` float64.

    A score is the discounted sum of the rewards and novelties less the uncertainties, until the
    episode ends; the value of the last state of those that do not; and for a bonus its worth times
    the best discounted match on the way, so that to reach it sooner is better.

    Args:
        simulator: a fork, which is stepped.
        sequences: ``(N, H)`` or ``(N, H, parts)`` actions.
        scoring: what counts, and how much.
        bonuses: one per block of ``N / len(bonuses)`` rows.
        memories: likewise, what the episode has met.
    """
    rows = len(sequences)
    score, reached = np.zeros(rows), np.zeros(rows)
    live, factor = np.ones(rows, bool), 1.0
    unmet = NoveltyTracker(memories, rows) if scoring.novelty else None
    for time in range(sequences.shape[1]):
        actions = np.ascontiguousarray(sequences[:, time])
        known = recall(simulator, actions, memories) if scoring.recall else {}
        step = simulator.step(actions)
        goes_on = override(simulator, known)
        gain = _gain(step, goes_on, scoring.penalty)
        if unmet is not None:
            gain += scoring.novelty * unmet(simulator.state)
        score += np.where(live, factor * gain, 0.0)
        if any(bonus is not None for bonus in bonuses):
            match = factor * _matches(simulator, simulator.state, bonuses)
            reached = np.where(live, np.maximum(reached, match), reached)
        live &= goes_on | ~(step.terminated | step.truncated)
        factor *= scoring.discount
        if not live.any():
            break
    if scoring.value is not None and live.any():
        score += np.where(live, factor * scoring.value(simulator, simulator.state), 0.0)
    return score + reached


def _gain(step: SimulatorStep, goes_on: np.ndarray, penalty: float) -> np.ndarray:
    """Return the rewards less the uncertainties, ``(N,)`` float64; what is known is certain.

    Args:
        step: as it was imagined.
        goes_on: ``(N,)`` bool, rows that are known to go on: an end that did not come pays nothing.
        penalty: per unit of uncertainty.
    """
    reward = np.where(goes_on & step.terminated, 0.0, step.reward)
    return reward - penalty * np.where(goes_on, 0.0, step.uncertainty)


def _matches(
    simulator: Simulator, state: State, bonuses: Sequence[SubgoalBonus | None]
) -> np.ndarray:
    """Return what each row has of the worth of its bonus, ``(N,)`` float64."""
    block = simulator.num_envs // len(bonuses)
    found = np.zeros(simulator.num_envs)
    for number, bonus in enumerate(bonuses):
        if bonus is not None:
            rows = slice(number * block, (number + 1) * block)
            part = {modality: codes[rows] for modality, codes in state.items()}
            found[rows] = bonus.worth * bonus.subgoal.match(simulator.model, part)
    return found
