"""MissionProposer: reads missions of several parts, in the grammar of BabyAI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile
from types import MappingProxyType

from .proposer import Situation
from .subgoals import ProposalError, Subgoal, Words

VERBS: Mapping[str, str] = MappingProxyType(
    {"go to": "facing {}", "pick up": "carrying {}", "open": "{} open", "reach": "{}"}
)
"""The words of a state in which each verb has been obeyed; ``{}`` stands for the thing."""

STATE = ("facing", "carrying")
"""Words with which the state begins, where mission and state stand in one sentence."""


class MissionProposer:
    """Splits "go to the red ball after you pick up a key" into what is to be seen, in order.

    Parts are joined by "then", "and" or "after you" ("A after you B" is B, then A), and each begins
    with a verb. It knows no language but this, and needs no model of one.

    Args:
        verbs: per verb the words that show that it was obeyed; :data:`VERBS` by default.
        state: words at which the mission is over; :data:`STATE` by default.
    """

    def __init__(self, verbs: Mapping[str, str] = VERBS, state: tuple[str, ...] = STATE) -> None:
        """Keep the words."""
        self.verbs, self.state = dict(verbs), frozenset(state)
        starts = "|".join(sorted(map(re.escape, self.verbs), key=len, reverse=True))
        self._part = re.compile(rf"({starts}) (?:(?:the|a|an) )?(\w+(?: \w+)*)")

    def propose(self, situation: Situation) -> tuple[Subgoal, ...]:
        """See :class:`Proposer`; parts that were reached in this episode are left out."""
        phrases = self.read(situation.goal)
        left = list(situation.reached)
        subgoals = []
        for phrase in phrases:
            if phrase in left:
                left.remove(phrase)
            else:
                subgoals.append(Words.checked(phrase, situation.model))
        return tuple(subgoals)

    def read(self, mission: str) -> list[str]:
        """Return the words that are to be seen, one phrase per part, in order.

        Raises:
            ProposalError: a part is not understood.
        """
        words = re.findall(r"\w+", mission.lower())
        text = " ".join(takewhile(lambda word: word not in self.state, words))
        before, after, first = text.partition(" after you ")
        sentences = [first, before] if after else [text]
        parts = [part for sentence in sentences for part in re.split(" then | and ", sentence)]
        return [self._phrase(part, mission) for part in parts]

    def _phrase(self, part: str, mission: str) -> str:
        found = self._part.fullmatch(part)
        if found is None:
            raise ProposalError(
                f"the part {part!r} of the mission {mission!r:.200} is not understood; begin each "
                f"part with one of {list(self.verbs)} and join parts by 'then', 'and' or "
                "'after you'."
            )
        return self.verbs[found[1]].format(found[2])
