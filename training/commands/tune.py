"""``worldgpt tune``: teach a model's reflector to read memories and knowledge."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures, show
from .options import to_tuple


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--model", type=Path, required=True, help="stays as it is but for this")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL")
    parser.add_argument("--knowledge", type=Path, help="a knowledge base of the same model")
    parser.add_argument("--scenarios", nargs="+", help="learn from these alone")
    parser.add_argument("--shortest", type=int, help="fewest steps of a history")
    parser.add_argument("--longest", type=int, help="most steps of a history")
    parser.add_argument("--horizon", type=int, help="steps that a history is spread over")
    parser.add_argument("--retrieved", type=int, help="transitions read from the knowledge")
    parser.add_argument("--updates", type=int)
    parser.add_argument("--rows", type=int, help="transitions of a batch")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--seed", type=int)


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    from ..tuning import TuneConfig, tune

    for name in ("data", "scenarios"):
        to_tuple(options, name)
    return show(tune(TuneConfig(**options)))
