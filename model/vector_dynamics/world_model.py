"""VectorWorldModel: a dynamics with the world that it is of and where its dreams begin, on disk."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import CURE, MANIFEST, refused, verify, write_folder
from ..errors import CheckpointError
from ..modalities import ActionSpec, Modality, VectorSpec, specs_from_json, specs_to_json
from ..safe_io import recover_folder, write_json, write_tensors
from ..safe_json import Fields, read_json
from ..safe_tensors import read_tensors
from .actions import ActionEncoder
from .ensemble_dynamics import VectorDynamics
from .storage import FIELDS, WEIGHTS, read_dynamics, write_dynamics
from .transitions import VectorTransitions

WORLD, STARTS = "world.json", "starts.safetensors"
MOST_STARTS = 4096
QUANTILES = 1001


@dataclass(frozen=True)
class VectorWorldModel:
    """What ``worldgpt dyna --env`` learned of a world of numbers.

    Attributes:
        dynamics: predicts.
        world: name of the world.
        spec: its numbers.
        action_spec: its actions.
        horizon: steps of an episode at most.
        first: ``(M, D)`` first states of real episodes.
        visited: ``(N, D)`` states of the recording, evenly spread over it.
        disagreement: ``(1001,)`` quantiles of the members' disagreement on the recorded steps.
    """

    dynamics: VectorDynamics
    world: str
    spec: VectorSpec
    action_spec: ActionSpec
    horizon: int
    first: Tensor
    visited: Tensor
    disagreement: Tensor

    @classmethod
    def of(
        cls,
        dynamics: VectorDynamics,
        data: VectorTransitions,
        world: str,
        spec: VectorSpec,
        action_spec: ActionSpec,
        horizon: int,
    ) -> VectorWorldModel:
        """Return the model of a ``world`` whose ``dynamics`` was fitted to ``data``."""
        chosen = torch.linspace(0, len(data) - 1, min(len(data), MOST_STARTS)).long()
        told = dynamics.disagreement(data.states[chosen], data.actions[chosen])
        return cls(
            dynamics,
            world,
            spec,
            action_spec,
            horizon,
            data.states[data.first][:MOST_STARTS],
            data.states[chosen],
            torch.quantile(told, torch.linspace(0, 1, QUANTILES)),
        )

    def uncertainty(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the share of recorded steps on which the members disagreed less, ``(B,)``.

        0.9: less certain than on nine of ten recorded steps; 1: than on all of them.
        """
        told = self.dynamics.disagreement(states, actions)
        return torch.searchsorted(self.disagreement, told).float() / len(self.disagreement)

    @property
    def encoder(self) -> ActionEncoder:
        """Turns actions into what the dynamics reads."""
        return ActionEncoder(self.action_spec)

    def save(self, folder: str | Path) -> None:
        """Write the model to ``folder``, which is replaced as a whole.

        Raises:
            WriteError: it cannot be written; what was there before is untouched.
        """
        write_folder(Path(folder), self.write)

    def write(self, folder: Path) -> None:
        """Write all files into an existing ``folder``."""
        write_dynamics(self.dynamics, folder)
        fields = {
            "world": self.world,
            "specs": specs_to_json({Modality.VECTOR: self.spec}),
            "action_spec": dataclasses.asdict(self.action_spec),
            "horizon": self.horizon,
        }
        write_json(folder / WORLD, fields)
        starts = {name: getattr(self, name) for name in ("first", "visited", "disagreement")}
        write_tensors(folder / STARTS, starts)

    @classmethod
    def load(cls, folder: str | Path) -> VectorWorldModel:
        """Return the model in ``folder``.

        Raises:
            CheckpointError: there is none, or a file is truncated, changed or of something else.
        """
        folder = Path(folder)
        recover_folder(folder)
        if not (folder / MANIFEST).is_file():
            raise CheckpointError(
                f"there is no model in {folder}; make one with: worldgpt dyna --env ID --out DIR"
            )
        verify(folder, FIELDS, WEIGHTS, WORLD, STARTS)
        dynamics = read_dynamics(folder)
        told = Fields(read_json(folder / WORLD, CURE), folder / WORLD)
        with refused(folder / WORLD):
            spec = specs_from_json(told.part("specs").data)[Modality.VECTOR]
            action_spec = ActionSpec(**dict(told.part("action_spec").data))
            encoder = ActionEncoder(action_spec)
        starts = read_tensors(folder / STARTS, CURE)
        size = dynamics.state_size
        shapes = {name: (t.ndim, *t.shape[-1:], t.dtype) for name, t in starts.items()}
        states = (2, size, torch.float32)
        told_of = (1, QUANTILES, torch.float32)
        wanted = {"first": states, "visited": states, "disagreement": told_of}
        fits = isinstance(spec, VectorSpec) and spec.shape == (size,)
        fits = fits and all(len(tensor) for tensor in starts.values())
        if shapes != wanted or not fits or encoder.width != dynamics.action_size:
            raise CheckpointError(f"the files of {folder} do not belong together. {CURE}")
        return cls(
            dynamics,
            told.text("world"),
            spec,  # type: ignore[arg-type]  # checked above
            action_spec,
            told.whole("horizon", 1, 2**31),
            **starts,
        )


def is_vector_model(folder: object) -> bool:
    """Return whether ``folder`` is one that holds a :class:`VectorWorldModel`."""
    with suppress(OSError):  # a name that no file can have
        return isinstance(folder, str | Path) and (Path(folder) / FIELDS).is_file()
    return False
