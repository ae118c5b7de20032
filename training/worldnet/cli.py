"""The commands ``worldgpt worldnet inspect | build | evaluate``, each in the file of its name.

Such a file has ``add_arguments(parser)`` and ``run(arguments) -> Figures``, which prints its table
and returns the figures of ``--json``. It is imported when its command is named. An option that is
not given and has no default of its own is not in ``arguments``: ``Config(**vars(arguments))`` keeps
the defaults of the configuration.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

from ..figures import Figures
from ..parsers import LateParser

COMMANDS = {
    "inspect": "what a WorldNet folder holds: splits, modalities, compositions, broken files",
    "build": "make a WorldNet folder from recordings or from the annotations of data sets",
    "evaluate": "judge a model on all combinations of modalities, beside its baselines",
    "compare": "put the figures of several evaluations side by side",
    "curves": "draw the held-out losses of several trainings, class by class",
}

Add = Callable[[Any, str, Callable[..., Figures], str], LateParser]


def add_worldnet(commands: Any, add: Add) -> LateParser:
    """Add ``worldgpt worldnet`` to ``commands`` and return the parser of its ``evaluate``.

    Args:
        commands: of the ``worldgpt`` parser.
        add: ``(commands, name, run, text)`` adds one command with the options that all have.
    """
    text = "transitions as media files: inspect, build, evaluate"
    parser = commands.add_parser("worldnet", help=text, description=text)
    inner = parser.add_subparsers(required=True, metavar="WHAT")
    parsers = {name: add(inner, name, _runner(name), text) for name, text in COMMANDS.items()}
    for name, command in parsers.items():
        command.fill = _filler(name)
    return parsers["evaluate"]


def _module(name: str) -> Any:
    return importlib.import_module(f".{name}", __package__)


def _runner(name: str) -> Callable[..., Figures]:
    """Return what runs the command ``name``."""

    def run(**options: Any) -> Figures:
        figures: Figures = _module(name).run(argparse.Namespace(**options))
        return figures

    return run


def _filler(name: str) -> Callable[[LateParser], None]:
    """Return what adds the options of the command ``name``."""

    def fill(parser: LateParser) -> None:
        _module(name).add_arguments(parser)

    return fill
