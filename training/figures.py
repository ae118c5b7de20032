"""The figures that a command gives: on the terminal as aligned lines, in a file as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldgpt_env.model import safe_io

Figures = dict[str, Any]


def write_json(path: Path, figures: Figures) -> None:
    """Write ``figures`` to ``path`` in one step; infinity and NaN become null."""
    safe_io.write_json(path, _plain(figures))


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON has it: no infinity, no NaN, lists and text only."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


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
