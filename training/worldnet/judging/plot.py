"""Line plots, drawn with PIL: one panel a class, one colour a recipe, a thin line a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLOURS = ((24, 104, 142), (214, 108, 42), (92, 140, 66), (140, 84, 156), (110, 110, 116))
BACKGROUND, INK, FAINT, GRID = (255, 255, 255), (34, 36, 42), (120, 126, 138), (230, 231, 234)
WIDTH, HEIGHT = 460, 280  # pixels of a panel
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 40  # around its axes
SCALE = 3  # drawn so much larger, then reduced: smooth lines

Line = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        title: above it.
        lines: per recipe the ``(P,)`` places and ``(P,)`` finite values of each run.
    """

    title: str
    lines: Mapping[str, Sequence[Line]]


def draw_panels(panels: Sequence[Panel], across: str, down: str, columns: int = 2) -> Image.Image:
    """Return a picture of ``panels``, ``columns`` beside each other, with one legend.

    Args:
        panels: their recipes have one order of colours.
        across: what the horizontal axis shows.
        down: what the vertical axis shows.
        columns: of panels.
    """
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (columns * WIDTH * SCALE, (rows * HEIGHT + 30) * SCALE)
    picture = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        _panel(draw, panel, (column * WIDTH, row * HEIGHT), across, down)
    left = LEFT
    for number, name in enumerate(panels[0].lines):
        level = rows * HEIGHT + 12
        colour = COLOURS[number % len(COLOURS)]
        draw.line(_scaled([(left, level), (left + 24, level)]), fill=colour, width=2 * SCALE)
        _write(draw, name, (left + 30, level), "lm", INK)
        left += 48 + int(_font(12).getlength(name) / SCALE)
    return picture.resize((size[0] // SCALE, size[1] // SCALE), Image.Resampling.LANCZOS)


def _panel(
    draw: ImageDraw.ImageDraw, panel: Panel, corner: tuple[int, int], across: str, down: str
) -> None:
    every = [line for lines in panel.lines.values() for line in lines]
    ends = _range(np.concatenate([line[0] for line in every]))
    low, high = _range(np.concatenate([line[1] for line in every]), 0.05)
    x0, y0 = corner[0] + LEFT, corner[1] + TOP
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def spot(x: float, y: float) -> tuple[float, float]:
        return (
            x0 + (x - ends[0]) / (ends[1] - ends[0]) * wide,
            y0 + (high - y) / (high - low) * tall,
        )

    for tick in ticks(low, high):
        level = spot(ends[0], tick)[1]
        draw.line(_scaled([(x0, level), (x0 + wide, level)]), fill=GRID, width=SCALE)
        _write(draw, f"{tick:g}", (x0 - 6, level), "rm", FAINT, 11)
    for tick in ticks(*ends):
        _write(draw, f"{tick:g}", (spot(tick, low)[0], y0 + tall + 6), "ma", FAINT, 11)
    _write(draw, panel.title, (x0, corner[1] + 8), "la", INK, 13)
    _write(draw, down, (x0 + wide, corner[1] + 10), "ra", FAINT, 11)
    _write(draw, across, (x0 + wide, y0 + tall + 22), "ra", FAINT, 11)
    for number, lines in enumerate(panel.lines.values()):
        colour = COLOURS[number % len(COLOURS)]
        pale = tuple(round(part + (255 - part) * 0.6) for part in colour)
        for xs, ys in lines if len(lines) > 1 else ():
            points = [spot(x, y) for x, y in zip(xs, ys, strict=True)]
            draw.line(_scaled(points), fill=pale, width=SCALE, joint="curve")
    for number, lines in enumerate(panel.lines.values()):
        points = [spot(x, y) for x, y in zip(*mean_line(lines), strict=True)]
        colour = COLOURS[number % len(COLOURS)]
        draw.line(_scaled(points), fill=colour, width=2 * SCALE, joint="curve")


def mean_line(lines: Sequence[Line]) -> Line:
    """Return the mean of the runs at the places that all of them have."""
    shared = sorted(set.intersection(*(set(xs.tolist()) for xs, _ in lines)))
    known = [dict(zip(xs.tolist(), ys.tolist(), strict=True)) for xs, ys in lines]
    return np.array(shared), np.array([np.mean([part[x] for part in known]) for x in shared])


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about ``count`` round numbers from ``low`` to ``high``."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _range(values: np.ndarray, margin: float = 0.0) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = (high - low) * margin if high > low else 0.5
    return low - room, high + room


def _scaled(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x * SCALE, y * SCALE) for x, y in points]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * SCALE)


def _write(
    draw: ImageDraw.ImageDraw,
    text: str,
    place: tuple[float, float],
    anchor: str,
    colour: tuple[int, int, int],
    size: int = 12,
) -> None:
    draw.text((place[0] * SCALE, place[1] * SCALE), text, colour, _font(size), anchor=anchor)
