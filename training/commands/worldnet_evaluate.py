"""``worldgpt worldnet evaluate``: every combination of modalities, beside baselines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures
from .options import names, to_tuple


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="folders; seeds of one recipe")
    parser.add_argument("--data", type=Path, required=True, metavar="WORLDNET")
    parser.add_argument("--split", help="default: test")
    for name, text in (
        ("--scenarios", "judge only these"),
        ("--known", "scenarios that the baselines know; default: as the model"),
        ("--modalities", "default: image,video,audio; or: all"),
    ):
        parser.add_argument(name, type=names, metavar="A,B", help=text)
    parser.add_argument("--combinations", help="all (default), paper8, or names as image>audio")
    parser.add_argument("--static", metavar="MODEL", help="trained with --schedule static")
    parser.add_argument("--samples", type=int, help="held-out transitions at most; default: 500")
    parser.add_argument("--references", type=int, help="training transitions; default: 4000")
    parser.add_argument("--candidates", type=int, help="of a retrieval; default: 16")
    parser.add_argument("--decoded", type=int, help="rows that are decoded; default: 128, 0: none")
    parser.add_argument("--draws", type=int, help="of the bootstrap; default: 1000")
    parser.add_argument("--knowledge", type=Path, nargs="+", help="shown beside, one a model")
    parser.add_argument("--memory", action="store_true", help="show what went before")
    parser.add_argument("--contexts", type=int, help="transitions that are shown; default: 3")
    parser.add_argument("--raw", action="store_true", help="show them without the reflector")
    parser.add_argument("--speed", action="store_true", help="predictions per CPU-second too")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", help="cpu (default) or cuda")
    parser.add_argument("--out", type=Path, metavar="DIR", help="tables, TensorBoard, heat map")


def run(**options: Any) -> Figures:
    """Evaluate, print the tables, and write them where ``--out`` says."""
    from ..evaluation.report import report, write_report
    from ..worldnet.combination_evaluation import CombinationsConfig, evaluate_combinations

    for name in ("models", "knowledge"):
        to_tuple(options, name)
    config = CombinationsConfig(**options)
    result = evaluate_combinations(config)
    print(report(result))
    if config.out is not None:
        write_report(result, config.out)
    return result.to_json()
