"""Repeats: whether the same action at the same observation always leads to the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from .episode import Episode

ENOUGH = 100
"""Repeats below which nothing is concluded."""
EXACT = 0.995
"""Share of equal outcomes from which a world has neither chance nor a hidden past."""


@dataclass(frozen=True)
class Repeats:
    """Time steps of a recording whose observation and action had come before.

    Attributes:
        count: how many.
        equal: of these, how many led to the observation, reward and end of the first time.
    """

    count: int
    equal: int

    @classmethod
    def of(cls, episodes: Iterable[Episode]) -> Repeats:
        """Compare all time steps of ``episodes``, to the last bit."""
        first: dict[bytes, bytes] = {}
        count = equal = 0
        for episode in episodes:
            seen = [
                _digest(*(part[step].tobytes() for part in episode.observations.values()))
                for step in range(len(episode.rewards) + 1)
            ]
            for step, reward in enumerate(episode.rewards):
                last = step == len(episode.rewards) - 1
                ends = bytes([bool(episode.terminated and last)])
                outcome = _digest(seen[step + 1], reward.tobytes(), ends)
                here = seen[step] + episode.actions[step].tobytes()
                if here in first:
                    count, equal = count + 1, equal + (first[here] == outcome)
                first.setdefault(here, outcome)
        return cls(count, equal)

    @property
    def are_exact(self) -> bool:
        """Whether observation and action alone decide what follows, as far as one can tell.

        A model that looks further back would learn habits of the recorded agent instead: after
        three steps forward comes the goal, because the recorded agent walks to it.
        """
        return self.count >= ENOUGH and self.equal >= EXACT * self.count


def _digest(*parts: bytes) -> bytes:
    """Return a short hash of ``parts``."""
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()
