"""States in memory: every state of a split once, fitted to shapes; kept on disk once read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality, specs_to_json
from worldgpt_env.model.safe_io import write_tensors
from worldgpt_env.model.safe_json import parse_json
from worldgpt_env.model.safe_tensors import read_tensors_and_texts

from .annotation import LARGEST, MEDIA, StateFiles, WorldNetError
from .fitting import Fitter
from .folder import WorldNetFolder
from .gate import MediaError, resolve

KEPT = ".fitted"  # inside the root
VERSION = 2  # of what a Fitter makes of a file
COPIES = 3  # of one split: other shapes, other scenarios


@dataclass(frozen=True)
class FittedStates:
    """Some states as arrays, ``M`` of them in the order in which they were asked for.

    Attributes:
        arrays: per modality ``(M, *shape)``, zeros where it is missing.
        present: per modality ``(M,)`` bool.
        problems: why a state could not be read, by its number.
        changes: how often media were changed to fit, by kind.
    """

    arrays: dict[Modality, np.ndarray]
    present: dict[Modality, np.ndarray]
    problems: dict[int, str]
    changes: dict[str, int]


def read_states(
    fitter: Fitter, states: Sequence[StateFiles], split: str, fresh: bool = False
) -> FittedStates:
    """Read ``states`` of one split; a damaged one becomes a problem, the rest is read.

    What was read from a sealed folder is kept in ``ROOT/.fitted``, where it can be deleted at any
    time: it is used again as long as annotations, shapes, and the size and time of every media
    file are the same, unless ``fresh``. A folder that cannot be written is read each time.
    """
    if fresh or not fitter.folder.entries:
        return _read(fitter, states, split)
    path = _place(fitter, states, split)
    found = _open(path, fitter)
    if found is None:
        found = _read(fitter, states, split)
        with suppress(OSError):
            _keep(path, found)
    return found


def _read(fitter: Fitter, states: Sequence[StateFiles], split: str) -> FittedStates:
    """Decode the media of all states."""
    specs = fitter.specs
    arrays = {m: np.zeros((len(states), *spec.shape), spec.dtype) for m, spec in specs.items()}
    present = {modality: np.zeros(len(states), bool) for modality in specs}
    problems = {}
    for number, state in enumerate(tqdm(states, f"read {split}", unit="state", disable=None)):
        try:
            parts = fitter.fit(state)
            if not parts:
                raise ConfigurationError(f"a state has none of {', '.join(map(str, specs))}.")
        except (MediaError, ConfigurationError) as error:
            problems[number] = str(error)
            continue
        for modality, part in parts.items():
            arrays[modality][number] = part
            present[modality][number] = True
    return FittedStates(arrays, present, problems, dict(fitter.changes))


def _place(fitter: Fitter, states: Sequence[StateFiles], split: str) -> Path:
    """Return where the states are kept: a name made of all that decides what they are."""
    content = hashlib.sha256(f"{VERSION}".encode())
    for state in states:
        content.update(repr(state).encode())
        for kind in MEDIA:
            if name := getattr(state, kind):
                content.update(_stamp(fitter.folder, name).encode())
    shapes = [specs_to_json(fitter.specs), vars(fitter.limits)]
    if fitter.folder.description:  # names the numbers of a vector
        shapes.append(specs_to_json(fitter.folder.description.specs))
    form = hashlib.sha256(json.dumps(shapes, sort_keys=True).encode())
    name = f"{split}-{content.hexdigest()[:16]}-{form.hexdigest()[:16]}.safetensors"
    return fitter.folder.root / KEPT / name


def _stamp(folder: WorldNetFolder, name: str) -> str:
    """Return the size and the time of a media file, or what is wrong with it."""
    try:
        told = resolve(folder.root, name).stat()
    except (MediaError, OSError) as error:
        return str(error)
    return f"{told.st_size} {told.st_mtime_ns}"


def _open(path: Path, fitter: Fitter) -> FittedStates | None:
    """Return what is kept at ``path``; None if it is not there or damaged."""
    try:
        found, told = read_tensors_and_texts(
            resolve(path.parent.parent, f"{KEPT}/{path.name}"), error=WorldNetError
        )
        tensors = {name: tensor.numpy() for name, tensor in found.items()}
        with suppress(OSError):
            os.utime(path)  # used now
        return FittedStates(
            {modality: tensors[str(modality)] for modality in fitter.specs},
            {modality: tensors[f"{modality} present"] for modality in fitter.specs},
            {
                int(number): reason
                for number, reason in parse_json(told["problems"].encode(), LARGEST).items()
            },
            parse_json(told["changes"].encode()),
        )
    except (MediaError, WorldNetError, KeyError, TypeError, ValueError):
        return None


def _keep(path: Path, states: FittedStates) -> None:
    """Write ``states`` in one step; of the same split, those last used longest ago are deleted."""
    split = path.stem.rsplit("-", 2)[0]
    tensors = {str(modality): array for modality, array in states.arrays.items()}
    tensors |= {f"{modality} present": there for modality, there in states.present.items()}
    told = {"problems": json.dumps(states.problems), "changes": json.dumps(states.changes)}
    write_tensors(path, {name: torch.from_numpy(part) for name, part in tensors.items()}, told)
    copies = [p for p in path.parent.iterdir() if p.stem.rsplit("-", 2)[0] == split]
    for old in sorted(copies, key=lambda p: p.stat().st_mtime_ns)[:-COPIES]:
        old.unlink(missing_ok=True)
