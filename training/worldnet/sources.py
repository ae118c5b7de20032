"""The games that WorldNet-Arcade is recorded from, and how each is played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.worlds import World, make_world

from .players import Habits


@dataclass(frozen=True)
class Source:
    """One game.

    Attributes:
        world: its name for ``make_world``.
        habits: how it is played.
        steps: of the world, which make one window.
        options: of the world, beside its image size and video.
    """

    world: str
    habits: Habits
    steps: int = 4
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self, image_size: tuple[int, int]) -> World:
        """Open the world with video of that size."""
        return make_world(
            self.world, image_size=image_size, video=True, render_mode=None, **self.options
        )


_ATARI_WINDOW = 4  # steps of 4 frames at 60 a second: 0.267 s
_DOOM_WINDOW = 2  # steps of 4 ticks at 35 a second: 0.229 s


def _doom(world: str, habits: Habits) -> Source:
    options = {"variables": DOOM_NUMBERS}
    return Source(world, habits, _DOOM_WINDOW, options)


DOOM_NUMBERS = ("ammo", "health", "attack_ready")

SOURCES: Mapping[str, Source] = {
    "pong": Source(
        "atari-pong",
        Habits(
            skill=0.75,
            chase=("ball", "player"),
            hints={"high": "move right fire", "low": "move left fire", "there": "fire"},
            weights={"wait": 2, "fire": 2},
        ),
    ),
    "breakout": Source(
        "atari-breakout",
        Habits(
            skill=0.8,
            chase=("ball", "player"),
            hints={
                "left": "move left",
                "right": "move right",
                "there": "wait",
                "gone": "fire",
            },
            weights={"wait": 2},
        ),
    ),
    "freeway": Source("atari-freeway", Habits(repeat=0.6, weights={"move up": 6, "wait": 2})),
    "asterix": Source("atari-asterix", Habits()),
    "spaceinvaders": Source("atari-spaceinvaders", Habits(weights={"wait": 0.5})),
    "mspacman": Source("atari-mspacman", Habits(repeat=0.6, weights={"wait": 0.3})),
}


def choose(names: tuple[str, ...]) -> dict[str, Source]:
    """Return the sources ``names``, all of them if there are none.

    Raises:
        ConfigurationError: one does not exist.
    """
    unknown = sorted(set(names) - set(SOURCES))
    if unknown:
        raise ConfigurationError(
            f"there is no game {', '.join(unknown)}; choose from {', '.join(SOURCES)}."
        )
    return {name: SOURCES[name] for name in SOURCES if not names or name in names}
