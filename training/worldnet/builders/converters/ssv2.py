"""Something-Something V2: a list of ``{"id", "label", "template", "placeholders"}``.

A recording shows one action, told by ``label`` (``something-something-v2-train.json``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .annotated import Annotated, Unusable, read_json, wrong_schema


def read(path: Path) -> Iterator[Annotated | Unusable]:
    """Yield what the file tells; ``<id>.webm`` is the recording."""
    data = read_json(path)
    if not isinstance(data, list):
        raise wrong_schema(path, 'list of {"id": ..., "label": ...}')
    for row, item in enumerate(data):
        if not isinstance(item, dict) or "id" not in item or "label" not in item:
            yield Unusable(row, "has no id or no label (test sets have none)")
        else:
            yield Annotated(str(item["id"]), str(item["label"]), None, None, row)
