"""ActionKeys: which key takes which action, found by the names of the actions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from worldgpt_env.model.modalities import ActionSpec

DIRECTIONS = {
    "left": ("left", "west"),
    "right": ("right", "east"),
    "up": ("up", "forward", "north"),
    "down": ("down", "back", "backward", "south"),
}
"""Arrow keys, and the words in the names of their actions."""
IDLE = ("nothing", "noop", "no-op", "wait", "stay", "idle", "none")
"""Names of an action that is taken while no key is pressed: such a world does not wait."""


@dataclass(frozen=True)
class ActionKeys:
    """Keys by the names of pygame (``"left"``, ``"space"``, ``"1"``), each with its action.

    Attributes:
        keys: action by key.
        idle: the action of a world that does not wait for a key; None: it waits.
        typed: actions are words that have to be typed.
    """

    keys: dict[str, object] = field(default_factory=dict)
    idle: object | None = None
    typed: bool = False

    @classmethod
    def of(cls, spec: ActionSpec) -> ActionKeys:
        """Return the keys of a world's actions."""
        if spec.kind == "text":
            return cls(typed=True)
        if spec.kind == "discrete":
            return cls._of_names([*spec.names] or [""] * spec.sizes[0])
        if spec.kind == "box":
            return cls._of_box(spec)
        return cls()

    @classmethod
    def _of_names(cls, names: list[str]) -> ActionKeys:
        """Return arrows by the words in the names, SPACE for the first that is left, and digits."""
        keys: dict[str, object] = {}
        named: set[int] = set()
        for key, words in DIRECTIONS.items():
            for number, name in enumerate(names):
                if key not in keys and number not in named and set(name.lower().split()) & {*words}:
                    keys[key] = number
                    named.add(number)
        idle = next((n for n, name in enumerate(names) if name.lower() in IDLE), None)
        left = [number for number in range(len(names)) if number not in named | {idle}]
        keys |= {"space": left[0]} if left else {}
        keys |= {str(number + 1): number for number in range(min(9, len(names)))}
        return cls(keys, idle)

    @classmethod
    def _of_box(cls, spec: ActionSpec) -> ActionKeys:
        """Return the arrows that push the first two numbers to their bounds; idle in the middle."""
        low, high = np.array(spec.low, np.float32), np.array(spec.high, np.float32)
        middle = ((low + high) / 2).astype(np.float32)
        keys: dict[str, object] = {}
        for place, (less, more) in enumerate((("left", "right"), ("down", "up"))[: len(low)]):
            for key, bound in ((less, low), (more, high)):
                action = middle.copy()
                action[place] = bound[place]
                keys[key] = action
        return cls(keys, middle)

    def legend(self, spec: ActionSpec) -> str:
        """Return the keys in one line, each action once."""
        if self.typed:
            return "T  type what to do"
        told: dict[str, str] = {}
        for key, action in self.keys.items():
            name = spec.names[int(action)] if isinstance(action, int) and spec.names else key
            told.setdefault(name, key)
        return "   ".join(f"{key} {name}" if name != key else key for name, key in told.items())
