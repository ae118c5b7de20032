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

from ..figures import Figures
from ..parsers import LateParser


def add_commands(
    commands: Any, package: str, sentences: Mapping[str, str]
) -> dict[str, LateParser]:
    """Add the commands of ``package``, a file each, and return their parsers by name.

    Args:
        commands: what ``add_subparsers(parser_class=LateParser)`` gave.
        package: whose modules have the names of the commands.
        sentences: what each command does, by name.
    """
    parsers = {}
    for name, sentence in sentences.items():
        parser: LateParser = commands.add_parser(
            name, help=sentence, description=sentence, argument_default=argparse.SUPPRESS
        )
        parser.add_argument(
            "--json", type=Path, default=None, metavar="FILE", help="write the figures"
        )
        parser.add_argument(
            "--threads", type=int, default=1, help="of torch; 1 is fastest when small"
        )
        parser.set_defaults(command=_runner(package, name), light=name == "info")
        parser.fill = _filler(package, name)
        parsers[name] = parser
    return parsers


def _module(package: str, name: str) -> Any:
    return importlib.import_module(f"{package}.{name}")


def _runner(package: str, name: str) -> Callable[..., Figures]:
    """Return what runs the command ``name``."""

    def run(**options: Any) -> Figures:
        figures: Figures = _module(package, name).run(**options)
        return figures

    return run


def _filler(package: str, name: str) -> Callable[[LateParser], None]:
    """Return what adds the options of the command ``name``."""

    def fill(parser: LateParser) -> None:
        _module(package, name).add_arguments(parser)

    return fill
