"""``worldgpt collect``: record a real world."""

from __future__ import annotations

import argparse
from typing import Any

from ..results_io import Figures, show
from .options import assignment, to_dict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--world", required=True, help="as listed by: worldgpt info")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--policy", help="random (default), least-tried, or the folder of a policy")
    parser.add_argument("--epsilon", type=float, help="share of random actions with another policy")
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--world-options", nargs="+", type=assignment, metavar="NAME=VALUE", help="of the world"
    )


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    from ..collect import CollectConfig, collect

    to_dict(options, "world_options")
    return show(collect(CollectConfig(**options)))
