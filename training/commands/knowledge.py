"""``worldgpt knowledge``: recordings become a knowledge base that a model is shown."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures, show
from .options import to_tuple


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--model", required=True, help="whose codecs make the keys")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--split", help="of a WorldNet folder; default: train")
    parser.add_argument("--scenarios", nargs="+", help="only of these")
    parser.add_argument("--per-scenario", type=int, help="transitions of each; default: all")
    parser.add_argument("--seed", type=int)


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    from ..knowledge import KnowledgeConfig, build_knowledge

    for name in ("data", "scenarios"):
        to_tuple(options, name)
    return show(build_knowledge(KnowledgeConfig(**options)))
