"""``worldgpt worldnet curves``: the held-out losses of several trainings, class by class."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures
from .options import names, to_dict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--runs", nargs="+", type=_recipe, required=True, metavar="NAME=DIR,DIR",
        help="recipes and the folders of their runs",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="PNG")


def run(**options: Any) -> Figures:
    """Draw the curves and print the table."""
    from ..evaluation.learning_curves import CurvesConfig, draw_curves

    to_dict(options, "runs")
    result = draw_curves(CurvesConfig(**options))
    print(f"[a, b]: 95 % over runs.\n\n{result.table()}\n\npicture: {result.picture}")
    return result.to_json()


def _recipe(text: str) -> tuple[str, tuple[Path, ...]]:
    """Return ``NAME=DIR,DIR`` as a pair."""
    name, equals, folders = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR,DIR")
    return name, tuple(Path(folder) for folder in names(folders))
