"""Comparison: evaluations side by side, as zero-shot and fine-tuned, with their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.safe_json import read_json

from ..intervals import difference_interval, mean_interval, percentile_interval
from ..results_io import MERGED, Result
from ..tables import markdown_table, number
from .estimates import Bounds, Estimate, show_estimate
from .results import KEPT_DRAWS

GROUPS = ("classes", "combinations")
StoredResult = Mapping[str, Any]
"""An evaluation, as its JSON file has it."""


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


@dataclass(frozen=True)
class Difference(Result):
    """A figure of two evaluations, None where it has no value.

    The bounds over ``episodes`` come from the bootstrap draws, which only classes have; those over
    ``models`` need two of each: Student's t of the differences where both evaluations are of the
    same models, as with and without knowledge, and else Welch's t.
    """

    first: float | None
    second: float | None
    difference: float | None = None  # second less first
    episodes: Bounds | None = None
    models: Bounds | None = None

    def __str__(self) -> str:
        """Return the difference with its bounds."""
        if self.difference is None:
            return "–"
        return show_estimate(Estimate(self.difference, self.episodes, self.models, ()), sign="+")


Differences = dict[str, dict[str, Difference]]
"""Per class or combination those of :data:`~.results.KEPT_DRAWS`."""


@dataclass(frozen=True)
class Comparison(Result):
    """An evaluation compared with the first one, per group of :data:`GROUPS`."""

    paired: bool  # both are of the same held-out transitions
    same_models: bool
    groups: dict[str, Differences] = field(metadata=MERGED)


@dataclass(frozen=True)
class ComparisonResult(Result):
    """The name of the first evaluation, and the others compared with it."""

    first: str
    others: dict[str, Comparison]

    def table(self, group: str, figure: str) -> str:
        """Return a row per class or combination: the first value, the others with differences."""
        header = [group, self.first]
        for name, part in self.others.items():
            header += [name, f"{name} less {self.first}" + ", paired" * part.paired]
        groups = [part.groups[group] for part in self.others.values()]
        rows = []
        for name in groups[0]:
            if all(name in members for members in groups):
                parts = [members[name][figure] for members in groups]
                cells = [text for part in parts for text in (number(part.second, 2), str(part))]
                rows.append([name, number(parts[0].first, 2), *cells])
        return markdown_table(header, rows)


def compare(config: CompareConfig) -> ComparisonResult:
    """Compare evaluations with the first of them.

    Raises:
        ConfigurationError: a file is none of an evaluation.
    """
    stored = dict(zip(config.names, map(_read, config.files), strict=True))
    first, *others = stored
    return ComparisonResult(first, {name: _compare(stored[first], stored[name]) for name in others})


def report(result: ComparisonResult) -> str:
    """Return all tables, under a line that says how to read the brackets."""
    titles = {"skill": "Skill over copying", "skill_allowed": "Skill over the best allowed"}
    tables = [
        f"{title}\n\n{result.table(group, figure)}"
        for figure, title in titles.items()
        for group in GROUPS
    ]
    brackets = (
        "[a, b]: 95 % over held-out episodes (cluster bootstrap); {a, b}: 95 % over models "
        "(Student's t where both judge the same models, else Welch's)."
    )
    return "\n\n".join([brackets, *tables])


def _read(path: Path) -> StoredResult:
    cure = "Write it with: worldgpt worldnet evaluate --json FILE."
    stored = read_json(path, cure, ConfigurationError, largest=2**28, figures=True)
    needed = {"test": str, "seed": int, "models": list, "draws": dict} | dict.fromkeys(GROUPS, dict)
    if not isinstance(stored, dict) or not all(
        isinstance(stored.get(name), kind) for name, kind in needed.items()
    ):
        raise ConfigurationError(
            f"{path} holds no evaluation; write one with: worldgpt worldnet evaluate ... --json "
            f"{path}"
        )
    return stored


def _compare(first: StoredResult, second: StoredResult) -> Comparison:
    paired = first["test"] == second["test"] and first["seed"] == second["seed"]
    same = first["models"] == second["models"]
    groups: dict[str, Differences] = {}
    for group in GROUPS:
        groups[group] = {name: {} for name in first[group] if name in second[group]}
        for name, found in groups[group].items():
            for figure in KEPT_DRAWS:
                one, other = (part[group][name].get(figure) for part in (first, second))
                draws = [part["draws"].get(name, {}).get(figure) for part in (first, second)]
                bounds = _over_episodes(draws, paired) if group == "classes" else None
                found[figure] = _difference(one, other, bounds, same)
    return Comparison(paired, same, groups)


def _difference(
    one: StoredResult | None, other: StoredResult | None, episodes: Bounds | None, same_models: bool
) -> Difference:
    """Return the difference of two stored estimates, with its bounds over models."""
    first, second = (None if part is None else part["value"] for part in (one, other))
    if one is None or other is None:
        return Difference(first, second)
    models = None
    if min(len(one["each"]), len(other["each"])) > 1:
        if same_models:
            over = mean_interval(np.subtract(other["each"], one["each"]))
        else:
            over = difference_interval(one["each"], other["each"])
        models = over.low, over.high
    return Difference(first, second, other["value"] - one["value"], episodes, models)


def _over_episodes(draws: Sequence[Sequence[float | None] | None], paired: bool) -> Bounds | None:
    """Return the bounds of the differences of bootstrap draws; None if a side has none."""
    if not (draws[0] and draws[1]):
        return None
    size = min(len(draws[0]), len(draws[1]))
    first, second = (np.array(part, np.float64)[:size] for part in draws)
    if not paired:  # draw n of both takes the same places in their lists of episodes: shuffle one
        order = np.random.default_rng(0).permutation(size - 1) + 1
        second = np.concatenate([second[:1], second[order]])
    interval = percentile_interval(second - first)
    return None if interval is None else (interval.low, interval.high)
