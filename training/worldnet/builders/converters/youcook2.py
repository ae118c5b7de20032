"""YouCook2: ``{"database": {video: {"annotations": [{"segment", "id", "sentence"}], ...}}}``.

Segments are seconds (``youcookii_annotations_trainval.json``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .annotated import Annotated, Unusable, read_json, seconds, wrong_schema


def read(path: Path) -> Iterator[Annotated | Unusable]:
    """Yield the steps of all recipes; ``<video>.mp4`` (webm, mkv) is the recording."""
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("database"), dict):
        raise wrong_schema(path, '"database" of videos')
    row = -1
    for video, told in data["database"].items():
        steps = told.get("annotations", []) if isinstance(told, dict) else []
        for step in steps:
            row += 1
            segment = step.get("segment") if isinstance(step, dict) else None
            if not isinstance(segment, list) or len(segment) != 2 or "sentence" not in step:
                yield Unusable(row, "has no segment or no sentence (test sets have none)")
                continue
            start, end = (seconds(value) for value in segment)
            if start is None or end is None:
                yield Unusable(row, f"has the segment {segment}, which are no seconds")
            else:
                yield Annotated(str(video), str(step["sentence"]), start, end, row)
