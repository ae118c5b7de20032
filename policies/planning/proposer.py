"""Proposer: whoever takes a long goal to pieces; it is asked at the start, and when stuck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import State

from .subgoals import Subgoal


@dataclass(frozen=True)
class Situation:
    """What a proposer is told.

    Attributes:
        model: whose words and latents subgoals are made of.
        goal: in words.
        state: the observed state, per modality ``(1, C, G)``.
        text: its words; "" in a world without.
        reached: names of the subgoals that were reached in this episode.
    """

    model: WorldGPT
    goal: str
    state: State
    text: str
    reached: tuple[str, ...] = ()


class Proposer(Protocol):
    """Proposes subgoals."""

    def propose(self, situation: Situation) -> tuple[Subgoal, ...]:
        """Return what is to be reached, one after the other, before the reward alone counts.

        Raises:
            ProposalError: nothing could be proposed.
        """
