"""Compare: evaluations side by side, as zero-shot and fine-tuned, with the differences between."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.safe_json import read_json

from ..statistics import difference_interval, mean_interval, percentile_interval
from ..tables import markdown_table, number
from .judging.heatmap import value_of
from .judging.ledger import KEPT_DRAWS


@dataclass(frozen=True)
class CompareConfig:
    """What ``worldgpt worldnet compare`` does.

    Attributes:
        files: figures that ``worldgpt worldnet evaluate --json FILE`` wrote; the others are
            compared with the first.
        names: a word for each; the names of the files by default.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Give every file a name of its own."""
        names = self.names or tuple(path.stem for path in self.files)
        if len(self.files) < 2 or len(names) != len(self.files) or len(set(names)) != len(names):
            raise ConfigurationError(
                f"there are {len(self.files)} files, and they are called {list(names)}; give at "
                "least two files, and a different name for each with --names A,B."
            )
        object.__setattr__(self, "names", names)


def compare(config: CompareConfig) -> dict[str, Any]:
    """Compare evaluations with the first of them.

    Returns:
        Per other evaluation ``paired`` (the same held-out transitions), and per class and
        combination the ``first`` and ``second`` value of each skill and their ``difference``, with
        ``episodes`` bounds (from the bootstrap draws; classes only) and ``models`` bounds (over
        models, two of each at least: Student's t of the differences where both judge the same
        models, as with and without knowledge, and else Welch's t).

    Raises:
        ConfigurationError: a file is none of an evaluation.
    """
    told = {n: _read(path) for n, path in zip(config.names, config.files, strict=True)}
    first, *others = told
    return {
        "first": first,
        "others": {name: _compare(told[first], told[name]) for name in others},
    }


def _read(path: Path) -> dict[str, Any]:
    cure = "Write it with: worldgpt worldnet evaluate --json FILE."
    figures = read_json(path, cure, ConfigurationError, largest=2**28, figures=True)
    if not {"classes", "draws", "test"} <= figures.keys():
        raise ConfigurationError(
            f"{path} holds no evaluation; write one with: worldgpt worldnet evaluate ... --json "
            f"{path}"
        )
    return figures


def _compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    paired = first["test"] == second["test"] and first["seed"] == second["seed"]
    same = first["models"] == second["models"]
    found: dict[str, Any] = {"paired": paired, "same_models": same}
    for group in ("classes", "combinations"):
        shared = [name for name in first[group] if name in second[group]]
        found[group] = {}
        for name in shared:
            sides = [figures[group][name] for figures in (first, second)]
            draws = [figures["draws"].get(name, {}) for figures in (first, second)]
            found[group][name] = {
                figure: _difference(
                    [side.get(figure) for side in sides],
                    [part.get(figure) for part in draws] if group == "classes" else [None, None],
                    paired,
                    same,
                )
                for figure in KEPT_DRAWS
            }
    return found


def _difference(
    sides: Sequence[Mapping[str, Any] | None],
    draws: Sequence[Sequence[float | None] | None],
    paired: bool,
    same_models: bool,
) -> dict[str, Any]:
    one, other = sides
    values = {"first": value_of(one), "second": value_of(other)}
    if one is None or other is None:
        return {**values, "difference": None, "episodes": None, "models": None}
    found: dict[str, Any] = {**values, "difference": other["value"] - one["value"]}
    found["episodes"] = found["models"] = None
    if draws[0] and draws[1]:
        drawn = [np.array(part, np.float64) for part in draws]
        size = min(map(len, drawn))
        drawn = [part[:size] for part in drawn]
        if not paired:  # two draws of the same number must not be of the same luck
            order = np.random.default_rng(0).permutation(size - 1) + 1
            drawn[1] = np.concatenate([drawn[1][:1], drawn[1][order]])
        interval = percentile_interval(drawn[1] - drawn[0])
        found["episodes"] = None if interval is None else [interval.low, interval.high]
    if min(len(one["each"]), len(other["each"])) > 1:
        gains = np.subtract(other["each"], one["each"]) if same_models else None
        over = (
            difference_interval(one["each"], other["each"])
            if gains is None
            else mean_interval(gains)
        )
        found["models"] = [over.low, over.high]
    return found


def comparison_table(figures: Mapping[str, Any], group: str, figure: str) -> str:
    """Return a row per class or combination: the first value, and the others with differences."""
    others = figures["others"]
    header = [group, figures["first"]]
    for name, part in others.items():
        header += [name, f"{name} less {figures['first']}" + ", paired" * part["paired"]]
    rows = []
    for name in next(iter(others.values()))[group]:
        parts = [part[group][name][figure] for part in others.values() if name in part[group]]
        if len(parts) == len(others):
            row = [name, number(parts[0]["first"], 2)]
            for part in parts:
                row += [number(part["second"], 2), _show(part)]
            rows.append(row)
    return markdown_table(header, rows)


def _show(part: Mapping[str, Any]) -> str:
    if part["difference"] is None:
        return "–"
    text = f"{part['difference']:+.2f}"
    for side, pair in (("episodes", "[]"), ("models", "{}")):
        if part[side] is not None:
            text += f" {pair[0]}{part[side][0]:+.2f}, {part[side][1]:+.2f}{pair[1]}"
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``worldgpt worldnet compare``."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="of evaluate --json")
    parser.add_argument("--names", metavar="A,B", help="a word for each file")


def run(**options: Any) -> dict[str, Any]:
    """Compare, and print the tables."""
    names = tuple(options["names"].split(",")) if "names" in options else ()
    figures = compare(CompareConfig(tuple(options["files"]), names))
    print(
        "[a, b]: 95 % over held-out episodes (cluster bootstrap); {a, b}: 95 % over models "
        "(Student's t where both judge the same models, else Welch's)."
    )
    titles = {"skill": "Skill over copying", "skill_allowed": "Skill over the best allowed"}
    for figure, title in titles.items():
        for group in ("classes", "combinations"):
            print(f"\n{title}\n\n{comparison_table(figures, group, figure)}")
    return figures
