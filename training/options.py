"""Options of a command, read off the dataclass that configures it: its fields and their docs.

The source is read and not imported, so that help is shown without loading torch.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldgpt_env.model.safe_json import parse_json

ALGORITHM: dict[str, Any] = {"choices": ("ppo", "a2c", "dqn"), "metavar": None}
READING: dict[str, Any] = {"choices": ("raw", "reflected"), "metavar": None}
LIST: dict[str, Any] = {"nargs": None, "action": "store", "const": None}  # one word, as A,B
SET: dict[str, Any] = {"flags": ["--set"]}


def whole(text: str) -> int:
    """Return a whole number, which may be written as ``1e4``."""
    number = float(text) if set(text) & set(".eE") else int(text)
    if not -MOST < number < MOST or number != int(number):
        raise ValueError(text)
    return int(number)


MOST = 2**63
"""What no number reaches: beyond, arrays cannot hold it."""
TYPES: dict[str, Callable[[str], Any]] = {"str": str, "int": whole, "float": float, "Path": Path}
Settings = Mapping[str, Mapping[str, Any] | None]
"""Per field what ``add_argument`` is given beside what its type says; None for no option."""


@dataclass(frozen=True)
class Option:
    """One field of a configuration; annotation and default as they are written."""

    name: str
    annotation: str
    default: str | None
    text: str


def add_options(
    parser: argparse.ArgumentParser,
    config: str,
    settings: Settings | None = None,
    required: bool = True,
    prefix: str = "",
) -> None:
    """Add an option for each field of a configuration.

    Args:
        parser: of the command.
        config: module below ``training`` and class, as ``"train.TrainConfig"``.
        settings: of some fields; ``flags`` are other names, ``()`` makes it positional.
        required: fields without a default have to be given.
        prefix: of the names under which the values are stored.
    """
    for option in options_of(config):
        own = (settings or {}).get(option.name, {})
        if own is not None:
            found = _argument(option) | {"help": _help(option), "dest": prefix + option.name}
            found.update(own)
            flags = found.pop("flags", ["--" + option.name.replace("_", "-")])
            if flags and required and option.default is None:
                found["required"] = True
            parser.add_argument(*flags, **found)


def options_of(config: str) -> list[Option]:
    """Return the fields of a configuration, see :func:`add_options`."""
    module, _, name = config.rpartition(".")
    source = Path(__file__).parent / f"{module.replace('.', '/')}.py"
    body = ast.parse(source.read_text("utf-8")).body
    found = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name)
    docs = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", ast.get_docstring(found) or "", re.M)
    texts = {name: " ".join(text.split()) for name, text in docs}
    return [
        Option(
            node.target.id,
            ast.unparse(node.annotation),
            None if node.value is None else ast.unparse(node.value),
            texts.get(node.target.id, ""),
        )
        for node in found.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]


def _argument(option: Option) -> dict[str, Any]:
    """Return what ``add_argument`` is given for the type of a field."""
    kind, _, inner = option.annotation.removesuffix(" | None").partition("[")
    if kind == "bool":
        negated = option.default == "True"
        return {"action": argparse.BooleanOptionalAction if negated else "store_true"}
    metavar = option.name.upper()
    several = {"nargs": "+", "action": Gather}
    if kind == "tuple":
        each = TYPES.get(inner.partition(",")[0], str)  # the names of an enum are text
        return several | {"const": tuple, "type": each, "metavar": metavar}
    if kind in ("dict", "Mapping"):
        return several | {"const": dict, "type": assignment, "metavar": "NAME=VALUE"}
    return {"type": TYPES[kind], "metavar": metavar}


class Gather(argparse.Action):
    """Stores the values of an option as its ``const`` makes them: a tuple or a dict."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Store the values."""
        setattr(namespace, self.dest, self.const(values))


class WorldName(argparse.Action):
    """Stores the name of a world; what follows ``--env`` is the id of a Gymnasium environment."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Store ``NAME`` or ``gym:ID``."""
        name = f"gym:{values}" if option_string == "--env" else values
        setattr(namespace, self.dest, name)


WORLD: dict[str, Any] = {"flags": ["--world", "--env"], "action": WorldName, "metavar": "NAME"}


def _help(option: Option) -> str:
    """Return the docs of a field without markup, and its default if that is a plain value."""
    text = re.sub(r":\w+:`~?([^`]*)`|``([^`]*)``", r"\1\2", option.text).rstrip(".")
    try:
        value = ast.literal_eval(option.default or "None")
    except ValueError:
        value = None
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    plain = value is not None and value != "" and not isinstance(value, bool)
    return (text + f"; default: {value}" * plain).replace("%", "%%")


def assignment(text: str) -> tuple[str, Any]:
    """Return ``NAME=VALUE`` as a pair; the value is JSON, or else text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, parse_json(value.encode())
    except ValueError:
        return name, value


def command_line(config: Any, bare: Sequence[str] = ()) -> list[str]:
    """Return the options that give ``config`` where it differs from the defaults.

    Args:
        config: a configuration whose fields are options.
        bare: fields that are paths of which only the last part is told.
    """
    told = []
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        default = entry.default
        if default is dataclasses.MISSING and entry.default_factory is not dataclasses.MISSING:
            default = entry.default_factory()
        if value == default or dataclasses.is_dataclass(value):
            continue
        told.append(f"--{entry.name.replace('_', '-')} {_words(value, entry.name in bare)}")
    return told


def _words(value: Any, bare: bool) -> str:
    """Return a value as it is typed."""
    if isinstance(value, Mapping):
        pairs = (f"{n}={v if isinstance(v, str) else json.dumps(v)}" for n, v in value.items())
        return " ".join(map(shlex.quote, pairs))
    if isinstance(value, tuple):
        return " ".join(_words(part, bare) for part in value)
    return shlex.quote(value.name if bare and isinstance(value, Path) else str(value))


def names(text: str) -> tuple[str, ...]:
    """Return the names in ``A,B``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def numbers(text: str) -> tuple[int, ...]:
    """Return the whole numbers in ``1,2``."""
    return tuple(int(word) for word in names(text))
