"""Subgoals: what is to be reached next, as words or as a place, and how near a state comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from worldgpt_env.errors import WorldGPTError
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import State
from worldgpt_env.model.modalities import Modality, TextSpec


class ProposalError(WorldGPTError, ValueError):
    """No subgoals could be proposed, or not ones that this world can show."""


class Subgoal(Protocol):
    """Something to be reached."""

    @property
    def name(self) -> str:
        """What it is called in the trace."""

    def match(self, model: WorldGPT, state: State) -> np.ndarray:
        """Return ``(N,)`` float64 in [0, 1] how near states ``(N, C, G)`` come; 1 = reached."""


@dataclass(frozen=True)
class Words:
    """Reached when the words of a state hold ``phrase``, its words side by side.

    Attributes:
        phrase: the asked words, all known to the world.
    """

    phrase: str

    @property
    def name(self) -> str:
        """The phrase."""
        return self.phrase

    @classmethod
    def checked(cls, phrase: str, model: WorldGPT) -> Words:
        """Return the subgoal, if ``model`` can show it.

        Raises:
            ProposalError: the world has no words, or not these.
        """
        words = phrase.lower().split()
        spec = text_spec(model)
        unknown = [word for word in words if word not in spec.vocabulary]
        if unknown or not words or len(words) > spec.slots:
            known = " ".join(word for word in spec.vocabulary if word.isalnum())
            raise ProposalError(
                f"{phrase!r:.120} cannot be read in the words of {model.config.world!r}; use at "
                f"least one and at most {spec.slots} of these: {known}."
            )
        return cls(" ".join(words))

    def match(self, model: WorldGPT, state: State) -> np.ndarray:
        """See :class:`Subgoal`; half the share of the asked words that are there, else 1."""
        spec = text_spec(model)
        ids = state[Modality.TEXT][..., 0].cpu().numpy()  # (N, slots)
        asked = np.array([spec.vocabulary.index(word) for word in self.phrase.split()])
        windows = np.lib.stride_tricks.sliding_window_view(ids, len(asked), 1)  # (N, places, k)
        whole = (windows == asked).all(-1).any(-1)  # (N,)
        there = (ids[..., None] == asked).any(1)  # (N, k)
        return np.where(whole, 1.0, there.mean(-1) / 2)


@dataclass(frozen=True, eq=False)
class Place:
    """Reached when a state is within ``near`` of a real one.

    Attributes:
        state: per modality ``(1, C, G)``.
        name: what it is called in the trace.
        near: a :func:`distance`, above 0.
    """

    state: State
    name: str
    near: float = 0.05

    def match(self, model: WorldGPT, state: State) -> np.ndarray:
        """See :class:`Subgoal`."""
        apart = distance(model, state, self.state)
        return np.minimum(1.0, self.near / np.maximum(apart, 1e-12))


Seen = dict[Modality, np.ndarray]
"""Latents of the modalities that agents see, ``(N, D)`` float32 each."""


def distance(model: WorldGPT, states: State, others: State) -> np.ndarray:
    """Return how far ``states`` ``(N, C, G)`` are from ``others`` (N or 1 rows), ``(N,)`` float64.

    Latents of a modality are compared by their root mean square, and the modalities that agents see
    and both have count alike; 0 is the same state.
    """
    return apart(see(model, states), see(model, others))


def see(model: WorldGPT, state: State) -> Seen:
    """Return what agents see of states ``(N, C, G)``, to be compared by :func:`apart`."""
    shown = {m: state[m].to(model.device) for m in model.agent_modalities if m in state}
    return {m: latent.float().cpu().numpy() for m, latent in model.latent(shown).items()}


def apart(seen: Seen, others: Seen) -> np.ndarray:
    """Return the :func:`distance` of N rows from N others or one, ``(N,)`` float64."""
    parts = [
        np.sqrt(((seen[m].astype(np.float64) - others[m]) ** 2).mean(-1))  # (N,)
        for m in seen
        if m in others
    ]
    return np.mean(parts, axis=0)


def text_spec(model: WorldGPT) -> TextSpec:
    """Return the words of the world of ``model``.

    Raises:
        ProposalError: it has none.
    """
    spec = model.specs.get(Modality.TEXT)
    if not isinstance(spec, TextSpec):
        raise ProposalError(
            f"the world {model.config.world!r} has no words, so a goal cannot be told in words; "
            "use a WaypointProposer with a state to reach."
        )
    return spec
