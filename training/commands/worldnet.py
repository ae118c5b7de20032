"""The commands of ``worldgpt worldnet``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..options import LIST, names, numbers
from ..parsers import LateParser
from .table import Command, add_commands


def recipe(text: str) -> tuple[str, tuple[Path, ...]]:
    """Return ``NAME=DIR,DIR`` as a pair."""
    name, equals, folders = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR,DIR")
    return name, tuple(Path(folder) for folder in names(folders))


NAME_LIST = LIST | {"type": names, "metavar": "A,B"}
NUMBER_LIST = LIST | {"type": numbers, "metavar": "1,2"}
MODELS = {"flags": (), "metavar": "MODEL"}

WORLDNET_COMMANDS: dict[str, Command] = {
    "inspect": Command(
        "what a WorldNet folder holds: splits, modalities, compositions, broken files",
        "worldnet_inspect",
    ),
    "build": Command(
        "make a WorldNet folder from recordings or from the annotations of data sets",
        "worldnet_build",
    ),
    "evaluate": Command(
        "judge a model on all combinations of modalities, beside its baselines",
        "worldnet.combination_evaluation.evaluate_combinations",
        "CombinationsConfig",
        {"models": MODELS, "scenarios": NAME_LIST, "known": NAME_LIST, "modalities": NAME_LIST},
        "evaluation.report.report",
    ),
    "sequences": Command(
        "judge a model step after step, with and without its memory",
        "worldnet.sequence_evaluation.evaluate_sequences",
        "SequencesConfig",
        {
            "models": MODELS,
            "scenarios": NAME_LIST,
            "steps": NUMBER_LIST,
            "open_steps": NUMBER_LIST,
            "readings": NAME_LIST,
        },
        "evaluation.sequence_results.report",
    ),
    "compare": Command(
        "put the figures of several evaluations side by side",
        "evaluation.comparison.compare",
        "CompareConfig",
        {"files": {"flags": (), "metavar": "FILE"}, "names": NAME_LIST},
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
    return add_commands(inner, WORLDNET_COMMANDS)["evaluate"]
