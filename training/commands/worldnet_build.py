"""``worldgpt worldnet build``: a WorldNet from games, from recordings, or from a data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from worldgpt_env.model.errors import ConfigurationError

from ..results_io import Figures
from ..tables import markdown_table
from .options import names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the ways to build."""
    ways = parser.add_subparsers(dest="way", required=True, metavar="HOW")
    text = "play games with sound and write what was seen, heard and done; repeat to go on"
    arcade = _way(ways, "arcade", text)
    arcade.add_argument("--windows", type=int, help="quarters of a second of each game")
    arcade.add_argument("--games", type=names, metavar="A,B", help="default: all there are")
    arcade.add_argument("--seed", type=int)
    arcade.add_argument("--workers", type=int, help="games played side by side")
    arcade.add_argument(
        "--wild", action="store_true", help="film long recordings instead and cut them"
    )
    arcade.add_argument("--recordings", type=int, help="with --wild: of each game")
    arcade.add_argument("--seconds", type=float, help="with --wild: of each recording")
    _add_wild(ways)
    _add_crafted(ways)


def _add_wild(ways: Any) -> None:
    """Add the cutting of recordings."""
    wild = _way(ways, "wild", "cut long recordings with sound into transitions, and tell them")
    wild.add_argument("--recordings", required=True, metavar="DIR", help="mp4, mov, webm or mkv")
    wild.add_argument(
        "--captioner", metavar="MODEL", help="image-to-text; default: <recording>.words.json"
    )
    wild.add_argument("--rewriter", metavar="MODEL", help="chat model that makes sentences")
    _add_events(wild)
    wild.add_argument("--changes", nargs="+", help="shot, motion, sound (default: all)")
    for name, text in (
        ("shot", "smallest difference of pictures, 0 to 1, at a new shot"),
        ("motion", "smallest change of the logarithm of the motion"),
        ("sound", "smallest change of the sound in decibels"),
    ):
        wild.add_argument(f"--{name}", type=float, help=text)


def _add_crafted(ways: Any) -> None:
    """Add the conversion of annotated data sets."""
    from ..worldnet.making.converters import DATASETS

    text = "convert the annotation files of a data set, its actions in order"
    crafted = _way(ways, "crafted", text)
    crafted.add_argument("--dataset", required=True, choices=tuple(DATASETS))
    crafted.add_argument("--annotations", required=True, nargs="+", metavar="FILE")
    crafted.add_argument("--media", required=True, metavar="DIR", help="its recordings")
    crafted.add_argument(
        "--sorter", metavar="MODEL", help="chat model that tells the scenario; default: key words"
    )
    _add_events(crafted)


def _add_events(parser: argparse.ArgumentParser) -> None:
    """Add which events are kept, and what of them."""
    parser.add_argument("--seed", type=int, help="of the splits")
    parser.add_argument("--min-seconds", type=float, help="of an event")
    parser.add_argument("--max-seconds", type=float)
    parser.add_argument("--min-words", type=int, help="of the description of an event")
    parser.add_argument("--max-words", type=int)
    parser.add_argument("--state-seconds", type=float, help="of film and sound up to a moment")
    parser.add_argument("--frames", type=int, help="of a film")
    parser.add_argument("--longest", type=int, help="pixels of the longer side of what is written")
    parser.add_argument("--sound-rate", type=int, help="samples a second of what is written")
    parser.add_argument("--test", type=float, help="share of the recordings")
    parser.add_argument("--knowledge", type=float, help="share of the recordings")


def run(**options: Any) -> Figures:
    """Build, and print the table of what was built."""
    return {"arcade": _arcade, "wild": _wild, "crafted": _crafted}[options.pop("way")](**options)


def _way(ways: Any, name: str, text: str) -> argparse.ArgumentParser:
    """Add one way, with the options that all commands have."""
    parser: argparse.ArgumentParser = ways.add_parser(
        name, help=text, description=text, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the WorldNet folder to be")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--threads", type=int, help="of torch; 1 is fastest when small")
    return parser


def _arcade(**options: Any) -> Figures:
    if options.pop("wild", False):
        return _filmed(options)
    from ..worldnet.making.arcade import ArcadeConfig, build_arcade

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
    from ..worldnet.making.filming import FilmConfig, build_filmed

    _refuse(options, {"windows"}, "with --wild")
    return _told(build_filmed(FilmConfig(**options)))


def _wild(**options: Any) -> Figures:
    from ..worldnet.making.wild import WildConfig, build_wild

    return _told(build_wild(WildConfig(**_parts(options))))


def _crafted(**options: Any) -> Figures:
    from dataclasses import replace

    from ..worldnet.making.converters import DATASETS
    from ..worldnet.making.crafted import CraftedConfig, build_crafted

    parts = _parts(options)
    if "state" in parts:
        parts["state"] = replace(parts["state"], media=DATASETS[parts["dataset"]].media)
    parts["annotations"] = tuple(parts["annotations"])
    return _told(build_crafted(CraftedConfig(**parts)))


def _parts(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, those of filters, states, shares and cuts as their configurations."""
    from ..worldnet.making.cutting import CutConfig
    from ..worldnet.making.events import StateConfig
    from ..worldnet.making.filters import FilterConfig
    from ..worldnet.making.splits import SplitShares

    if "state_seconds" in options:
        options["seconds"] = options.pop("state_seconds")
    kinds: dict[str, Any] = {
        "cut": CutConfig, "filters": FilterConfig, "state": StateConfig, "shares": SplitShares,
    }  # fmt: skip
    parts: dict[str, Any] = {}
    for name, kind in kinds.items():
        keys = set(options) & (set(kind.__dataclass_fields__) - {"media"})  # that is a folder
        own = {key: options.pop(key) for key in keys}
        if own:
            parts[name] = kind(**own)
    return {**options, **parts}


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
