"""``worldgpt dream``: train an agent inside a learned world."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures, show
from .options import ALGORITHMS, assignment, to_dict, to_tuple


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--model", help="embedded world or folder; default: the embedded default")
    parser.add_argument("--algo", choices=ALGORITHMS)
    parser.add_argument("--steps", type=int, help="imagined steps in all")
    parser.add_argument("--out", type=Path, required=True, metavar="POLICY")
    parser.add_argument("--num-envs", type=int, help="imagined episodes side by side")
    parser.add_argument("--obs-mode", choices=("latent", "decoded"))
    parser.add_argument("--modalities", nargs="+", help="that agents see; default: the model's")
    parser.add_argument("--horizon", type=int, help="imagined steps before an episode is cut")
    parser.add_argument(
        "--start-states", help="first, visited, mixed (default), rewarded or a path"
    )
    parser.add_argument("--temperature", type=float, help="0: the most likely outcome")
    parser.add_argument("--max-uncertainty", type=float, help="cut less certain episodes")
    parser.add_argument("--uncertainty-penalty", type=float, help="taken off the reward")
    parser.add_argument(
        "--set", dest="settings", nargs="+", type=assignment, metavar="NAME=VALUE",
        help="hyper-parameters, as learning_rate=3e-4 net_arch=[64,64]",
    )  # fmt: skip
    parser.add_argument("--save-every", type=int, help="imagined steps between two saves")
    parser.add_argument("--memory", choices=("raw", "reflected"), help="the model reads past steps")
    parser.add_argument("--memory-count", type=int, metavar="N", help="so many")
    parser.add_argument("--memory-over", type=int, metavar="STEPS", help="spread over these")
    parser.add_argument("--knowledge", type=Path, metavar="DIR", help="the model reads this base")
    parser.add_argument("--remember", type=int, metavar="N", help="that the agent sees again")
    parser.add_argument("--remember-over", type=int, metavar="STEPS", help="spread over these")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", help="cpu (default) or cuda")


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    from ..imagination import DreamConfig, dream

    to_dict(options, "settings")
    to_tuple(options, "modalities")
    return show(dream(DreamConfig(**options)))
