"""``worldgpt direct``: train the same agent on real steps, the control of every dream."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures, show
from .options import assignment, to_dict, to_tuple


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--model", help="whose codecs see: embedded world or folder")
    parser.add_argument("--world", help="default: the world that the model learned")
    parser.add_argument(
        "--world-options", nargs="+", type=assignment, metavar="NAME=VALUE", help="of the world"
    )
    parser.add_argument("--steps", type=int, help="real steps")
    parser.add_argument("--out", type=Path, required=True, metavar="POLICY")
    parser.add_argument("--num-envs", type=int, help="worlds side by side")
    parser.add_argument("--modalities", nargs="+", help="that agents see; default: the model's")
    parser.add_argument("--remember", type=int, metavar="N", help="past observations it sees")
    parser.add_argument("--remember-over", type=int, metavar="STEPS", help="spread over these")
    parser.add_argument("--seed", type=int)


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    from ..direct import DirectConfig, train_directly

    to_tuple(options, "modalities")
    to_dict(options, "world_options")
    return show(train_directly(DirectConfig(**options)))
