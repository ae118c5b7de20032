"""``worldgpt worldnet build``: a WorldNet from games, from recordings, or from a data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..figures import Figures
from ..tables import markdown_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the ways to build."""
    ways = parser.add_subparsers(dest="way", required=True, metavar="HOW")
    text = "play games with sound and write what was seen, heard and done; repeat to go on"
    arcade = _way(ways, "arcade", text)
    arcade.add_argument("--windows", type=int, help="quarters of a second of each game")
    arcade.add_argument("--games", type=_names, metavar="A,B", help="default: all there are")
    arcade.add_argument("--seed", type=int)
    arcade.add_argument("--workers", type=int, help="games played side by side")


def run(arguments: argparse.Namespace) -> Figures:
    """Build, and print the table of what was built."""
    options = vars(arguments)
    return {"arcade": _arcade}[options.pop("way")](**options)


def _way(ways: Any, name: str, text: str) -> argparse.ArgumentParser:
    """Add one way, with the options that all commands have."""
    parser: argparse.ArgumentParser = ways.add_parser(
        name, help=text, description=text, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the WorldNet folder to be")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--threads", type=int, help="of torch; 1 is fastest when small")
    return parser


def _names(text: str) -> tuple[str, ...]:
    """Return the names in ``A,B``."""
    return tuple(name for name in text.split(",") if name)


def _arcade(**options: Any) -> Figures:
    from .arcade import ArcadeConfig, build_arcade

    figures = build_arcade(ArcadeConfig(**options))
    header = ["game", "windows", "episodes", "ended", "reward events", "heard", "captions"]
    rows = [
        [
            game,
            *(f"{told[key]}" for key in ("windows", "episodes", "terminated", "reward_events")),
            f"{told['heard']:.0%}",
            f"{told['captions']}",
        ]
        for game, told in figures["games"].items()
    ]
    print(markdown_table(header, rows))
    print(_summary(figures))
    return figures


def _summary(figures: Figures) -> str:
    """Return one line about the whole."""
    splits = ", ".join(f"{split} {count}" for split, count in figures["splits"].items())
    return (
        f"\n{figures['out']}: transitions {splits}; {figures['seconds']:.0f} s, "
        f"{figures['cpu_seconds']:.0f} CPU-s"
    )
