"""Presence: which modalities a start state lacks."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.states import Presence


def absent_keys(present: Mapping[Modality, Tensor], row: int) -> tuple[str, ...]:
    """Return the keys of the modalities that ``row`` lacks."""
    return tuple(str(modality) for modality, there in present.items() if not there[row])


def partial(present: Presence) -> Presence:
    """Return what the model needs to know: the modalities that are missing in some row."""
    return {modality: there for modality, there in present.items() if not there.all()}
