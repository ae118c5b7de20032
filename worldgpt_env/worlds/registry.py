"""The worlds by name; each is imported only when it is opened."""

from __future__ import annotations

import importlib
from typing import Any

from worldgpt_env.errors import ConfigurationError

from .world import World

_WORLDS = {
    "doorkey": ".doorkey:DoorKeyWorld",
    "doom-basic": ".doom:DoomBasicWorld",
    "doom-audio": ".doom:DoomAudioWorld",
}


def world_names() -> tuple[str, ...]:
    """Return the names that :func:`make_world` knows."""
    return tuple(_WORLDS)


def make_world(name: str, **options: Any) -> World:
    """Open the real world ``name``.

    Args:
        name: one of :func:`world_names`.
        options: settings of that world, as listed in its class (``render_mode="rgb_array"``, ...).

    Returns:
        A Gymnasium environment with a flat ``Dict`` observation space, and the attributes
        ``specs``, ``action_spec`` and ``world_name``.

    Raises:
        ConfigurationError: the name, an option or its value is unknown.
        MissingDependencyError: the package behind the world is not installed.
        WorldError: the world cannot start here, for example without working sound.
    """
    if name not in _WORLDS:
        raise ConfigurationError(f"there is no world {name!r}; choose one of {', '.join(_WORLDS)}.")
    module_name, class_name = _WORLDS[name].split(":")
    world_class: type[World] = getattr(
        importlib.import_module(module_name, __package__), class_name
    )
    unknown = set(options) - set(world_class.options)
    if unknown:
        raise ConfigurationError(
            f"world {name!r} has no option {', '.join(sorted(unknown))}; "
            f"it has {', '.join(world_class.options)}."
        )
    return world_class(**options)
