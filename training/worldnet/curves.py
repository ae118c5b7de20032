"""Curves: held-out loss per class of several training runs, as progressive beside naive."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.curriculum import Kind
from worldgpt_env.model.errors import ConfigurationError

from ..statistics import Interval, difference_interval, mean_interval
from ..tables import markdown_table
from .judging.plot import Panel, draw_panels

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


def draw_curves(config: CurvesConfig) -> dict[str, Any]:
    """Read the runs, draw their curves and measure their ends.

    Returns:
        Per class and recipe ``final`` and ``rise`` with value and bounds over runs, and ``less``:
        the final loss of each recipe less that of the first, run by run in the order in which they
        were named (Student's t; Welch's if there are not as many); and ``picture``.

    Raises:
        ConfigurationError: a run has no held-out losses.
    """
    curves = {
        name: [read_curves(folder) for folder in folders] for name, folders in config.runs.items()
    }
    kinds = [k for k in Kind if all(str(k) in run for runs in curves.values() for run in runs)]
    if not kinds:
        raise ConfigurationError("the runs share no class of combinations; compare like with like.")
    panels = [
        Panel(
            str(kind).replace("_", " to "),
            {
                name: [(run[str(kind)].updates, run[str(kind)].values) for run in runs]
                for name, runs in curves.items()
            },
        )
        for kind in kinds
    ]
    config.out.parent.mkdir(parents=True, exist_ok=True)
    draw_panels(panels, "update", "held-out loss").save(config.out)
    classes = {
        str(kind): _measure({n: [run[str(kind)] for run in runs] for n, runs in curves.items()})
        for kind in kinds
    }
    return {"classes": classes, "picture": str(config.out)}


def _measure(recipes: Mapping[str, Sequence[Curve]]) -> dict[str, Any]:
    """Return ``final``, ``rise`` and ``less`` of every recipe, for one class."""
    finals = {name: [curve.final for curve in curves] for name, curves in recipes.items()}
    first = next(iter(finals.values()))
    return {
        name: {
            "runs": len(curves),
            "final": _bounds(mean_interval(finals[name])),
            "rise": _bounds(mean_interval([curve.rise for curve in curves])),
            "less": None if finals[name] is first else _bounds(_less(first, finals[name])),
        }
        for name, curves in recipes.items()
    }


def _less(first: Sequence[float], other: Sequence[float]) -> Interval:
    """Return ``other`` less ``first``; runs of one seed saw the same data, so they are paired."""
    if len(first) != len(other):
        return difference_interval(first, other)
    return mean_interval([b - a for a, b in zip(first, other, strict=True)])


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


def _bounds(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def curves_table(figures: Mapping[str, Any]) -> str:
    """Return a row per class and recipe."""
    rows = []
    for kind, recipes in figures["classes"].items():
        for name, part in recipes.items():
            shown = ["–" if part[n] is None else _show(part[n]) for n in ("final", "rise", "less")]
            rows.append([kind.replace("_", " to "), name, str(part["runs"]), *shown])
    first = next(iter(next(iter(figures["classes"].values()))))
    header = ["class", "recipe", "runs", "final held-out loss", "largest rise after the minimum"]
    return markdown_table([*header, f"less {first}"], rows)


def _show(bounds: Mapping[str, float]) -> str:
    text = f"{bounds['value']:.3f}"
    if np.isfinite(bounds["low"]):
        text += f" [{bounds['low']:.3f}, {bounds['high']:.3f}]"
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``worldgpt worldnet curves``."""
    parser.add_argument(
        "--runs", nargs="+", type=_recipe, required=True, metavar="NAME=DIR,DIR",
        help="recipes and the folders of their runs",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="PNG")


def run(**options: Any) -> dict[str, Any]:
    """Draw the curves and print the table."""
    figures = draw_curves(CurvesConfig(dict(options["runs"]), options["out"]))
    print(f"[a, b]: 95 % over runs.\n\n{curves_table(figures)}\n\npicture: {figures['picture']}")
    return figures


def _recipe(text: str) -> tuple[str, tuple[Path, ...]]:
    """Return ``NAME=DIR,DIR`` as a pair."""
    name, equals, folders = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR,DIR")
    return name, tuple(Path(folder) for folder in folders.split(",") if folder)
