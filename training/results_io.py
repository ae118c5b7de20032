"""Results of commands: plain JSON values, written to a file or shown on the terminal."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldgpt_env.model import safe_io

Figures = dict[str, Any]
MERGED: dict[str, Any] = {"merged": True}
"""Metadata of a field whose entries stand among those of its dataclass in JSON."""


class Result:
    """A dataclass whose JSON form has its fields in their order.

    A field stands under its own name, or under that of its metadata: ``{"name": "class"}``.
    """

    def to_json(self) -> Figures:
        """Return dicts, lists, text and numbers only."""
        found: Figures = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            name, value = field.metadata.get("name", field.name), getattr(self, field.name)
            found |= to_json(value if field.metadata.get("merged") else {name: value})
        return found


def to_json(value: Any) -> Any:
    """Return ``value`` as JSON has it: no infinity, no NaN, no dataclass, lists and text only."""
    if isinstance(value, Result):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(name): to_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def write_json(path: Path, figures: Figures) -> None:
    """Write ``figures`` to ``path`` in one step; infinity and NaN become null."""
    safe_io.write_json(path, to_json(figures))


def show(figures: Figures) -> Figures:
    """Print figures as aligned lines, nested ones indented, and return them."""

    def lines(part: Mapping[str, Any], indent: str) -> None:
        width = max((len(str(name)) for name in part), default=0)
        for name, value in part.items():
            if isinstance(value, Mapping):
                print(f"{indent}{name}")
                lines(value, indent + "  ")
            else:
                shown = f"{value:.4g}" if isinstance(value, float) else value
                print(f"{indent}{str(name):<{width}}  {shown}")

    lines(figures, "")
    return figures
