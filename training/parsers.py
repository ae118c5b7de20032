"""Parsers whose options come from another file, which is imported when they are first used."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from worldgpt_env.model.arguments import near


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
        self._refuse_unknown(args or ())
        return super().parse_known_args(args, namespace)

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Refuse an option that this command lacks before anything else, and say what is near."""
        if self._subparsers is not None:
            return  # they are options of a command below
        known = self._option_string_actions
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            if option != "--" and not any(name.startswith(option) for name in known):
                self.error(f"there is no option {option}{near(option, known)}")


class CommandParser(argparse.ArgumentParser):
    """The parser of ``worldgpt``; of a command that it lacks it says what is near."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with exit code 2."""
        found = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        if found:
            word, known = found[1], re.findall(r"[\w-]+", found[2])
            message = f"there is no command {word!r}{near(word, known)}; see worldgpt --help"
        super().error(message)


def _filled(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return ``kind``, but that an empty text and one with a null byte are errors."""

    def read(text: str) -> Any:
        if not text or "\0" in text:
            what = "empty" if not text else "a text with a null byte"
            raise argparse.ArgumentTypeError(f"the value is {what}; give one, or leave this out")
        return kind(text)

    read.__name__ = getattr(kind, "__name__", "value")  # in what argparse says of a wrong value
    return read
