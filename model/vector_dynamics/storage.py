"""Vector dynamics on disk: a folder of safetensors and JSON, verified when read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..checkpoint import MANIFEST, verify, write_folder
from ..errors import CheckpointError
from .ensemble_dynamics import VectorDynamics, VectorDynamicsConfig

FORMAT = 1


def write_dynamics(dynamics: VectorDynamics, folder: Path) -> None:
    """Write dynamics.json and dynamics.safetensors into an existing ``folder``."""
    fields = {
        "format": FORMAT,
        "state": dynamics.state_size,
        "action": dynamics.action_size,
        "config": dataclasses.asdict(dynamics.config),
    }
    save_file(
        {name: t.detach().contiguous() for name, t in dynamics.state_dict().items()},
        folder / "dynamics.safetensors",
    )
    (folder / "dynamics.json").write_text(json.dumps(fields, indent=1) + "\n")


def save_dynamics(dynamics: VectorDynamics, folder: str | Path) -> None:
    """Write ``dynamics`` to ``folder``, which is replaced as a whole.

    Raises:
        CheckpointError: the folder cannot be written; what it held before is untouched.
    """
    write_folder(Path(folder), lambda draft: write_dynamics(dynamics, draft))


def load_dynamics(folder: str | Path) -> VectorDynamics:
    """Return the dynamics in ``folder``, in evaluation mode.

    Raises:
        CheckpointError: there is none, or it is truncated, changed or of another format.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(
            f"there is no dynamics in {folder}; make one with: worldgpt dyna --env ID --out DIR"
        )
    verify(folder)
    return read_dynamics(folder)


def read_dynamics(folder: Path) -> VectorDynamics:
    """Return the dynamics whose files :func:`write_dynamics` wrote into ``folder``."""
    try:
        fields = json.loads((folder / "dynamics.json").read_text())
        if fields["format"] != FORMAT:
            raise CheckpointError(
                f"{folder} has the format {fields['format']!r} and this version reads {FORMAT}."
            )
        config = VectorDynamicsConfig(**fields["config"])
        dynamics = VectorDynamics(fields["state"], fields["action"], config)
        dynamics.load_state_dict(load_file(folder / "dynamics.safetensors"), strict=True)
    except CheckpointError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder} holds no dynamics of this version: {error}") from error
    for name, tensor in dynamics.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{folder} holds NaN or infinity in {name}; fit it again.")
    return dynamics.eval()
