"""``worldgpt dyna``: rounds of recording, learning and dreaming."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures
from .options import ALGORITHMS, assignment, to_dict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--world", required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps-per-round", type=int, help="real steps")
    parser.add_argument("--epsilon", type=float, help="share of random actions after round 0")
    parser.add_argument("--preset", help="tiny, small (default) or medium")
    parser.add_argument("--updates", type=int, help="of the first model")
    parser.add_argument("--round-updates", type=int, help="of the later ones")
    parser.add_argument("--algo", choices=ALGORITHMS)
    parser.add_argument("--dream-steps", type=int, help="imagined steps of each round")
    parser.add_argument("--episodes", type=int, help="that judge each round; 0 for none")
    for name in ("train", "dream"):
        parser.add_argument(
            f"--{name}", nargs="+", type=assignment, metavar="NAME=VALUE",
            help=f"further settings of `worldgpt {name}`, as horizon=32",
        )  # fmt: skip
    parser.add_argument("--seed", type=int)


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    from ..dyna import DynaConfig, dyna
    from ..tables import dyna_table

    to_dict(options, "train")
    to_dict(options, "dream")
    figures = dyna(DynaConfig(**options))
    print(dyna_table(figures))
    return figures
