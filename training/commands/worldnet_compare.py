"""``worldgpt worldnet compare``: several evaluations side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures
from .options import names, to_tuple


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="of evaluate --json")
    parser.add_argument("--names", type=names, metavar="A,B", help="a word for each file")


def run(**options: Any) -> Figures:
    """Compare, and print the tables."""
    from ..evaluation.comparison import GROUPS, CompareConfig, compare

    to_tuple(options, "files")
    result = compare(CompareConfig(**options))
    print(
        "[a, b]: 95 % over held-out episodes (cluster bootstrap); {a, b}: 95 % over models "
        "(Student's t where both judge the same models, else Welch's)."
    )
    titles = {"skill": "Skill over copying", "skill_allowed": "Skill over the best allowed"}
    for figure, title in titles.items():
        for group in GROUPS:
            print(f"\n{title}\n\n{result.table(group, figure)}")
    return result.to_json()
