"""``worldgpt train``: learn a world from recordings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures, show
from .options import assignment, to_dict, to_tuple


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL")
    parser.add_argument("--preset", help="tiny, small (default), medium or paper")
    parser.add_argument("--language-model", metavar="NAME", help="of the preset paper")
    parser.add_argument("--encoders", nargs="+", type=assignment, metavar="MODALITY=KIND:NAME")
    parser.add_argument("--updates", type=int, help="of the dynamics")
    parser.add_argument("--codec-updates", type=int, help="of each codec")
    parser.add_argument("--init", type=Path, metavar="MODEL", help="a model to start from")
    parser.add_argument("--rows", type=int, help="windows of a batch")
    parser.add_argument("--length", type=int, help="steps of a window")
    parser.add_argument("--context", type=int, help="steps that the model looks back")
    parser.add_argument("--outcome", help="read reward and end from: action (default) or next")
    parser.add_argument("--temperature", type=float, help="of dreams: 0 none, 1 as recorded")
    parser.add_argument("--rarity", type=float, help="how much more often rare states are drawn")
    parser.add_argument("--blurred", type=float, help="share of digits seen at random")
    parser.add_argument(
        "--agent-modalities", nargs="+", help="that agents observe by default; default: all"
    )
    parser.add_argument("--schedule", help="complete (default), progressive, naive or static")
    parser.add_argument("--without", nargs="+", metavar="IN>OUT", help="never trained combinations")
    parser.add_argument("--sequences", type=float, help="share of the updates on whole windows")
    parser.add_argument("--histories", type=float, help="share of updates shown past transitions")
    parser.add_argument("--histories-over", type=int, metavar="STEPS", help="spread over these")
    parser.add_argument("--watch-every", type=int, help="updates between looks at held-out loss")
    parser.add_argument("--codecs-from", type=Path, metavar="MODEL", help="use its codecs")
    parser.add_argument("--scenarios", nargs="+", help="learn from these alone")
    parser.add_argument("--share", type=float, help="learn from this share of the transitions")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--held-out", type=float, help="share of the episodes kept for the card")
    parser.add_argument("--horizon", type=int, help="imagined steps before a dream is cut")
    parser.add_argument("--start-states", type=int, help="moments that are stored with the model")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", help="cpu (default) or cuda")


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    from ..train import TrainConfig, train

    options["data"] = tuple(options["data"])
    for name in ("agent_modalities", "without", "scenarios"):
        to_tuple(options, name)
    to_dict(options, "encoders")
    return show(train(TrainConfig(**options)))
