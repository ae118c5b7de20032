"""``worldgpt worldnet build``: a WorldNet from games, from recordings, or from a data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.safe_io import RunLock

from ..options import LIST, Settings, add_options, names, options_of
from ..results_io import Figures
from ..tables import markdown_table
from .table import part_of

MAKING = "worldnet.builders."
ARCADE, FILMED = f"{MAKING}arcade.ArcadeConfig", f"{MAKING}filming.FilmConfig"
NESTED = {
    "cut": f"{MAKING}cutting.CutConfig",
    "filters": f"{MAKING}filters.FilterConfig",
    "state": f"{MAKING}events.StateConfig",
    "shares": f"{MAKING}splits.SplitShares",
}
"""Configurations inside those of ``wild`` and ``crafted``, whose fields are options too."""
NESTED_SETTINGS: dict[str, Settings] = {
    "cut": {"seconds": None},
    "state": {"seconds": {"flags": ["--state-seconds"]}, "size": None, "media": None},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the ways to build."""
    from ..worldnet.builders.converters import DATASETS

    ways = parser.add_subparsers(dest="way", required=True, metavar="HOW")
    text = "play games with sound and write what was seen, heard and done; repeat to go on"
    arcade = _way(ways, "arcade", text)
    add_options(arcade, ARCADE, {"games": LIST | {"type": names, "metavar": "A,B"}})
    arcade.add_argument(
        "--wild", action="store_true", help="film long recordings instead and cut them"
    )
    shared = dict.fromkeys(option.name for option in options_of(ARCADE))
    add_options(arcade, FILMED, shared)
    wild = _way(ways, "wild", "cut long recordings with sound into transitions, and tell them")
    _add_nested(wild, "wild.WildConfig", {})
    text = "convert the annotation files of a data set, its actions in order"
    _add_nested(
        _way(ways, "crafted", text),
        "crafted.CraftedConfig",
        {"dataset": {"choices": tuple(DATASETS), "metavar": None}},
    )


def _add_nested(parser: argparse.ArgumentParser, config: str, settings: Settings) -> None:
    """Add the options of a configuration and of the parts that it has."""
    own = {option.name for option in options_of(MAKING + config)}
    add_options(parser, MAKING + config, {**settings, **dict.fromkeys(NESTED)})
    for name, part in NESTED.items():
        if name in own:
            add_options(parser, part, NESTED_SETTINGS.get(name), prefix=f"{name}.")


def run(**options: Any) -> Figures:
    """Build, and print the table of what was built."""
    way = {"arcade": _arcade, "wild": _wild, "crafted": _crafted}[options.pop("way")]
    with RunLock(options["out"]):
        return way(**options)


def _way(ways: Any, name: str, text: str) -> argparse.ArgumentParser:
    """Add one way, with the options that all commands have."""
    parser: argparse.ArgumentParser = ways.add_parser(
        name, help=text, description=text, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--threads", type=int, help="of torch; 1 is fastest when small")
    return parser


def _arcade(**options: Any) -> Figures:
    if options.pop("wild", False):
        return _filmed(options)
    from ..worldnet.builders.arcade import ArcadeConfig, build_arcade

    _refuse(options, {"recordings", "seconds"}, "without --wild")
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


def _filmed(options: dict[str, Any]) -> Figures:
    """Film games and cut the recordings."""
    from ..worldnet.builders.filming import FilmConfig, build_filmed

    _refuse(options, {"windows"}, "with --wild")
    return _told(build_filmed(FilmConfig(**options)))


def _wild(**options: Any) -> Figures:
    from ..worldnet.builders.wild import WildConfig, build_wild

    return _told(build_wild(WildConfig(**gathered(options))))


def _crafted(**options: Any) -> Figures:
    from ..worldnet.builders.converters import DATASETS
    from ..worldnet.builders.crafted import CraftedConfig, build_crafted

    media = {"state.media": DATASETS[options["dataset"]].media}
    return _told(build_crafted(CraftedConfig(**gathered(media | options))))


def gathered(options: Figures) -> Figures:
    """Return the options, those with the prefix of a part as its configuration."""
    plain = {name: value for name, value in options.items() if "." not in name}
    for name, config in NESTED.items():
        prefix = f"{name}."
        own = {n.removeprefix(prefix): v for n, v in options.items() if n.startswith(prefix)}
        plain |= {name: part_of(config)(**own)} if own else {}
    return plain


def _refuse(options: dict[str, Any], names: set[str], why: str) -> None:
    """Refuse options that do not belong to this way."""
    if foreign := sorted(names & set(options)):
        named = ", ".join(f"--{name}" for name in foreign)
        raise ConfigurationError(f"{named} cannot be used {why}; leave it out.")


def _told(figures: Figures) -> Figures:
    """Print what came of recordings, and return it."""
    rows = [[name or "–", str(count)] for name, count in figures["scenarios"].items()]
    print(markdown_table(["scenario", "events"], rows))
    print(
        f"\n{figures['recordings']} recordings, {figures['found']} events found, "
        f"refused: {figures['refused']} (rejected.jsonl says why)"
    )
    if figures.get("actions"):
        told = ", ".join(f"{count} {what}" for what, count in figures["actions"].items())
        print(f"actions: {told}")
    print(_summary(figures))
    return figures


def _summary(figures: Figures) -> str:
    """Return one line about the whole."""
    splits = ", ".join(f"{split} {count}" for split, count in figures["splits"].items())
    return (
        f"\n{figures['out']}: transitions {splits}; {figures['seconds']:.0f} s, "
        f"{figures['cpu_seconds']:.0f} CPU-s"
    )
