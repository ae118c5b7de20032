"""Options as the command line gives them, on their way to the configuration of a command."""

from __future__ import annotations

import argparse
from typing import Any

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.safe_json import parse_json

from ..figures import Figures

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
        return name, parse_json(value.encode())
    except ValueError:
        return name, value


def to_dict(options: Figures, name: str) -> None:
    """Turn the pairs of an option that was given into a dict."""
    if name in options:
        options[name] = dict(options[name])


def to_tuple(options: Figures, name: str) -> None:
    """Turn the list of an option that was given into a tuple."""
    if name in options:
        options[name] = tuple(options[name])
