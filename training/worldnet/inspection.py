"""Inspection: what a WorldNet folder holds, and which rows are broken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldgpt_env.model.bounds import check_fields
from worldgpt_env.model.curriculum import Kind, combinations
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality

from ..evaluation.recipes import PERCEIVED
from ..results_io import Result
from ..tables import markdown_table, number
from .format.annotation import Rejection, WorldNetTransition, sequence_lengths
from .format.bare import describe
from .format.fitting import Fitter
from .format.folder import WorldNetFolder
from .format.load import read_rows


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
        check_fields(self, rows=(1, 1024))
        if self.sheet is None and self.split != "train":
            raise ConfigurationError(
                f"split is {self.split!r} and no sheet is drawn of it; add --sheet FILE: the "
                "tables tell of all splits."
            )


@dataclass(frozen=True)
class Reason(Result):
    """How many rows were rejected for one reason, and the first of them."""

    rows: int
    first: str


@dataclass(frozen=True)
class SplitResult(Result):
    """What one split holds; means and shares are None of nothing."""

    transitions: int  # rows that are whole
    episodes: int
    states: int  # different ones
    present: dict[str, float | None]  # per modality the share of the states that have it
    modalities: float | None  # image, video and audio of a state, on average
    scenarios: dict[str, int]  # transitions of each
    compositions: dict[str, int]  # pairs of inputs and outputs that transitions allow, by class
    words_per_caption: float | None
    words_per_action: float | None
    rewarded: float | None  # share of the transitions
    terminated: int  # transitions that end the world
    rejected: dict[str, Reason]  # rows that are not whole, by reason, the commonest first
    changes: dict[str, int]  # how often media were changed to fit, by kind, if files were read


@dataclass(frozen=True)
class Inspection(Result):
    """What a folder holds; ``left_out``: what was rejected when it was built, by reason."""

    name: str
    root: str
    built: dict[str, Any]
    splits: dict[str, SplitResult]
    left_out: dict[str, Reason]

    def tables(self) -> str:
        """Return all that is printed."""
        splits = self.splits.values()
        plain = ("transitions", "episodes", "states", "modalities", "words_per_caption",
                 "words_per_action", "rewarded", "terminated")  # fmt: skip
        rows = [[n.replace("_", " "), *(number(getattr(s, n)) for s in splits)] for n in plain]
        rows += [[f"with {m}", *(_share(s.present[str(m)]) for s in splits)] for m in Modality]
        rows += [
            [kind.replace("_", " "), *(f"{s.compositions[kind]:,}" for s in splits)]
            for kind in map(str, Kind)
        ]
        rows += [
            [f"of {name or '(no scenario)'}", *(str(s.scenarios.get(name, 0)) for s in splits)]
            for name in sorted({name for split in splits for name in split.scenarios})
        ]
        parts = [f"{self.name} in {self.root}", markdown_table(["", *self.splits], rows)]
        reasons = {f"rejected in {name}": split.rejected for name, split in self.splits.items()}
        for title, found in (reasons | {"left out when it was built": self.left_out}).items():
            lines = [[reason, str(x.rows), x.first] for reason, x in found.items()]
            parts += [markdown_table([title, "rows", "first"], lines)] if lines else []
        for name, split in self.splits.items():
            lines = [[kind, str(count)] for kind, count in sorted(split.changes.items())]
            title = f"fitted to the shapes in {name}"
            parts += [markdown_table([title, "times"], lines)] if lines else []
        return "\n\n".join(parts)


def inspect(config: InspectConfig) -> Inspection:
    """Return what the folder at ``config.data`` holds.

    Raises:
        WorldNetError: there is no WorldNet, or it is damaged.
    """
    folder = WorldNetFolder.open(config.data)
    description = folder.description or describe(folder)
    return Inspection(
        description.name,
        str(folder.root),
        dict(description.built),
        {split: _split(folder, split, config.check) for split in folder.splits},
        _reasons(folder.left_out()),
    )


def _split(folder: WorldNetFolder, split: str, check: bool) -> SplitResult:
    """Return what one split holds."""
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
    return SplitResult(
        transitions=len(rows),
        episodes=len(sequence_lengths(zip(numbers, rows, strict=True))),
        states=len(states),
        present={str(m): _mean([bool(getattr(s, str(m))) for s in states]) for m in Modality},
        modalities=_mean([sum(bool(getattr(s, str(m))) for m in PERCEIVED) for s in states]),
        scenarios=dict(sorted(Counter(row.scenario for row in rows).items())),
        compositions=_compositions(rows),
        words_per_caption=_mean([len(state.text.split()) for state in states if state.text]),
        words_per_action=_mean([len(row.action.split()) for row in rows]),
        rewarded=_mean([row.reward != 0 for row in rows]),
        terminated=sum(row.terminated for row in rows),
        rejected=_reasons(rejected),
        changes=changes,
    )


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
    for (state, next_state), count in pairs.items():
        for combination in combinations(PERCEIVED):
            if state.issuperset(combination.inputs) and next_state.issuperset(combination.outputs):
                found[str(combination.kind)] += count
    return found


def _reasons(rejected: Iterable[Rejection]) -> dict[str, Reason]:
    """Return for each reason how many rows have it, and the first of them, the commonest first."""
    groups: dict[str, list[Rejection]] = {}
    for item in rejected:
        reason = re.sub(r"^\S+\.\w+: ", "", item.reason)  # without the name of the file
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "#", reason), []).append(item)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return {_first_words(group[0].reason): Reason(len(group), group[0].place) for group in ordered}


def _first_words(reason: str, longest: int = 160) -> str:
    return reason if len(reason) <= longest else reason[: longest - 1] + "…"


def _mean(values: Sequence[float]) -> float | None:
    return float(sum(values) / len(values)) if values else None


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
