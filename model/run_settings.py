"""What a run was begun with, and the refusal to go on with anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigurationError
from .safe_io import write_json
from .safe_json import read_json, shorten


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``settings`` as JSON gives them back: paths as text, tuples as lists."""
    return dict(json.loads(json.dumps(settings, default=str)))


def claim_run(path: Path, settings: Mapping[str, Any], cure: str = "Choose another --out.") -> None:
    """Write what a run depends on to ``path``, or compare it with what the run was begun with.

    Raises:
        CheckpointError: the file is damaged; the sentence ends with ``cure``.
        ConfigurationError: the run was begun with other settings.
    """
    if path.is_file():
        check_settings(path.parent, read_json(path, cure), settings)
    else:
        write_json(path, plain_settings(settings))


def check_settings(run: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the settings that ``run`` was begun with to those of this call.

    Raises:
        ConfigurationError: naming each setting that differs, with both values.
    """
    before, now = plain_settings(before), plain_settings(now)
    differing = [
        f"{name} {shorten(before.get(name), 200)}, not {shorten(now.get(name), 200)}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if differing:
        raise ConfigurationError(
            f"{run} was begun with {'; '.join(differing)}. Give the same settings to go on with "
            f"it, or choose another --out to begin anew."
        )
