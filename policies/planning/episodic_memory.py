"""EpisodicMemory: the states and transitions that an episode has met, used in place of guesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from worldgpt_env.model.batch import State
from worldgpt_env.simulator import Simulator


@dataclass(frozen=True)
class EpisodicMemory:
    """What one episode has met so far; nothing in it ever changes.

    Attributes:
        met: the :func:`state_keys` of its moments.
        followed: the state, per modality ``(C, G)``, that followed a mark and an action.
    """

    met: frozenset[bytes] = frozenset()
    followed: Mapping[tuple[bytes, bytes], State] = field(default_factory=dict)

    def after(
        self, mark: bytes, action: np.ndarray, state: State, reached: bytes
    ) -> EpisodicMemory:
        """Return the same one moment later.

        Args:
            mark: of the moment before.
            action: what was done in it.
            state: what followed, per modality ``(C, G)``.
            reached: its mark.
        """
        followed = {**self.followed, (mark, action.tobytes()): state}
        return EpisodicMemory(self.met | {reached}, followed)


class NoveltyTracker:
    """Which imagined moments neither the episode nor the plan has met before.

    Args:
        memories: one per block of ``rows / len(memories)`` plans.
        rows: plans.
    """

    def __init__(self, memories: Sequence[EpisodicMemory], rows: int) -> None:
        """Begin with what the episodes have met."""
        block = rows // len(memories)
        self._met = [set(memories[row // block].met) for row in range(rows)]

    def __call__(self, state: State) -> np.ndarray:
        """Return ``(N,)`` bool, and count these moments as met from now on."""
        new = np.zeros(len(self._met), bool)
        for row, (mark, met) in enumerate(zip(state_keys(state), self._met, strict=True)):
            new[row] = mark not in met
            met.add(mark)
        return new


def state_keys(state: State) -> list[bytes]:
    """Return for each row what tells its state ``(N, C, G)`` from all others."""
    parts = [codes.cpu().contiguous().numpy() for codes in state.values()]
    flat = [part.reshape(len(part), -1).view(np.uint8) for part in parts]
    return [row.tobytes() for row in np.concatenate(flat, 1)]


def recall(
    simulator: Simulator, actions: np.ndarray, memories: Sequence[EpisodicMemory]
) -> dict[int, State]:
    """Return what is known to follow ``actions`` ``(N, ...)`` in the states now, by row.

    Args:
        simulator: stands where the actions are to be done.
        actions: one per row.
        memories: one per block of ``N / len(memories)`` rows.
    """
    if not any(episode.followed for episode in memories):
        return {}
    block = simulator.num_envs // len(memories)
    known = (
        (row, memories[row // block].followed.get((mark, actions[row].tobytes())))
        for row, mark in enumerate(state_keys(simulator.state))
    )
    return {row: state for row, state in known if state is not None}


def override(simulator: Simulator, known: Mapping[int, State]) -> np.ndarray:
    """Put the ``known`` states in place of what was imagined; return which rows, ``(N,)`` bool."""
    rows = np.zeros(simulator.num_envs, bool)
    if known:
        rows[list(known)] = True
        place = torch.tensor(list(known), device=simulator.model.device)
        state = {
            modality: codes.index_copy(0, place, torch.stack([s[modality] for s in known.values()]))
            for modality, codes in simulator.state.items()
        }
        simulator.correct(state, rows)
    return rows
