"""AVQA: a list of ``{"video_name", "question_text", "multi_choice", "answer", "question_type"}``.

The answer to what happens is the action; other questions (where, which, why, ...) tell none. A
recording is a clip of ten seconds (``train_qa.json``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .annotated import Annotated, Unusable, read_json, wrong_schema

HAPPENS = ("happening", "before next")


def read(path: Path) -> Iterator[Annotated | Unusable]:
    """Yield what the file tells; ``<video_name>.mp4`` is the recording."""
    data = read_json(path)
    if not isinstance(data, list):
        raise wrong_schema(path, 'list of {"video_name": ..., "multi_choice": ..., "answer": ...}')
    for row, item in enumerate(data):
        yield _answer(item, row)


def _answer(item: Any, row: int) -> Annotated | Unusable:
    """Return the answer of one question."""
    kind = str(item.get("question_type", "")) if isinstance(item, dict) else ""
    if kind.lower() not in HAPPENS:
        return Unusable(row, f"asks {kind!r}, not what happens")
    choices, answer = item.get("multi_choice"), item.get("answer")
    whole = isinstance(choices, list) and isinstance(answer, int) and "video_name" in item
    if not whole or not 0 <= answer < len(choices):
        return Unusable(row, "has no answer among its choices")
    question = str(item.get("question_text", ""))
    return Annotated(str(item["video_name"]), str(choices[answer]), None, None, row, question)
