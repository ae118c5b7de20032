"""``worldgpt demo``: a dream from nothing to judgement in three minutes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--out", type=Path, help="default: runs/demo")
    parser.add_argument("--model", help="embedded world or folder; default: the embedded default")
    parser.add_argument("--steps", type=int, help="imagined steps")
    parser.add_argument("--real-steps", type=int, help="of the control; default: as recorded")
    parser.add_argument("--episodes", type=int, help="real episodes that judge each agent")
    parser.add_argument("--seed", type=int)


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    from ..demo import DemoConfig, demo

    figures = demo(DemoConfig(**options))
    print(f"\n{figures['table']}\n")
    print(f"real beside dream:  {figures['gif']}")
    print(f"curves:             tensorboard --logdir {figures['tensorboard']}")
    return figures
