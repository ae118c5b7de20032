"""Charades: a table with ``id``, ``scene``, ``actions`` ("c092 11.90 21.20;c147 0.00 12.60").

The classes ("c092 Tidying up a blanket/s") are read from ``Charades_v1_classes.txt`` beside it.
Action Genome annotates the same recordings and actions; its own boxes and relations are pickles,
which are not read.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ...format.annotation import WorldNetError
from .annotated import Annotated, Unusable, seconds, wrong_schema

CLASSES = "Charades_v1_classes.txt"


def read(path: Path) -> Iterator[Annotated | Unusable]:
    """Yield the actions of all recordings; ``<id>.mp4`` is the recording."""
    names = _classes(path.with_name(CLASSES))
    row = -1
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if not {"id", "actions"} <= set(table.fieldnames or ()):
                raise wrong_schema(path, '"id" and "actions" in its first line')
            for line in table:
                for part in (line["actions"] or "").split(";"):
                    row += 1
                    yield _action(line, part.split(), names, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WorldNetError(f"{path} cannot be read ({error}).") from error


def _action(
    line: dict[str, str], part: list[str], names: dict[str, str], row: int
) -> Annotated | Unusable:
    """Return one action of one recording."""
    if not part:
        return Unusable(row, "has no action")
    start, end = (seconds(value) for value in part[1:]) if len(part) == 3 else (None, None)
    if part[0] not in names or start is None or end is None:
        return Unusable(row, f"has the action {' '.join(part)!r}, which is no class and seconds")
    hint = f"{line.get('scene') or ''} {line.get('script') or ''}"
    return Annotated(line["id"], names[part[0]], start, end, row, hint)


def _classes(path: Path) -> dict[str, str]:
    """Return the name of each class, without the other forms after a slash."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WorldNetError(
            f"{path} cannot be read ({error}); put the file of the classes beside the table."
        ) from error
    pairs = [line.strip().partition(" ") for line in lines if line.strip()]
    return {
        code: " ".join(word.partition("/")[0] for word in name.split()) for code, _, name in pairs
    }
