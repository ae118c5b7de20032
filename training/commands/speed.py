"""``worldgpt speed``: imagined steps per CPU-second."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--model", help="embedded world or folder; default: the embedded default")
    parser.add_argument("--num-envs", type=int, help="imagined episodes side by side")
    parser.add_argument("--steps", type=int, help="of one measurement")
    parser.add_argument("--repeats", type=int, help="of which the median counts")
    parser.add_argument("--dream-steps", type=int, help="of PPO; 0 leaves it out")
    parser.add_argument("--memory", choices=("raw", "reflected"), help="the model reads past steps")
    parser.add_argument("--knowledge", type=Path, metavar="DIR", help="the model reads this base")


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    from ..speed import SpeedConfig, measure_speed

    return show(measure_speed(SpeedConfig(**options)))
