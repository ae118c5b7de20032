"""``worldgpt worldnet sequences``: one step after another, with and without memory."""

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
    parser.add_argument("--scenarios", type=names, metavar="A,B", help="judge only these")
    parser.add_argument("--length", type=int, help="transitions of a sequence; default: 7")
    parser.add_argument("--sequences", type=int, help="at most; default: 200")
    parser.add_argument("--steps", type=_numbers, help="that are judged; default: 1,3,5,7")
    parser.add_argument("--open-steps", type=_numbers, help="likewise, in open loop; to 49")
    parser.add_argument("--readings", type=names, help="default: none,raw,reflected")
    parser.add_argument("--contexts", type=int, help="remembered steps that are read; default: 5")
    parser.add_argument("--draws", type=int, help="of the bootstrap; default: 1000")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", help="cpu (default) or cuda")


def run(**options: Any) -> Figures:
    """Evaluate and print the tables."""
    from ..evaluation.sequence_results import MODES
    from ..worldnet.sequence_evaluation import SequencesConfig, evaluate_sequences

    to_tuple(options, "models")
    result = evaluate_sequences(SequencesConfig(**options))
    print(
        f"{len(result.models)} models on {result.sequences} sequences of {result.episodes} "
        f"episodes, split {result.split!r} of {result.data}; {result.contexts} remembered "
        "transitions are read.\n[a, b]: 95 % over episodes (cluster bootstrap); {a, b}: 95 % over "
        "models (Student's t)."
    )
    for mode, words in MODES.items():
        print(f"\nCosine {words}\n\n{result.table(mode)}")
    return result.to_json()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in names(text))
