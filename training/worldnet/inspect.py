"""Inspect: what a WorldNet folder holds, which rows are broken, and how some of them look."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldgpt_env.model.curriculum import Kind, combinations
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality

from ..figures import Figures
from ..tables import markdown_table, number
from .format.annotation import Rejection, WorldNetTransition, sequence_lengths
from .format.bare import describe
from .format.fitting import Fitter
from .format.folder import WorldNetFolder
from .format.load import read_rows

PERCEIVED = (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO)


@dataclass(frozen=True)
class InspectConfig:
    """What to look at.

    Attributes:
        data: a WorldNet folder or an annotation file.
        check: read every media file too.
        sheet: a png of some transitions to be drawn, or None.
        rows: how many transitions are drawn.
        seed: which ones.
        split: from which split.
    """

    data: Path
    check: bool = False
    sheet: Path | None = None
    rows: int = 8
    seed: int = 0
    split: str = "train"

    def __post_init__(self) -> None:
        """Refuse a sheet of nothing."""
        if self.rows < 1:
            raise ConfigurationError(f"rows is {self.rows}; draw at least one.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``worldgpt worldnet inspect``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="or a json file")
    parser.add_argument("--check", action="store_true", help="read every media file too")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="draw some transitions")
    parser.add_argument("--rows", type=int, help="of the sheet; default: 8")
    parser.add_argument("--seed", type=int, help="of the sheet")
    parser.add_argument("--split", help="of the sheet; default: train")


def run(**options: Any) -> Figures:
    """Print the tables, draw the sheet, and return the figures."""
    config = InspectConfig(**options)
    figures = inspect(config)
    print(_tables(figures))
    if config.sheet is not None:
        from .format.sheet import draw_sheet

        draw_sheet(config.data, config.sheet, config.split, config.rows, config.seed)
        print(f"\nsheet: {config.sheet}")
    return figures


def inspect(config: InspectConfig) -> Figures:
    """Return what the folder at ``config.data`` holds.

    Returns:
        ``name``, ``root``, ``built``, ``splits`` (of each: ``transitions``, ``episodes``,
        ``present`` as shares of its states, ``modalities`` a state, ``scenarios``,
        ``compositions`` by class, ``words_per_caption``, ``words_per_action``, ``rewarded``,
        ``terminated``, ``rejected`` rows by reason, and with ``check`` the ``changes`` that
        fitting makes) and ``left_out``, what was rejected when it was built, by reason.

    Raises:
        WorldNetError: there is no WorldNet, or it is damaged.
    """
    folder = WorldNetFolder.open(config.data)
    description = folder.description or describe(folder)
    return {
        "name": description.name,
        "root": str(folder.root),
        "built": dict(description.built),
        "splits": {split: _split(folder, split, config.check) for split in folder.splits},
        "left_out": _reasons(folder.left_out()),
    }


def _split(folder: WorldNetFolder, split: str, check: bool) -> Figures:
    """Return the figures of one split."""
    annotations = folder.annotations(split)
    numbers, rows = annotations.rows, annotations.transitions
    rejected, changes = annotations.rejected, dict[str, int]()
    if check:
        description = folder.description or describe(folder)
        fitter = Fitter(folder, description.specs)
        found = read_rows(fitter, split, description.action, fresh=True)
        numbers = [row.number for row in found.rows]
        rows = [row.transition for row in found.rows]
        rejected, changes = found.rejected, found.changes
    states = list(dict.fromkeys(state for row in rows for state in (row.state0, row.state1)))
    captions = [len(state.text.split()) for state in states if state.text]
    return {
        "transitions": len(rows),
        "episodes": len(sequence_lengths(zip(numbers, rows, strict=True))),
        "states": len(states),
        "present": {
            str(m): _mean([bool(getattr(state, str(m))) for state in states]) for m in Modality
        },
        "modalities": _mean([sum(bool(getattr(s, str(m))) for m in PERCEIVED) for s in states]),
        "scenarios": dict(sorted(Counter(row.scenario for row in rows).items())),
        "compositions": _compositions(rows),
        "words_per_caption": _mean(captions),
        "words_per_action": _mean([len(row.action.split()) for row in rows]),
        "rewarded": _mean([row.reward != 0 for row in rows]),
        "terminated": sum(row.terminated for row in rows),
        "rejected": _reasons(rejected),
        "changes": changes,
    }


def _compositions(rows: Iterable[WorldNetTransition]) -> dict[str, int]:
    """Return how many (inputs, outputs) of image, video and audio the rows allow, by class."""
    pairs = Counter(
        tuple(
            frozenset(m for m in PERCEIVED if getattr(state, str(m)))
            for state in (row.state0, row.state1)
        )
        for row in rows
    )
    found = dict.fromkeys(map(str, Kind), 0)
    for (before, after), count in pairs.items():
        for combination in combinations(PERCEIVED):
            if before.issuperset(combination.inputs) and after.issuperset(combination.outputs):
                found[str(combination.kind)] += count
    return found


def _reasons(rejected: Iterable[Rejection]) -> Figures:
    """Return for each reason how many rows have it, and the first of them, the commonest first."""
    groups: dict[str, list[Rejection]] = {}
    for item in rejected:
        reason = re.sub(r"^\S+\.\w+: ", "", item.reason)  # without the name of the file
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "#", reason), []).append(item)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return {
        _first_words(group[0].reason): {
            "rows": len(group), "first": group[0].place
        }
        for group in ordered
    }  # fmt: skip


def _first_words(reason: str, longest: int = 160) -> str:
    return reason if len(reason) <= longest else reason[: longest - 1] + "…"


def _mean(values: Sequence[float]) -> float | None:
    return float(sum(values) / len(values)) if values else None


def _tables(figures: Figures) -> str:
    """Return all that is printed."""
    splits: dict[str, Any] = figures["splits"]
    wide = ["transitions", "episodes", "states", "modalities", "words_per_caption"]
    wide += ["words_per_action", "rewarded", "terminated"]
    header = ["", *splits]
    rows = [[key.replace("_", " "), *(number(s[key]) for s in splits.values())] for key in wide]
    rows += [
        [f"with {modality}", *(_share(split["present"][modality]) for split in splits.values())]
        for modality in map(str, Modality)
    ]
    rows += [
        [kind.replace("_", " "), *(f"{s['compositions'][kind]:,}" for s in splits.values())]
        for kind in map(str, Kind)
    ]
    rows += [
        [
            f"of {name or '(no scenario)'}",
            *(str(s["scenarios"].get(name, 0)) for s in splits.values()),
        ]
        for name in sorted({name for split in splits.values() for name in split["scenarios"]})
    ]
    parts = [f"{figures['name']} in {figures['root']}", markdown_table(header, rows)]
    told = {f"rejected in {name}": split["rejected"] for name, split in splits.items()}
    for title, reasons in (told | {"left out when it was built": figures["left_out"]}).items():
        lines = [[reason, str(g["rows"]), g["first"]] for reason, g in reasons.items()]
        if lines:
            parts.append(markdown_table([title, "rows", "first"], lines))
    for name, split in splits.items():
        if split["changes"]:
            lines = [[kind, str(count)] for kind, count in sorted(split["changes"].items())]
            parts.append(markdown_table([f"fitted to the shapes in {name}", "times"], lines))
    return "\n\n".join(parts)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
