"""Identity: what decides the result of a run, so that only the same run goes on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.checkpoint import MANIFEST, digest, resolve

from .recording import Recording


def identity_of(config: Any, recording: Recording, free: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a configuration but for the ``free`` ones, contents in place of paths.

    A recording, model or knowledge base that was moved is the same; one that was made anew at its
    old place is another.
    """
    chosen = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("out", *free)}
    for name, value in chosen.items():
        if isinstance(value, Path):
            folder = value if (value / MANIFEST).is_file() else resolve(value)
            chosen[name] = f"{value.name} ({digest(folder / MANIFEST)[:12]})"
    return chosen | {"data": _content(recording)}


def _content(recording: Recording) -> str:
    """Return the size of a recording and a hash of what was done in it."""
    content = hashlib.sha256()
    for episode in recording.episodes:
        content.update(f"{len(episode)} {episode.seed} {episode.scenario} ".encode())
        content.update(np.ascontiguousarray(episode.actions).tobytes())
        content.update(np.ascontiguousarray(episode.rewards).tobytes())
    return f"{recording.steps} steps of {recording.world} ({content.hexdigest()[:12]})"
