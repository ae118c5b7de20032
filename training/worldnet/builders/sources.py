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
        steps: of the world, which make one window; 4 of an Atari game are 16 frames at 60 a
            second: 0.267 s.
        options: of the world, beside its image size and video.
        always: numbers that never change in this game, so that the world does not tell them.
    """

    world: str
    habits: Habits
    steps: int = 4
    options: Mapping[str, Any] = field(default_factory=dict)
    always: Mapping[str, float] = field(default_factory=dict)

    def open(self, image_size: tuple[int, int]) -> World:
        """Open the world with video of that size."""
        return make_world(
            self.world, image_size=image_size, video=True, render_mode=None, **self.options
        )


NUMBERS = ("health", "ammo", "attack_ready")  # of all Doom scenarios
LOWEST, HIGHEST = (0.0, 0.0, 0.0), (100.0, 50.0, 1.0)
UNARMED = {"ammo": 0.0, "attack_ready": 0.0}


def _doom(world: str, habits: Habits, always: Mapping[str, float] | None = None) -> Source:
    """Return a Doom scenario; a window is 2 steps of 4 ticks at 35 a second: 0.229 s."""
    always = always or {}
    variables = tuple(name for name in NUMBERS if name not in always)
    return Source(world, habits, 2, {"variables": variables, "caption": True}, always)


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
    "doom-basic": _doom(
        "doom-basic",
        Habits(skill=0.4, hints={"left": "move left", "right": "move right", "ahead": "attack"}),
    ),
    "doom-health": _doom(
        "doom-health",
        Habits(
            skill=0.15,
            hints={
                "left": "turn left",
                "right": "turn right",
                "behind": "turn left",
                "ahead": "move forward",
            },
            weights={"move forward": 2},
        ),
        UNARMED,
    ),
    "doom-cover": _doom("doom-cover", Habits(repeat=0.6), UNARMED),
    "doom-center": _doom(
        "doom-center",
        Habits(
            skill=0.7,
            hints={
                "left": "turn left",
                "right": "turn right",
                "behind": "turn left",
                "ahead": "attack",
            },
            weights={"wait": 0.5},
        ),
    ),
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
