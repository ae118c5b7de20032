"""``worldgpt dyna``: rounds of recording, learning and dreaming."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..figures import Figures
from .options import ALGORITHMS, assignment, config_of, to_dict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--world", help="as listed by: worldgpt info")
    place.add_argument("--env", metavar="ID", help="any Gymnasium environment, as CartPole-v1")
    parser.add_argument("--real-steps", type=int, help="in all; with --env")
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
    parser.add_argument("--explore", type=float, help="share of rounds that explore; with --env")
    parser.add_argument("--backbone", choices=("mlp", "llama"), help="of the dynamics; with --env")
    for name in ("train", "dream", "agent"):
        parser.add_argument(
            f"--{name}", nargs="+", type=assignment, metavar="NAME=VALUE",
            help="of the agent, with --env, as horizon=200" if name == "agent"
            else f"further settings of `worldgpt {name}`, as horizon=32",
        )  # fmt: skip
    parser.add_argument("--seed", type=int)


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    to_dict(options, "agent")
    env_id = options.pop("env", None)
    if env_id is not None:
        return _run_env(env_id, options)
    from ..dyna import DynaConfig, dyna
    from ..tables import dyna_table

    to_dict(options, "train")
    to_dict(options, "dream")
    figures = dyna(config_of(DynaConfig, options, "--world"))
    print(dyna_table(figures))
    return figures


def _run_env(env_id: str, options: dict[str, Any]) -> Figures:
    """Run Dyna in the Gymnasium environment ``env_id``."""
    from ..dyna_env import dyna_env
    from ..tables import numeric_dyna_table

    figures = dyna_env(env_id, options)
    print(numeric_dyna_table(figures))
    return figures
