"""Sequences of held-out transitions, predicted step by step with a working memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import Presence, State
from worldgpt_env.model.cognition.memory import READINGS, MemoryConfig, WorkingMemory
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.transitions import TransitionStore

from ..balanced import balanced_rows
from ..encoding import encode_recording
from ..recording import Recording
from .metrics import cosine
from .observations import CHUNK
from .open_loop import recorded_state

MEMORY_READINGS = ("none", *READINGS)
"""What a model reads of its memory: nothing, whole transitions, or the reflector's tokens."""


@dataclass(frozen=True)
class RecordedSequences:
    """``S`` sequences of transitions that share no transition."""

    data: TransitionStore
    start: np.ndarray  # (S,) int64, the time step at which each begins
    left: np.ndarray  # (S,) int64, transitions from there to the end of the episode
    episode: np.ndarray  # (S,) int64, number of the episode

    def __len__(self) -> int:
        """Return ``S``."""
        return len(self.start)

    @classmethod
    def draw(
        cls, model: WorldGPT, recording: Recording, length: int, count: int, seed: int
    ) -> RecordedSequences:
        """Cut every episode into sequences of ``length``; draw ``count`` evenly over scenarios.

        An episode is cut from its first transition on; what is left over at its end is no sequence.
        """
        data = encode_recording(model.processor, recording)
        cuts = [np.arange(0, steps - length + 1, length) for steps in data.steps]
        episode = np.repeat(np.arange(len(cuts)), [len(part) for part in cuts])
        rows = balanced_rows([recording.episodes[e].scenario for e in episode], count, seed)
        episode, offset = episode[rows], np.concatenate(cuts)[rows]
        return cls(data, data.first[episode] + offset, data.steps[episode] - offset, episode)


@dataclass(frozen=True)
class StepScores:
    """Cosines of centred latents at one step of all sequences, per modality ``(S,)`` float64.

    They are NaN where there is no such step or no such observation. ``copy`` is of the state before
    the step, in open loop of that at the start of the sequence.
    """

    number: int  # from 1
    cosine: dict[Modality, np.ndarray]
    copy: dict[Modality, np.ndarray]


class SequenceRollout:
    """Lets a model predict sequences of all its modalities.

    Args:
        model: the world model.
        sequences: encoded by it.
        centre: per modality ``(F,)``, what latents are centred on.
        contexts: remembered transitions that are read, the last ones.
    """

    def __init__(
        self,
        model: WorldGPT,
        sequences: RecordedSequences,
        centre: dict[Modality, Tensor],
        contexts: int,
    ) -> None:
        """See the class."""
        self.model, self.sequences, self.centre = model, sequences, centre
        self.contexts = contexts

    def steps(self, reading: str, open_loop: bool, steps: Sequence[int]) -> Iterator[StepScores]:
        """Yield the scores of ``steps``.

        Args:
            reading: one of :data:`MEMORY_READINGS`.
            open_loop: the model goes on from what it predicted and remembers that; else it is given
                the real state at every step and remembers what really followed.
            steps: ascending, from 1.
        """
        chunks = torch.arange(len(self.sequences)).split(CHUNK)
        rollouts = [self._roll(rows, reading, open_loop, steps) for rows in chunks]
        for parts in zip(*rollouts, strict=True):
            sides = [[getattr(part, side) for part in parts] for side in ("cosine", "copy")]
            joined = [{m: np.concatenate([p[m] for p in side]) for m in side[0]} for side in sides]
            yield StepScores(parts[0].number, *joined)

    def _roll(
        self, rows: Tensor, reading: str, open_loop: bool, steps: Sequence[int]
    ) -> Iterator[StepScores]:
        start = torch.from_numpy(self.sequences.start)[rows]
        left = torch.from_numpy(self.sequences.left)[rows]
        settings = MemoryConfig(count=self.contexts)
        memory = WorkingMemory.of(self.model.processor, len(rows), settings)
        state, present = copied = self._at(start)
        for number in range(1, steps[-1] + 1):
            now = start + (left - 1).clamp(max=number - 1)  # ended sequences repeat their last step
            if not open_loop:
                state, present = copied = self._at(now)
            action = self.sequences.data.action[now]
            prediction, latent = self._predict(state, action, present, memory, reading)
            real, real_present = self._at(now + 1)
            if number in steps:
                counted = {m: left.ge(number) & mask for m, mask in real_present.items()}
                yield self._score(number, latent, (real, counted), copied)
            next_state, next_present = (prediction, present) if open_loop else (real, real_present)
            memory.write(state, action, next_state, present=present, present_next=next_present)
            state = next_state

    def _predict(
        self, state: State, action: Tensor, present: Presence, memory: WorkingMemory, reading: str
    ) -> tuple[State, dict[Modality, Tensor]]:
        """Return the likeliest next state and its expected latents, on the CPU."""
        device = self.model.device
        prediction = self.model.predict(
            {m: codes.to(device) for m, codes in state.items()},
            action.to(device),
            present={m: mask.to(device) for m, mask in present.items()},
            expected=True,
            contexts=None if reading == "none" else memory.recall(),
            reflected=reading == "reflected",
        )
        latent = {m: x.float().cpu() for m, x in (prediction.latent or {}).items()}
        return {m: codes.cpu() for m, codes in prediction.state.items()}, latent

    def _at(self, steps: Tensor) -> tuple[State, Presence]:
        """Return what was recorded at time steps ``(n,)``, and which modalities were present."""
        data, everywhere = self.sequences.data, torch.ones(len(steps), dtype=torch.bool)
        state = recorded_state(data, steps)
        present = {m: data.present[m][steps] if m in data.present else everywhere for m in state}
        return state, present

    def _score(
        self,
        number: int,
        prediction: dict[Modality, Tensor],
        real: tuple[State, Presence],
        copied: tuple[State, Presence],
    ) -> StepScores:
        """Compare predicted latents, and those of copying, with what really followed."""
        scores = StepScores(number, {}, {})
        targets, copies = self._latent(real[0]), self._latent(copied[0])
        for modality, present in real[1].items():
            centre = self.centre[modality]
            for side, latent, known in (
                (scores.cosine, prediction[modality], present),
                (scores.copy, copies[modality], present & copied[1][modality]),
            ):
                score = cosine(latent - centre, targets[modality] - centre).double()
                side[modality] = score.masked_fill(~known, torch.nan).numpy()
        return scores

    def _latent(self, state: State) -> dict[Modality, Tensor]:
        latent = self.model.latent({m: codes.to(self.model.device) for m, codes in state.items()})
        return {m: part.float().cpu() for m, part in latent.items()}


def centres(model: WorldGPT, data: TransitionStore) -> dict[Modality, Tensor]:
    """Return the mean latent of each modality over the time steps that have it, ``(F,)``."""
    found = {}
    for modality, codes in data.state.items():
        present = data.present.get(modality)
        chosen = codes if present is None else codes[present]
        total, size = torch.zeros(model.codec(modality).latent_size), max(1, len(chosen))
        for part in chosen.split(CHUNK):
            whole = part if part.is_floating_point() else part.long()
            total += model.latent({modality: whole.to(model.device)})[modality].float().cpu().sum(0)
        found[modality] = total / size
    return found
