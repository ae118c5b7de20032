"""The commands of ``worldgpt worldnet``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..parsers import LateParser
from .options import names, numbers
from .table import Command, OwnCommand, add_commands


def recipe(text: str) -> tuple[str, tuple[Path, ...]]:
    """Return ``NAME=DIR,DIR`` as a pair."""
    name, equals, folders = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR,DIR")
    return name, tuple(Path(folder) for folder in names(folders))


LIST = {"nargs": None, "action": "store", "const": None}
NAMES = LIST | {"type": names, "metavar": "A,B"}
NUMBERS = LIST | {"type": numbers, "metavar": "1,2"}
MODELS = {"flags": (), "metavar": "MODEL"}

COMMANDS: dict[str, Command | OwnCommand] = {
    "inspect": OwnCommand(
        "what a WorldNet folder holds: splits, modalities, compositions, broken files",
        "worldnet_inspect",
    ),
    "build": OwnCommand(
        "make a WorldNet folder from recordings or from the annotations of data sets",
        "worldnet_build",
    ),
    "evaluate": Command(
        "judge a model on all combinations of modalities, beside its baselines",
        "worldnet.combination_evaluation.evaluate_combinations",
        "CombinationsConfig",
        {"models": MODELS, "scenarios": NAMES, "known": NAMES, "modalities": NAMES},
        "evaluation.report.report",
    ),
    "sequences": Command(
        "judge a model step after step, with and without its memory",
        "worldnet.sequence_evaluation.evaluate_sequences",
        "SequencesConfig",
        {
            "models": MODELS,
            "scenarios": NAMES,
            "steps": NUMBERS,
            "open_steps": NUMBERS,
            "readings": NAMES,
        },
        "evaluation.sequence_results.report",
    ),
    "compare": Command(
        "put the figures of several evaluations side by side",
        "evaluation.comparison.compare",
        "CompareConfig",
        {"files": {"flags": (), "metavar": "FILE"}, "names": NAMES},
        "evaluation.comparison.report",
    ),
    "curves": Command(
        "draw the held-out losses of several trainings, class by class",
        "evaluation.learning_curves.draw_curves",
        "CurvesConfig",
        {"runs": {"type": recipe, "metavar": "NAME=DIR,DIR"}},
        "evaluation.learning_curves.report",
    ),
}


def add_worldnet(commands: Any) -> LateParser:
    """Add ``worldgpt worldnet`` to ``commands`` and return the parser of its ``evaluate``."""
    text = "transitions as media files: inspect, build, evaluate"
    parser = commands.add_parser("worldnet", help=text, description=text)
    inner = parser.add_subparsers(required=True, metavar="WHAT", parser_class=LateParser)
    return add_commands(inner, COMMANDS)["evaluate"]
