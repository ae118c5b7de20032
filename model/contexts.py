"""Contexts: transitions that a model is shown beside the present step, remembered or known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .errors import ConfigurationError
from .modalities import Modality
from .states import Presence, State


@dataclass(frozen=True)
class Contexts:
    """K transitions for each of B rows, the farthest (or oldest) first.

    Attributes:
        state: before the transition, per modality ``(B, K, C, G)``.
        action: ``(B, K, ...)``, as ``Batch.action``.
        next_state: after it, per modality ``(B, K, C, G)``.
        valid: ``(B, K)`` bool; False: there is nothing, and the other parts hold zeros.
        distance: ``(B, K)`` float32 from 0, the same; NaN where nobody measured it, as in a memory.
        present: per modality ``(B, K)`` bool, where ``state`` has it; everywhere if not named.
        present_next: likewise of ``next_state``.
    """

    state: State
    action: Tensor
    next_state: State
    valid: Tensor
    distance: Tensor
    present: Presence = field(default_factory=dict)
    present_next: Presence = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that all parts describe the same ``(B, K)``."""
        wanted = tuple(self.valid.shape)
        shapes = {
            name: tuple(part.shape[:2])
            for name, part in self._tensors().items()
            if tuple(part.shape[:2]) != wanted
        }
        if len(wanted) != 2 or shapes:
            raise ConfigurationError(
                f"the parts of contexts differ: valid is {wanted}, and {shapes} begin otherwise; "
                "every part begins with (rows, contexts)."
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.valid.shape[0]

    @property
    def count(self) -> int:
        """K, contexts of each row."""
        return self.valid.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.valid.device

    def cleared(self) -> Contexts:
        """Return the contexts with zeros where they are not valid; NaN stays as their distance."""

        def clear(part: Tensor) -> Tensor:
            beyond = [1] * (part.dim() - 2)
            return part.masked_fill(~self.valid.view(*self.valid.shape, *beyond), 0)

        distance = torch.where(self.valid, self.distance, torch.nan)
        return dataclasses.replace(self._map(clear), valid=self.valid, distance=distance)

    def select(self, rows: Tensor) -> Contexts:
        """Return the contexts of ``rows`` (indices, repeats allowed; or a bool mask), as copies."""
        return self._map(lambda part: part[rows.to(part.device)])

    def to(self, device: torch.device | str) -> Contexts:
        """Return the contexts on ``device``."""
        return self._map(lambda part: part.to(device))

    @classmethod
    def join(cls, parts: Sequence[Contexts]) -> Contexts:
        """Return the contexts of ``parts`` one behind the other, of the same rows and modalities.

        Raises:
            ConfigurationError: there is no part, or they differ in rows or modalities.
        """
        if not parts:
            raise ConfigurationError("no contexts were given to join; pass at least one part.")
        kinds = {(len(part), tuple(part.state), tuple(part.next_state)) for part in parts}
        if len(kinds) != 1:
            found = [(rows, [*map(str, now)], [*map(str, then)]) for rows, now, then in kinds]
            raise ConfigurationError(
                f"contexts of {found} (rows, modalities before and after) cannot stand in one "
                "line; join contexts of the same rows and modalities."
            )
        first = parts[0]
        return cls(
            {m: torch.cat([part.state[m] for part in parts], 1) for m in first.state},
            torch.cat([part.action for part in parts], 1),
            {m: torch.cat([part.next_state[m] for part in parts], 1) for m in first.next_state},
            torch.cat([part.valid for part in parts], 1),
            torch.cat([part.distance for part in parts], 1),
            _join_presence(parts, [part.present for part in parts]),
            _join_presence(parts, [part.present_next for part in parts]),
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> Contexts:
        """Return contexts whose every tensor went through ``change``."""
        return Contexts(
            {m: change(part) for m, part in self.state.items()},
            change(self.action),
            {m: change(part) for m, part in self.next_state.items()},
            change(self.valid),
            change(self.distance),
            {m: change(part) for m, part in self.present.items()},
            {m: change(part) for m, part in self.present_next.items()},
        )

    def _tensors(self) -> dict[str, Tensor]:
        """Return every tensor by the name of its field."""
        parts = {"action": self.action, "distance": self.distance}
        for name in ("state", "next_state", "present", "present_next"):
            parts |= {f"{name}/{m}": part for m, part in getattr(self, name).items()}
        return parts


def _join_presence(parts: Sequence[Contexts], present: Sequence[Presence]) -> Presence:
    """Return presences one behind the other; a part that does not name a modality has it."""
    named: dict[Modality, None] = {m: None for presence in present for m in presence}
    return {
        modality: torch.cat(
            [
                presence.get(modality, torch.ones_like(part.valid))
                for part, presence in zip(parts, present, strict=True)
            ],
            1,
        )
        for modality in named
    }
