"""Options as the command line gives them, on their way to the configuration of a command."""

from __future__ import annotations

import argparse
import json
from typing import Any

from worldgpt_env.model.errors import ConfigurationError

from ..results_io import Figures

ALGORITHMS = ("ppo", "a2c", "dqn")


def config_of(kind: Any, options: Figures, what: str) -> Any:
    """Return the configuration, or say which option does not belong to this use of the command."""
    foreign = sorted(set(options) - set(kind.__dataclass_fields__))
    if foreign:
        named = ", ".join("--" + name.replace("_", "-") for name in foreign)
        raise ConfigurationError(f"{named} cannot be used with {what}; leave it out.")
    if "data" in options and "model" not in options:
        raise ConfigurationError("--data needs a model to compare it with; add --model MODEL.")
    return kind(**options)


def assignment(text: str) -> tuple[str, Any]:
    """Return ``NAME=VALUE`` as a pair; the value is JSON, or else text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def names(text: str) -> tuple[str, ...]:
    """Return the names in ``A,B``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def to_dict(options: Figures, name: str) -> None:
    """Turn the pairs of an option that was given into a dict."""
    if name in options:
        options[name] = dict(options[name])


def to_tuple(options: Figures, name: str) -> None:
    """Turn the list of an option that was given into a tuple."""
    if name in options:
        options[name] = tuple(options[name])
