"""Tables of commands: what each does, and the configuration and function that it calls.

Modules are named and not imported, so that the command line starts without loading torch. An option
that is not given is left to the default of the configuration.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..options import Settings, add_options
from ..parsers import LateParser
from ..results_io import Figures, show, to_json


@dataclass(frozen=True)
class Command:
    """A command whose options are the fields of a configuration.

    Attributes:
        sentence: what it does.
        function: module below ``training`` and function, as ``"train.train"``. A module of
            ``commands`` is named alone: it has ``add_arguments(parser)`` and ``run(**options)``.
        config: the configuration that it takes, a class of the same module or of the module that
            stands before its name; none by default.
        settings: of the options, see :func:`~.options.add_options`.
        table: module and function of the text that is printed of what it returns; by default its
            figures are printed line by line.
        light: it needs no torch.
    """

    sentence: str
    function: str
    config: str = ""
    settings: Settings = field(default_factory=dict)
    table: str = ""
    light: bool = False

    @property
    def reference(self) -> str:
        """Module and class of the configuration."""
        if "." in self.config:
            return self.config
        return f"{self.function.rpartition('.')[0]}.{self.config}"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        if "." not in self.function:
            part_of(f"commands.{self.function}.add_arguments")(parser)
        elif self.config:
            add_options(parser, self.reference, self.settings)

    def run(self, **options: Any) -> Figures:
        """Call the function, print what it returns, and return that for ``--json``."""
        if "." not in self.function:
            return dict(part_of(f"commands.{self.function}.run")(**options))
        arguments = [part_of(self.reference)(**options)] if self.config else []
        result = part_of(self.function)(*arguments)
        if self.table:
            print(part_of(self.table)(result))
            return dict(to_json(result))
        return show(result)


def part_of(reference: str) -> Callable[..., Any]:
    """Return a function or class by its module below ``training`` and its name."""
    module, _, name = reference.rpartition(".")
    found: Callable[..., Any] = getattr(
        importlib.import_module(f"{__package__.rpartition('.')[0]}.{module}"), name
    )
    return found


def add_commands(commands: Any, table: Mapping[str, Command]) -> dict[str, LateParser]:
    """Add commands and return their parsers by name.

    Args:
        commands: what ``add_subparsers(parser_class=LateParser)`` gave.
        table: the commands by name.
    """
    parsers = {}
    for name, command in table.items():
        parser: LateParser = commands.add_parser(
            name,
            help=command.sentence,
            description=command.sentence,
            argument_default=argparse.SUPPRESS,
        )
        parser.add_argument(
            "--json", type=Path, default=None, metavar="FILE", help="write the figures"
        )
        parser.add_argument(
            "--threads", type=int, default=1, help="of torch; 1 is fastest when small"
        )
        parser.add_argument(
            "--import",
            dest="modules",
            action="append",
            default=[],
            metavar="MODULE",
            help="a Python module that registers worlds or environments; may be repeated",
        )
        parser.set_defaults(command=command.run, light=command.light)
        parser.fill = command.add_arguments
        parsers[name] = parser
    return parsers
