"""Learning curves: held-out loss per class of training runs, as progressive beside naive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldgpt_env.model.curriculum import Kind
from worldgpt_env.model.errors import ConfigurationError

from ..intervals import Interval, difference_interval, mean_interval
from ..results_io import Result
from ..tables import markdown_table
from .plots import Panel, draw_lines, require_matplotlib

TAG = "held_out"


@dataclass(frozen=True)
class Curve:
    """One figure of one run: ``(P,)`` updates and ``(P,)`` values at them."""

    updates: np.ndarray
    values: np.ndarray

    @property
    def final(self) -> float:
        """The last value."""
        return float(self.values[-1])

    @property
    def rise(self) -> float:
        """The largest rise above the minimum after it, at least 0."""
        lowest = int(self.values.argmin())
        return float(self.values[lowest:].max() - self.values[lowest])


@dataclass(frozen=True)
class CurvesConfig:
    """What ``worldgpt worldnet curves`` does.

    Attributes:
        runs: per name of a recipe the folders of its runs (seeds): TensorBoard files, or a model
            whose run lies beside it in ``MODEL.run``.
        out: the picture, a PNG.
    """

    runs: dict[str, tuple[Path, ...]]
    out: Path

    def __post_init__(self) -> None:
        """Refuse recipes without runs."""
        empty = [name for name, folders in self.runs.items() if not folders]
        if not self.runs or empty:
            raise ConfigurationError(
                f"no run was named{f' for {empty}' if empty else ''}; "
                "write: --runs progressive=DIR,DIR naive=DIR,DIR"
            )


@dataclass(frozen=True)
class RecipeCurves(Result):
    """How the curves of one recipe and class end; intervals are over its runs."""

    runs: int
    final: Interval
    rise: Interval
    less: Interval | None  # the final loss less that of the first recipe; None of the first itself

    @classmethod
    def of(cls, curves: Sequence[Curve], first: Sequence[Curve]) -> RecipeCurves:
        """Measure ``curves`` and compare them with those of the ``first`` recipe.

        Runs of one seed saw the same data, so they are paired in the order in which they were named
        (Student's t); if there are not as many, the difference is Welch's.
        """
        finals, others = ([curve.final for curve in side] for side in (curves, first))
        if curves is first:
            less = None
        elif len(finals) == len(others):
            less = mean_interval(np.subtract(finals, others))
        else:
            less = difference_interval(others, finals)
        rise = mean_interval([curve.rise for curve in curves])
        return cls(len(curves), mean_interval(finals), rise, less)


@dataclass(frozen=True)
class CurvesResult(Result):
    """How the curves end, per class and recipe, and where they are drawn."""

    classes: dict[str, dict[str, RecipeCurves]]
    picture: str

    def table(self) -> str:
        """Return a row per class and recipe."""
        rows = []
        for kind, recipes in self.classes.items():
            for name, part in recipes.items():
                shown = map(_show, (part.final, part.rise, part.less))
                rows.append([kind.replace("_", " to "), name, str(part.runs), *shown])
        header = ["class", "recipe", "runs", "final held-out loss"]
        header += ["largest rise after the minimum", f"less {rows[0][1]}"]
        return markdown_table(header, rows)


def report(result: CurvesResult) -> str:
    """Return what is printed."""
    return f"[a, b]: 95 % over runs.\n\n{result.table()}\n\npicture: {result.picture}"


def _show(interval: Interval | None) -> str:
    """Return a mean with its bounds, which one run alone has not."""
    if interval is None:
        return "–"
    bounds = f" [{interval.low:.3f}, {interval.high:.3f}]" if np.isfinite(interval.low) else ""
    return f"{interval.value:.3f}{bounds}"


def draw_curves(config: CurvesConfig) -> CurvesResult:
    """Read the runs, draw their curves and measure their ends.

    Raises:
        ConfigurationError: a run has no held-out losses, or there is no matplotlib.
    """
    require_matplotlib()
    recipes = {name: [read_curves(run) for run in runs] for name, runs in config.runs.items()}
    every = [run for runs in recipes.values() for run in runs]
    kinds = [kind for kind in map(str, Kind) if all(kind in run for run in every)]
    if not kinds:
        raise ConfigurationError("the runs share no class of combinations; compare like with like.")
    panels, classes = [], {}
    for kind in kinds:
        curves = {name: [run[kind] for run in runs] for name, runs in recipes.items()}
        lines = {name: [(c.updates, c.values) for c in part] for name, part in curves.items()}
        panels.append(Panel(kind.replace("_", " to "), lines))
        first = next(iter(curves.values()))
        classes[kind] = {name: RecipeCurves.of(part, first) for name, part in curves.items()}
    draw_lines(panels, "update", "held-out loss", config.out)
    return CurvesResult(classes, str(config.out))


def read_curves(folder: Path) -> dict[str, Curve]:
    """Return the held-out loss of each class that a run has logged.

    Args:
        folder: TensorBoard files of one run, or a model with ``MODEL.run`` beside it.

    Raises:
        ConfigurationError: there is none.
    """
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    places = [folder.parent / f"{folder.name}.run" / "tensorboard", folder / "tensorboard", folder]
    place = next((p for p in places if any(p.glob("events.out.tfevents.*"))), None)
    if place is None:
        raise ConfigurationError(
            f"{folder} holds no TensorBoard files; name the folder of a training run, as MODEL.run."
        )
    events = EventAccumulator(str(place), size_guidance={"scalars": 0})
    events.Reload()
    found = {}
    for tag in events.Tags()["scalars"]:
        group, _, name = tag.rpartition("/")
        if group.split("/")[-1] == TAG and name in set(Kind):
            points = {event.step: event.value for event in events.Scalars(tag)}  # the last counts
            steps = sorted(points)
            found[name] = Curve(np.array(steps), np.array([points[step] for step in steps]))
    if not found:
        raise ConfigurationError(
            f"the run {place} has no held-out losses per class; train with --schedule progressive "
            "or --schedule naive."
        )
    return found
