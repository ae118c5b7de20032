"""``worldgpt evaluate``: judge a policy in the real world, or a model on a recording."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from worldgpt_env.model.errors import ConfigurationError

from ..results_io import Figures, show
from .options import ALGORITHMS, assignment, config_of, to_dict, to_tuple


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--policy", help="random, a policy folder, planner:cem, or a Stable-Baselines3 zip"
    )
    parser.add_argument("--world", help="default: the world that the policy dreamt of")
    parser.add_argument(
        "--world-options", nargs="+", type=assignment, metavar="NAME=VALUE", help="of its world"
    )
    parser.add_argument("--episodes", type=int)
    parser.add_argument("--num-envs", type=int, help="worlds side by side")
    parser.add_argument("--deterministic", action="store_true", help="most likely actions")
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--set", dest="settings", nargs="+", type=assignment, metavar="NAME=VALUE",
        help="of a planner, as horizon=12 candidates=64",
    )  # fmt: skip
    parser.add_argument("--verbose", action="store_true", help="print what a planner does")
    parser.add_argument("--algo", choices=ALGORITHMS, help="of a zip, which does not say it")
    parser.add_argument(
        "--allow-code-execution", action="store_true", help="open a zip: runs code from inside it"
    )
    parser.add_argument("--model", help="embedded world or folder")
    parser.add_argument("--data", type=Path, nargs="+", metavar="DIR", help="held-out recordings")
    parser.add_argument("--seen", type=Path, nargs="+", metavar="DIR", help="training recordings")
    parser.add_argument("--horizons", type=int, nargs="+", help="default: 1 5 15 50")


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    if "policy" in options and "data" not in options:
        from ..policy_evaluation import EvaluateConfig, evaluate

        to_dict(options, "settings")
        to_dict(options, "world_options")
        return show(evaluate(config_of(EvaluateConfig, options, "--policy")))
    if "data" in options and "policy" not in options:
        from ..evaluation.fidelity import FidelityConfig, evaluate_fidelity

        for name in ("data", "seen", "horizons"):
            to_tuple(options, name)
        result = evaluate_fidelity(config_of(FidelityConfig, options, "--data"))
        print(result.table())
        return result.to_json()
    raise ConfigurationError(
        "nothing to evaluate; give --policy POLICY [--world NAME], or --model MODEL --data DIR."
    )
