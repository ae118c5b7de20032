"""Plots by matplotlib, an extra: skills of combinations as heat maps, losses of runs as lines."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.safe_io import atomic_file

from .results import EvaluationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#18688e", "#d66c2a", "#5c8c42", "#8c549c", "#6e6e74")
WORSE, EQUAL, BETTER, EMPTY = "#b23e30", "#faf8f4", "#18688e", "#ececee"
INK, FAINT, GRID = "#22242a", "#787e8a", "#e6e7ea"

Line = tuple[np.ndarray, np.ndarray]


def require_matplotlib() -> None:
    """Raise a ConfigurationError if there is no matplotlib to draw with."""
    if find_spec("matplotlib") is None:
        raise ConfigurationError(
            'pictures are drawn by matplotlib; type: pip install "worldgpt-env[plots]"'
        )


def draw_skills(result: EvaluationResult, path: Path) -> None:
    """Write a PNG of the skills over copying, and of those over the best allowed baseline."""
    untrained = {name for name, part in result.combinations.items() if not part.trained}
    titles = {
        "skill": "Skill over copying the state",
        "skill_allowed": "Skill over the best baseline that the inputs allow",
    }
    values = {}
    for figure, title in titles.items():
        found = {n: part.estimates.get(figure) for n, part in result.combinations.items()}
        values[title] = {n: None if e is None else e.value for n, e in found.items()}
    _save(heat_maps(values, untrained), path)


def heat_maps(
    maps: Mapping[str, Mapping[str, float | None]], untrained: Collection[str] = ()
) -> Figure:
    """Return heat maps, one below the other: inputs down, outputs across.

    Blue is above 0, red below; the number stands in the cell, and a dash where nothing was
    measured. A dot marks a combination that was never trained.

    Args:
        maps: per title and combination, as ``image+audio>video``, a figure of about [-1, 1], or
            None; all have the same combinations.
        untrained: names of the combinations that training never met.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    names = [name.split(">") for name in next(iter(maps.values()))]
    rows, columns = (_ordered([name[side] for name in names]) for side in (0, 1))
    size = (2.2 + 1.05 * len(columns), len(maps) * (1.4 + 0.42 * len(rows)))
    figure = Figure(size, layout=ConstrainedLayoutEngine(h_pad=0.15, w_pad=0.1))
    for axes, (title, values) in zip(
        figure.subplots(len(maps), squeeze=False)[:, 0], maps.items(), strict=True
    ):
        _heat_map(axes, rows, columns, values, untrained)
        axes.set_title(title, loc="left", color=INK, fontsize=12, pad=14)
    figure.supxlabel(
        "blue: better than the baseline · red: worse · –: no transition · dot: never trained",
        fontsize=9, color=FAINT,
    )  # fmt: skip
    return figure


def _heat_map(
    axes: Axes,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Mapping[str, float | None],
    untrained: Collection[str],
) -> None:
    """Draw one cell per combination."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    colours = LinearSegmentedColormap.from_list("skill", [WORSE, EQUAL, BETTER])
    for name, value in values.items():
        inputs, outputs = name.split(">")
        down, across = rows.index(inputs), columns.index(outputs)
        fill = EMPTY if value is None else colours((value + 1) / 2)
        ink = FAINT if value is None else "white" if abs(value) > 0.6 else INK
        axes.add_patch(Rectangle((across, down), 1, 1, facecolor=fill, edgecolor="white", lw=1.5))
        text = "–" if value is None else f"{value:.2f}"
        axes.text(across + 0.5, down + 0.5, text, color=ink, fontsize=10, ha="center", va="center")
        if name in untrained:
            axes.plot(across + 0.92, down + 0.18, "o", color=ink, markersize=3.5)
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0), xlabel="predicted", ylabel="read")
    axes.set_xticks(np.arange(len(columns)) + 0.5, [_wrapped(name) for name in columns])
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.tick_params(
        length=0, labelsize=9, labelcolor=INK, top=True, labeltop=True, labelbottom=False
    )
    axes.xaxis.set_label_position("top")
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=FAINT, fontsize=9)
    axes.spines[:].set_visible(False)


def _ordered(sides: Sequence[str]) -> list[str]:
    """Return the different sides, single modalities first, in the order in which they came."""
    return sorted(dict.fromkeys(sides), key=lambda name: name.count("+"))


def _wrapped(name: str) -> str:
    """Return a side with two modalities a line."""
    parts = name.split("+")
    return "+\n".join("+".join(parts[n : n + 2]) for n in range(0, len(parts), 2))


@dataclass(frozen=True)
class Panel:
    """One plot of lines.

    Attributes:
        title: above it.
        lines: per recipe the ``(P,)`` places and ``(P,)`` finite values of each run.
    """

    title: str
    lines: Mapping[str, Sequence[Line]]


def draw_lines(panels: Sequence[Panel], across: str, down: str, path: Path) -> None:
    """Write a PNG of ``panels``, two beside each other; see :func:`line_plots`."""
    _save(line_plots(panels, across, down), path)


def line_plots(panels: Sequence[Panel], across: str, down: str) -> Figure:
    """Return plots with one legend: one colour a recipe, a thin line a run, their mean bold.

    Args:
        panels: a recipe has the same colour in all of them.
        across: what the horizontal axes show.
        down: what the vertical axes show.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (4.6 * columns, 2.8 * rows + 0.3)
    figure = Figure(size, layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.15))
    order = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for panel, axes in zip(panels, grid, strict=False):  # an odd number leaves one empty
        for name, lines in panel.lines.items():
            colour = COLOURS[order.index(name) % len(COLOURS)]
            for line in lines if len(lines) > 1 else ():
                axes.plot(*line, color=colour, alpha=0.4, linewidth=0.9)
            axes.plot(*mean_line(lines), color=colour, linewidth=2, label=name, zorder=3)
        axes.set_title(panel.title, loc="left", color=INK, fontsize=11)
        axes.set_xlabel(across, color=FAINT, fontsize=9)
        axes.set_ylabel(down, color=FAINT, fontsize=9)
        axes.tick_params(length=0, labelsize=9, labelcolor=FAINT)
        axes.grid(axis="y", color=GRID)
        axes.margins(x=0)
        axes.spines[:].set_visible(False)
    for axes in grid:
        axes.set_visible(False)
    named: dict[str, Any] = {}  # a panel may lack a recipe
    for axes in figure.axes:
        named |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(
        named.values(), named, loc="outside lower left", ncols=4, frameon=False, labelcolor=INK
    )
    return figure


def mean_line(lines: Sequence[Line]) -> Line:
    """Return the mean of the runs at the places that all of them have."""
    shared = sorted(set.intersection(*(set(xs.tolist()) for xs, _ in lines)))
    known = [dict(zip(xs.tolist(), ys.tolist(), strict=True)) for xs, ys in lines]
    return np.array(shared), np.array([np.mean([part[x] for part in known]) for x in shared])


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as draft:
        figure.savefig(draft, format="png", dpi=110)
