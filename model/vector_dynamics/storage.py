"""Vector dynamics on disk: two files of a folder, safetensors and JSON, checked when read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from ..checkpoint import CURE, check_fit, refused
from ..errors import CheckpointError
from ..memory_limit import MemoryLimit
from ..safe_io import write_json, write_tensors
from ..safe_json import Fields, read_json
from ..safe_tensors import read_tensors
from .ensemble_dynamics import VectorDynamics, VectorDynamicsConfig

FORMAT = 1
FIELDS, WEIGHTS = "dynamics.json", "dynamics.safetensors"


def write_dynamics(dynamics: VectorDynamics, folder: Path) -> None:
    """Write dynamics.json and dynamics.safetensors into an existing ``folder``."""
    fields = {
        "format": FORMAT,
        "state": dynamics.state_size,
        "action": dynamics.action_size,
        "config": dataclasses.asdict(dynamics.config),
    }
    write_tensors(folder / WEIGHTS, dynamics.state_dict())
    write_json(folder / FIELDS, fields)


def read_dynamics(folder: Path) -> VectorDynamics:
    """Return the dynamics whose files :func:`write_dynamics` wrote into ``folder``.

    Raises:
        CheckpointError: a file is missing, damaged, or of another dynamics or format.
    """
    path = folder / FIELDS
    told = Fields(read_json(path, CURE), path)
    told.choice("format", [FORMAT])
    state, action = (told.whole(name, 1, 2**16) for name in ("state", "action"))
    weights = folder / WEIGHTS
    with refused(path):
        size = weights.stat().st_size
    with refused(path), MemoryLimit(size):
        config = VectorDynamicsConfig(**dict(told.part("config").data))
        dynamics = VectorDynamics(state, action, config)
    tensors = read_tensors(weights, CURE)
    elites = tensors.pop("elites", dynamics.elites)
    fits = (elites.shape, elites.dtype) == (dynamics.elites.shape, torch.int64)
    if not fits or not set(elites.tolist()) <= set(range(config.members)):
        raise CheckpointError(f"{weights} names members that are not there. {CURE}")
    for name in ("scaling.least", "scaling.most"):  # the first models had no bounds of the world
        tensors.setdefault(name, dynamics.state_dict()[name])
    check_fit(dynamics, {**tensors, "elites": dynamics.elites}, weights)
    dynamics.load_state_dict({**tensors, "elites": elites}, strict=True)
    return dynamics.eval()
