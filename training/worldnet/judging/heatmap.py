"""A heat map of skill: inputs down, outputs across, drawn with PIL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

BACKGROUND, INK, FAINT, EMPTY = (255, 255, 255), (34, 36, 42), (120, 126, 138), (236, 236, 238)
WORSE, EQUAL, BETTER = (178, 62, 48), (250, 248, 244), (24, 104, 142)
WIDTH, HEIGHT, GAP, MARGIN = 104, 40, 2, 16  # pixels of a cell, and around


def draw_heatmap(
    values: Mapping[str, float | None], untrained: Sequence[str] = (), title: str = ""
) -> Image.Image:
    """Return a picture of one figure per combination.

    Blue is above 0, red below; the number stands in the cell, and a dash where nothing was
    measured. A dot marks a combination that was never trained.

    Args:
        values: per combination, as ``image+audio>video``, a figure of about [-1, 1], or None.
        untrained: names of the combinations that training never met.
        title: a line above.
    """
    sides = [[name.split(">")[n] for name in values] for n in (0, 1)]
    rows, columns = (_ordered(side) for side in sides)
    font, small = ImageFont.load_default(14), ImageFont.load_default(12)
    left = MARGIN + max(int(small.getlength(_label(row, 99)[0])) for row in rows) + 10
    lines = max(len(_label(column, 2)) for column in columns)
    top = MARGIN + 26 * bool(title) + 24 + 16 * lines
    size = (left + columns_width(len(columns)) + MARGIN, top + len(rows) * (HEIGHT + GAP) + 40)
    picture = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN - 4), title, INK, font)
    draw.text((left, top - 16 * lines - 22), "predicted", FAINT, small)
    draw.text((MARGIN, top - 18), "read", FAINT, small)
    for number, column in enumerate(columns):
        for line, text in enumerate(_label(column, 2)):
            place = (left + number * (WIDTH + GAP) + WIDTH // 2, top - 16 * (lines - line))
            draw.text(place, text, INK, small, anchor="ma")
    for down, row in enumerate(rows):
        middle = top + down * (HEIGHT + GAP) + HEIGHT // 2
        draw.text((left - 8, middle), _label(row, 99)[0], INK, small, anchor="rm")
        for across, column in enumerate(columns):
            name = f"{row}>{column}"
            if name in values:
                corner = (left + across * (WIDTH + GAP), top + down * (HEIGHT + GAP))
                _cell(draw, corner, values[name], name in untrained, font)
    note = "blue: better than the baseline · red: worse · -: no transition · dot: never trained"
    draw.text((MARGIN, size[1] - 26), note, FAINT, small)
    return picture


def save_heatmap(figures: Mapping[str, Any], path: Path) -> None:
    """Write the skills over copying and over the best allowed baseline, one above the other."""
    told = figures["combinations"]
    untrained = [name for name, part in told.items() if not part["trained"]]
    pictures = [
        draw_heatmap({n: value_of(part.get(figure)) for n, part in told.items()}, untrained, title)
        for figure, title in (
            ("skill", "Skill over copying the present state"),
            ("skill_allowed", "Skill over the best baseline that the inputs allow"),
        )
    ]
    width = max(picture.width for picture in pictures)
    whole = Image.new("RGB", (width, sum(picture.height for picture in pictures)), BACKGROUND)
    place = 0
    for picture in pictures:
        whole.paste(picture, (0, place))
        place += picture.height
    whole.save(path)


def value_of(estimate: Mapping[str, Any] | None) -> float | None:
    """Return the value of an estimate, None if it could not be made."""
    return None if estimate is None else float(estimate["value"])


def columns_width(columns: int) -> int:
    """Return the pixels of so many columns."""
    return columns * (WIDTH + GAP)


def colour(value: float) -> tuple[int, ...]:
    """Return the colour of a figure: white at 0, blue at 1, red at -1 and beyond."""
    end, share = (BETTER if value >= 0 else WORSE), min(abs(value), 1.0)
    return tuple(round(a + (b - a) * share) for a, b in zip(EQUAL, end, strict=True))


def _cell(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], value: float | None, dotted: bool, font: Any
) -> None:
    box = (*corner, corner[0] + WIDTH - 1, corner[1] + HEIGHT - 1)
    fill = EMPTY if value is None else colour(value)
    draw.rectangle(box, fill=fill)
    ink = INK if sum(fill) > 380 else BACKGROUND
    if dotted:
        draw.ellipse((box[2] - 11, box[1] + 5, box[2] - 5, box[1] + 11), fill=ink)
    text = "-" if value is None else f"{value:.2f}"
    middle = (corner[0] + WIDTH // 2, corner[1] + HEIGHT // 2)
    draw.text(middle, text, FAINT if value is None else ink, font, anchor="mm")


def _ordered(side: Sequence[str]) -> list[str]:
    """Return the different sides, single modalities first, in the order in which they came."""
    return sorted(dict.fromkeys(side), key=lambda name: name.count("+"))


def _label(name: str, per_line: int) -> list[str]:
    """Return the modalities of a side in lines of at most ``per_line``."""
    parts = name.split("+")
    groups = [parts[n : n + per_line] for n in range(0, len(parts), per_line)]
    return ["+".join(g) + ("+" if n + 1 < len(groups) else "") for n, g in enumerate(groups)]
