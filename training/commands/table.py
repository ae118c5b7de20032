"""Tables of commands: a name, a sentence, and a file that is imported when its command is named.

Such a file has ``add_arguments(parser)``, and ``run(**options)``, which prints its table and
returns the figures of ``--json``. An option that is not given and has no default of its own is not
in ``options``: ``Config(**options)`` keeps the defaults of the configuration.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..parsers import LateParser
from ..results_io import Figures


def add_commands(
    commands: Any, sentences: Mapping[str, str], prefix: str = ""
) -> dict[str, LateParser]:
    """Add commands, a file of this folder each, and return their parsers by name.

    Args:
        commands: what ``add_subparsers(parser_class=LateParser)`` gave.
        sentences: what each command does, by name.
        prefix: what the name of a command's file has before that of the command.
    """
    parsers = {}
    for name, sentence in sentences.items():
        module = f"{__package__}.{prefix}{name}"
        parser: LateParser = commands.add_parser(
            name, help=sentence, description=sentence, argument_default=argparse.SUPPRESS
        )
        parser.add_argument(
            "--json", type=Path, default=None, metavar="FILE", help="write the figures"
        )
        parser.add_argument(
            "--threads", type=int, default=1, help="of torch; 1 is fastest when small"
        )
        parser.set_defaults(command=_runner(module), light=name == "info")
        parser.fill = _filler(module)
        parsers[name] = parser
    return parsers


def _runner(module: str) -> Callable[..., Figures]:
    """Return what runs the command of a module."""

    def run(**options: Any) -> Figures:
        figures: Figures = importlib.import_module(module).run(**options)
        return figures

    return run


def _filler(module: str) -> Callable[[LateParser], None]:
    """Return what adds the options of the command of a module."""

    def fill(parser: LateParser) -> None:
        importlib.import_module(module).add_arguments(parser)

    return fill
