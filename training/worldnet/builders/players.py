"""Players of the games that are recorded: by chance, with habits that make things happen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from worldgpt_env.model.errors import ConfigurationError

ORDER = {"left": 0, "center": 1, "ahead": 1, "right": 2, "high": 0, "middle": 1, "low": 2}
OPPOSITE = (("left", "right"), ("high", "low"))


@dataclass(frozen=True)
class Habits:
    """How a game is played: badly, but so that it scores and dies.

    Attributes:
        repeat: the chance that the action of the window before is done again.
        weights: how often an action is drawn, 1 if it is not named.
        skill: the chance that a hint of the words is followed.
        chase: two things named in the words; the second, moved by us, goes where the first is.
        hints: the action for a word that is found: in the state, or in a chase for the way to go:
            ``"left"``, ``"right"``, ``"high"``, ``"low"``, or ``"there"`` on arrival.
    """

    repeat: float = 0.4
    weights: Mapping[str, float] = field(default_factory=dict)
    skill: float = 0.0
    chase: tuple[str, str] | None = None
    hints: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse chances that are none."""
        for name in ("repeat", "skill"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}; give a chance from 0 to 1."
                )


class Player:
    """Chooses an action for each window, out of the words that tell the state."""

    def __init__(self, actions: Sequence[str], habits: Habits) -> None:
        """Check that the habits name actions that there are."""
        unknown = {*habits.weights, *habits.hints.values()} - set(actions)
        if unknown:
            raise ConfigurationError(
                f"the habits name the actions {sorted(unknown)}; there are {', '.join(actions)}."
            )
        self._actions, self._habits = list(actions), habits
        weights = np.array([habits.weights.get(action, 1.0) for action in actions])
        self._chances = weights / weights.sum()
        self._last: int | None = None

    def begin(self, generator: np.random.Generator) -> None:
        """Forget the game before; draw everything from ``generator``."""
        self._generator, self._last = generator, None

    def __call__(self, text: str) -> int:
        """Return the number of the action for the state that ``text`` tells."""
        hint = self._hint(text.split())
        if hint is not None and self._generator.random() < self._habits.skill:
            self._last = self._actions.index(hint)
        elif self._last is None or self._generator.random() >= self._habits.repeat:
            self._last = int(self._generator.choice(len(self._actions), p=self._chances))
        return self._last

    def _hint(self, words: list[str]) -> str | None:
        """Return the action that the words ask for, if they do."""
        hints = self._habits.hints
        if self._habits.chase is None:
            return next((hints[word] for word in words if word in hints), None)
        target, own = (_places(words, thing) for thing in self._habits.chase)
        for low, high in OPPOSITE:
            aim, here = _along(target, low, high), _along(own, low, high)
            if aim is not None and here is not None:
                way = "there" if aim == here else low if aim < here else high
                return hints.get(way)
        return next((hints[word] for word in words if word in hints and word not in ORDER), None)


def _places(words: list[str], thing: str) -> list[str]:
    """Return the words of place that follow ``thing``."""
    if thing not in words:
        return []
    found = []
    for word in words[words.index(thing) + 1 :]:
        if word not in ORDER:
            break
        found.append(word)
    return found


def _along(places: list[str], low: str, high: str) -> int | None:
    """Return the third (0, 1, 2) on the axis from ``low`` to ``high``, if the words tell it."""
    names = ("left", "center", "right") if low == "left" else ("high", "middle", "low")
    return next((ORDER[place] for place in places if place in names), None)
