"""The worlds by name; each is imported only when it is opened."""

from __future__ import annotations

import importlib
import re
from typing import Any

from ..errors import ConfigurationError
from .gym_world import PREFIX, make_gym_world
from .world import World

_WORLDS: dict[str, str | type[World]] = {
    "doorkey": ".doorkey:DoorKeyWorld",
    "minigrid-memory": ".minigrid_memory:MinigridMemoryWorld",
    "babyai-two": ".babyai:BabyAITwoWorld",
    "doom-basic": ".doom_rooms:DoomBasicWorld",
    "doom-audio": ".doom_rooms:DoomAudioWorld",
    "doom-words": ".doom_rooms:DoomWordsWorld",
    "doom-health": ".doom_scenarios:DoomHealthWorld",
    "doom-cover": ".doom_scenarios:DoomCoverWorld",
    "doom-center": ".doom_scenarios:DoomCenterWorld",
    "doom-home": ".doom_scenarios:DoomHomeWorld",
    "doom-corridor": ".doom_scenarios:DoomCorridorWorld",
    "atari-pong": ".atari:PongWorld",
    "atari-breakout": ".atari:BreakoutWorld",
    "atari-freeway": ".atari:FreewayWorld",
    "atari-asterix": ".atari:AsterixWorld",
    "atari-spaceinvaders": ".atari:SpaceInvadersWorld",
    "atari-mspacman": ".atari:MsPacmanWorld",
}


def world_names() -> tuple[str, ...]:
    """Return the names that :func:`make_world` knows, your own registered ones included."""
    return tuple(_WORLDS)


def register_world(world_class: type[World]) -> None:
    """Make your own world known to :func:`make_world`, under its ``world_name``, in this process.

    Raises:
        ConfigurationError: the class is no :class:`World`, its name is taken, or is not made of
            letters, digits, ``-`` and ``_``.
    """
    if not (isinstance(world_class, type) and issubclass(world_class, World)):
        raise ConfigurationError(f"{world_class!r} is no world; derive its class from World.")
    name = getattr(world_class, "world_name", "")
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII):
        raise ConfigurationError(
            f"{world_class.__name__}.world_name is {name!r}; use letters, digits, '-' and '_'."
        )
    if _WORLDS.get(name, world_class) is not world_class:
        raise ConfigurationError(f"there is a world {name!r} already; choose another world_name.")
    _WORLDS[name] = world_class


def make_world(name: str, **options: Any) -> World:
    """Open the real world ``name``.

    Args:
        name: one of :func:`world_names`, or ``"gym:ID"`` for any Gymnasium environment.
        options: settings of that world, as listed in its class (``render_mode="rgb_array"``, ...).

    Returns:
        A Gymnasium environment with a flat ``Dict`` observation space, and the attributes
        ``specs``, ``action_spec`` and ``world_name``.

    Raises:
        ConfigurationError: the name, an option or its value is unknown.
        MissingDependencyError: the package behind the world is not installed.
        WorldError: the world cannot start here, for example without working sound.
    """
    if name.startswith(PREFIX):
        return make_gym_world(name.removeprefix(PREFIX), **options)
    if name not in _WORLDS:
        raise ConfigurationError(f"there is no world {name!r}; choose one of {', '.join(_WORLDS)}.")
    world_class = _class_of(_WORLDS[name])
    unknown = set(options) - set(world_class.options)
    if unknown:
        raise ConfigurationError(
            f"world {name!r} has no option {', '.join(sorted(unknown))}; "
            f"it has {', '.join(world_class.options)}."
        )
    return world_class(**options)


def _class_of(entry: str | type[World]) -> type[World]:
    """Return the class that ``"module:Class"`` names; a class is returned as it is."""
    if not isinstance(entry, str):
        return entry
    module_name, class_name = entry.split(":")
    world_class: type[World] = getattr(
        importlib.import_module(module_name, __package__), class_name
    )
    return world_class
