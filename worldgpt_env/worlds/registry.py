"""The worlds by name; each is imported only when it is opened."""

from __future__ import annotations

import importlib
import re
from typing import Any

from worldgpt_env.model.arguments import near, shown

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


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,63}")
FOREIGN_NAME = re.compile(PREFIX + r"[\w:./-]{1,200}", re.ASCII)


def world_names() -> tuple[str, ...]:
    """Return the names that :func:`make_world` knows, your own registered ones included."""
    return tuple(_WORLDS)


def check_world_name(name: Any, where: str) -> None:
    """Refuse a name that no recording can bear: it is part of a Minari id, and of a path.

    Args:
        name: of a world.
        where: what is named so, for the message.

    Raises:
        ConfigurationError: it is neither made of 2 to 64 letters, digits, ``-`` and ``_``, of which
            the first is a letter or a digit, nor ``"gym:"`` and the id of an environment.
    """
    if isinstance(name, str) and FOREIGN_NAME.fullmatch(name):
        return
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{where} is {name!r:.80}; use 2 to 64 letters, digits, '-' and '_', with a letter or "
            "a digit first."
        )


def register_world(world_class: type[World]) -> None:
    """Make your own world known to :func:`make_world`, under its ``world_name``, in this process.

    Raises:
        ConfigurationError: the class is no :class:`World`, its name is taken or no name, see
            :func:`check_world_name`, or its ``options`` are no names.
    """
    if not (isinstance(world_class, type) and issubclass(world_class, World)):
        raise ConfigurationError(f"{world_class!r} is no world; derive its class from World.")
    name = getattr(world_class, "world_name", "")
    check_world_name(name, f"{world_class.__name__}.world_name")
    options = getattr(world_class, "options", None)
    if not isinstance(options, tuple | list) or not all(isinstance(one, str) for one in options):
        raise ConfigurationError(
            f"{world_class.__name__}.options is {options!r:.80}; give the names of the arguments "
            "of its __init__ in a tuple, () if it has none."
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
    if isinstance(name, str) and name.startswith(PREFIX):
        return make_gym_world(name.removeprefix(PREFIX), **options)
    if name not in _WORLDS:
        meant = near(name, _WORLDS) if isinstance(name, str) else ""
        raise ConfigurationError(
            f"there is no world {name!r:.80}{meant}; choose one of {', '.join(_WORLDS)}."
        )
    world_class = _class_of(_WORLDS[name])
    unknown = set(options) - set(world_class.options)
    if unknown:
        raise ConfigurationError(
            f"world {name!r} has no option {', '.join(sorted(unknown))}; "
            f"it has {', '.join(world_class.options)}."
        )
    try:
        world = world_class(**options)
    except (TypeError, AssertionError) as error:  # of a value that the world cannot count with
        if not options:
            raise
        raise ConfigurationError(
            f"world {name!r} cannot be opened with {shown(options)}: {error}."
        ) from error
    if not hasattr(world, "action_spec"):
        raise ConfigurationError(
            f"{world_class.__name__}.__init__ does not call _declare(specs, actions, render_mode); "
            "call it there."
        )
    return world


def _class_of(entry: str | type[World]) -> type[World]:
    """Return the class that ``"module:Class"`` names; a class is returned as it is."""
    if not isinstance(entry, str):
        return entry
    module_name, class_name = entry.split(":")
    world_class: type[World] = getattr(
        importlib.import_module(module_name, __package__), class_name
    )
    return world_class
