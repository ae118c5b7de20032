"""``worldgpt dyna``: rounds of living, learning and dreaming, in any world."""

from __future__ import annotations

import argparse
from typing import Any

from worldgpt_env.model.errors import ConfigurationError

from ..options import ALGORITHM, add_options, options_of
from ..results_io import Figures, to_json

WORLD, NUMERIC = "dyna.DynaConfig", "numeric.config.NumericDynaConfig"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of both uses."""
    parser.add_argument("--env", metavar="ID", help="any Gymnasium environment, as CartPole-v1")
    add_options(parser, WORLD, {"algo": ALGORITHM}, required=False)
    shared = {option.name for option in options_of(WORLD)}
    own = [option.name for option in options_of(NUMERIC) if option.name in shared]
    add_options(parser, NUMERIC, dict.fromkeys(own), required=False)


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    if "out" not in options:
        raise ConfigurationError("nothing says where the run goes; add --out DIR.")
    if ("env" in options) == ("world" in options):
        raise ConfigurationError(
            "give either --env ID (any Gymnasium environment, as CartPole-v1) or --world NAME "
            "(as listed by: worldgpt info)."
        )
    if "env" in options:
        from worldgpt_env.worlds.gym_world import PREFIX

        world = PREFIX + options.pop("env")
        if _is_numeric(world):
            return _run_numeric(world, options)
        options["world"] = world
    _refuse_foreign(options, WORLD, "a world of more than numbers")
    from ..dyna import DynaConfig, dyna
    from ..tables import dyna_table

    figures = dyna(DynaConfig(**options))
    print(dyna_table(figures))
    return dict(to_json(figures))


def _is_numeric(name: str) -> bool:
    """Return whether the Gymnasium environment ``name`` is observed by numbers alone."""
    from worldgpt_env.worlds import GymWorld, make_world

    world = make_world(name)
    world.close()
    return isinstance(world, GymWorld) and world.is_numeric


def _run_numeric(world: str, options: Figures) -> Figures:
    """Run Dyna in a world of numbers."""
    _refuse_foreign(options, NUMERIC, "a world of numbers")
    from ..numeric import NumericDynaConfig, numeric_dyna
    from ..tables import numeric_dyna_table

    figures = numeric_dyna(NumericDynaConfig(world=world, **options))
    print(numeric_dyna_table(figures))
    return dict(to_json(figures))


def _refuse_foreign(options: Figures, config: str, what: str) -> None:
    """Refuse options that do not belong to this kind of world."""
    if foreign := sorted(set(options) - {option.name for option in options_of(config)}):
        named = ", ".join("--" + name.replace("_", "-") for name in foreign)
        raise ConfigurationError(f"{named} cannot be used in {what}; leave it out.")
