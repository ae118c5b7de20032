"""Dyna in any Gymnasium environment: what its spaces hold decides which route learns it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.worlds import GymWorld, make_world
from worldgpt_env.worlds.gym_world import PREFIX

DEFAULT_STEPS = 5_000


def dyna_env(env_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Run Dyna in the environment ``env_id`` with the options of the command line.

    A world of numbers is learned by a vector dynamics
    (:func:`~worldgpt_env.training.numeric.numeric_dyna`).

    Raises:
        ConfigurationError: there is no such environment, it is no world of numbers, or an option
            belongs to ``--world``.
        MissingDependencyError: its package is not installed.
    """
    world = make_world(PREFIX + env_id)
    numeric = isinstance(world, GymWorld) and world.is_numeric
    kinds = ", ".join(str(modality) for modality in world.specs)
    world.close()
    if not numeric:
        raise ConfigurationError(
            f"{env_id} is observed by {kinds}, and --env learns worlds of numbers; "
            f"type: worldgpt dyna --world {PREFIX}{env_id} --out DIR"
        )
    from .numeric import NumericDynaConfig, numeric_dyna

    given = {name: value for name, value in options.items() if value is not None}
    given.setdefault("real_steps", DEFAULT_STEPS)
    if "steps_per_round" in given:
        given["round_steps"] = given.pop("steps_per_round")
    foreign = set(given) - set(NumericDynaConfig.__dataclass_fields__)
    if foreign:
        names = ", ".join("--" + name.replace("_", "-") for name in sorted(foreign))
        raise ConfigurationError(f"{names} belongs to --world, not to --env; leave it out.")
    return numeric_dyna(NumericDynaConfig(world=PREFIX + env_id, **given))
