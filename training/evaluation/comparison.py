"""Comparison: evaluations side by side, as zero-shot and fine-tuned, with their differences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.errors import ConfigurationError

from ..intervals import difference_interval, mean_interval, percentile_interval
from ..results_io import MERGED, Result
from ..tables import markdown_table, number
from .estimates import Estimate, Estimates, show_estimate
from .results import KEPT_DRAWS

GROUPS = ("classes", "combinations")
Bounds = tuple[float, float]


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
class StoredEvaluation:
    """What a comparison needs of an evaluation.

    Attributes:
        models: that were evaluated.
        test: a word that evaluations of the same held-out transitions share, and their seed.
        estimates: per group (classes, combinations) and member the figures that are compared.
        draws: per class and figure the bootstrap draws ``1 + S``; None where nothing was measured.
    """

    models: list[str]
    test: tuple[str, int]
    estimates: dict[str, dict[str, Estimates]]
    draws: dict[str, dict[str, list[float | None]]]

    @classmethod
    def read(cls, path: Path) -> StoredEvaluation:
        """Read a file of ``worldgpt worldnet evaluate --json``.

        Raises:
            ConfigurationError: it cannot be read, or holds something else.
        """
        try:
            stored = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}.") from error
        try:
            estimates = {
                group: {
                    name: {figure: _estimate(part.get(figure)) for figure in KEPT_DRAWS}
                    for name, part in stored[group].items()
                }
                for group in GROUPS
            }
            test = stored["test"], stored["seed"]
            return cls(list(stored["models"]), test, estimates, dict(stored["draws"]))
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path} holds no evaluation; write one with: worldgpt worldnet evaluate ... "
                f"--json {path}"
            ) from error


def _estimate(stored: Mapping[str, Any] | None) -> Estimate | None:
    return None if stored is None else Estimate(stored["value"], None, None, tuple(stored["each"]))


@dataclass(frozen=True)
class Difference(Result):
    """A figure of two evaluations.

    Attributes:
        first: its value in the first; None if nothing was measured.
        second: likewise.
        difference: second less first.
        episodes: 95 % bounds from the bootstrap draws; of classes only.
        models: 95 % bounds over models, two of each at least: Student's t of the differences where
            both have the same models, as with and without knowledge, and else Welch's t.
    """

    first: float | None
    second: float | None
    difference: float | None = None
    episodes: Bounds | None = None
    models: Bounds | None = None

    def show(self) -> str:
        """Return the difference with its bounds."""
        if self.difference is None:
            return "–"
        return show_estimate(Estimate(self.difference, self.episodes, self.models, ()), sign="+")


@dataclass(frozen=True)
class Comparison(Result):
    """An evaluation compared with the first one.

    Attributes:
        paired: both are of the same held-out transitions.
        same_models: both are of the same models.
        groups: per group (classes, combinations) and member the differences of each figure.
    """

    paired: bool
    same_models: bool
    groups: dict[str, dict[str, dict[str, Difference]]] = field(metadata=MERGED)

    @classmethod
    def of(cls, first: StoredEvaluation, second: StoredEvaluation) -> Comparison:
        """Compare ``second`` with ``first``."""
        paired, same = first.test == second.test, first.models == second.models
        groups: dict[str, dict[str, dict[str, Difference]]] = {}
        for group in GROUPS:
            one, other = first.estimates[group], second.estimates[group]
            groups[group] = {name: {} for name in one if name in other}
            for name, found in groups[group].items():
                for figure in KEPT_DRAWS:
                    sides = one[name][figure], other[name][figure]
                    draws = [part.draws.get(name, {}).get(figure) for part in (first, second)]
                    episodes = _over_episodes(draws, paired) if group == "classes" else None
                    found[figure] = _difference(*sides, episodes, same)
        return cls(paired, same, groups)


def _difference(
    one: Estimate | None, other: Estimate | None, episodes: Bounds | None, same_models: bool
) -> Difference:
    """Return the difference of two estimates, with its bounds over models."""
    values = [None if part is None else part.value for part in (one, other)]
    if one is None or other is None:
        return Difference(*values)
    models = None
    if min(len(one.each), len(other.each)) > 1:
        over = (
            mean_interval(np.subtract(other.each, one.each))
            if same_models
            else difference_interval(one.each, other.each)
        )
        models = over.low, over.high
    return Difference(*values, other.value - one.value, episodes, models)


def _over_episodes(draws: Sequence[Sequence[float | None] | None], paired: bool) -> Bounds | None:
    """Return the bounds of the differences of bootstrap draws; None if a side has none."""
    if not (draws[0] and draws[1]):
        return None
    size = min(len(draws[0]), len(draws[1]))
    first, second = (np.array(part, np.float64)[:size] for part in draws)
    if not paired:  # draw n of both resamples the same places in the list of episodes: shuffle one
        order = np.random.default_rng(0).permutation(size - 1) + 1
        second = np.concatenate([second[:1], second[order]])
    interval = percentile_interval(second - first)
    return None if interval is None else (interval.low, interval.high)


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
        rows = []
        for name in next(iter(self.others.values())).groups[group]:
            parts = [x.groups[group][name] for x in self.others.values() if name in x.groups[group]]
            if len(parts) == len(self.others):
                row = [name, number(parts[0][figure].first, 2)]
                for part in parts:
                    row += [number(part[figure].second, 2), part[figure].show()]
                rows.append(row)
        return markdown_table(header, rows)


def compare(config: CompareConfig) -> ComparisonResult:
    """Compare evaluations with the first of them.

    Raises:
        ConfigurationError: a file is none of an evaluation.
    """
    files = dict(zip(config.names, map(StoredEvaluation.read, config.files), strict=True))
    first, *others = files
    return ComparisonResult(first, {n: Comparison.of(files[first], files[n]) for n in others})
