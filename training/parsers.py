"""Parsers whose options come from another file, which is imported when they are first used."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any


class LateParser(argparse.ArgumentParser):
    """A parser of one command.

    Attributes:
        fill: adds the options when a command line names this command, or None.
        instead: first words that hand the rest of the line to another parser.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """Make a parser without options, as ``argparse`` does."""
        self.fill: Callable[[LateParser], None] | None = None
        self.instead: dict[str, LateParser] = {}
        super().__init__(*arguments, **settings)

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Add an argument as ``argparse`` does; no value of it may be empty or hold a null byte.

        ``--out ""`` would otherwise be the folder that the command is typed in.
        """
        if "type" in settings or "action" not in settings:
            settings["type"] = _filled(settings.get("type", str))
        return super().add_argument(*names, **settings)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Fill the parser if that is still to do, then parse."""
        if args and args[0] in self.instead:
            return self.instead[args[0]].parse_known_args(args[1:], namespace)
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)
        return super().parse_known_args(args, namespace)


def _filled(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return ``kind``, but that an empty text and one with a null byte are errors."""

    def read(text: str) -> Any:
        if not text or "\0" in text:
            what = "empty" if not text else "a text with a null byte"
            raise argparse.ArgumentTypeError(f"the value is {what}; give one, or leave this out")
        return kind(text)

    read.__name__ = getattr(kind, "__name__", "value")  # in what argparse says of a wrong value
    return read
