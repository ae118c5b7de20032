"""The commands ``worldgpt worldnet inspect | build ...``, each in a ``worldnet_*.py``."""

from __future__ import annotations

from typing import Any

from ..parsers import LateParser
from .table import add_commands

COMMANDS = {
    "inspect": "what a WorldNet folder holds: splits, modalities, compositions, broken files",
    "build": "make a WorldNet folder from recordings or from the annotations of data sets",
    "evaluate": "judge a model on all combinations of modalities, beside its baselines",
    "sequences": "judge a model step after step, with and without its memory",
    "compare": "put the figures of several evaluations side by side",
    "curves": "draw the held-out losses of several trainings, class by class",
}


def add_worldnet(commands: Any) -> LateParser:
    """Add ``worldgpt worldnet`` to ``commands`` and return the parser of its ``evaluate``."""
    text = "transitions as media files: inspect, build, evaluate"
    parser = commands.add_parser("worldnet", help=text, description=text)
    inner = parser.add_subparsers(required=True, metavar="WHAT", parser_class=LateParser)
    return add_commands(inner, COMMANDS, "worldnet_")["evaluate"]
