"""Walks: sequences of held-out transitions, predicted step by step with a working memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.batch import Presence, State
from worldgpt_env.model.cognition.memory import MemoryConfig, WorkingMemory
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.model.worldgpt import WorldGPT

from ...recording import Recording
from .metrics import cosine
from .samples import CHUNK

READINGS = ("none", "raw", "reflected")
"""What a walking model reads of its memory: nothing, whole transitions, or the reflector's."""


@dataclass(frozen=True)
class Walks:
    """Sequences of transitions that share no transition.

    Attributes:
        data: the encoded recording.
        start: ``(S,)`` int64, the moment at which each begins.
        left: ``(S,)`` int64, transitions from there to the end of the episode.
        episode: ``(S,)`` int64, number of the episode.
    """

    data: TransitionStore
    start: np.ndarray
    left: np.ndarray
    episode: np.ndarray

    def __len__(self) -> int:
        """Return ``S``."""
        return len(self.start)

    @classmethod
    def draw(
        cls, model: WorldGPT, recording: Recording, length: int, count: int, seed: int
    ) -> Walks:
        """Cut every episode into sequences of ``length``; draw ``count`` evenly over scenarios.

        An episode is cut from its first transition on; what is left over at its end is no sequence.
        """
        data = TransitionStore.encode(model.processor, recording.episodes)
        cuts = [np.arange(0, n - length + 1, length) for n in data.steps]
        episode = np.repeat(np.arange(len(cuts)), [len(part) for part in cuts])
        offset = np.concatenate(cuts) if cuts else np.arange(0)
        scenario = np.array([recording.episodes[e].scenario for e in episode])
        generator = np.random.default_rng(seed)
        pools = [generator.permutation(np.flatnonzero(scenario == n)) for n in np.unique(scenario)]
        kept: list[np.ndarray] = []
        for number, pool in enumerate(sorted(pools, key=len)):
            due = (count - sum(map(len, kept))) // (len(pools) - number)
            kept.append(pool[:due])
        rows = np.sort(np.concatenate(kept)) if kept else np.arange(0)
        episode, offset = episode[rows], offset[rows]
        return cls(data, data.first[episode] + offset, data.steps[episode] - offset, episode)


@dataclass(frozen=True)
class Step:
    """Scores of one step of all sequences.

    Attributes:
        number: from 1.
        cosine: per modality ``(S,)`` float64, of centred latents; NaN where there is no such step
            or no such observation.
        copy: likewise of the state that copying would give: the present one, or in open loop the
            one at the start.
    """

    number: int
    cosine: dict[Modality, np.ndarray]
    copy: dict[Modality, np.ndarray]


class Walker:
    """Lets a model predict sequences of all its modalities.

    Args:
        model: the world model.
        walks: the sequences, encoded by it.
        centre: per modality ``(F,)``, what latents are centred on.
        contexts: remembered transitions that are read, the last ones.
    """

    def __init__(
        self, model: WorldGPT, walks: Walks, centre: dict[Modality, Tensor], contexts: int
    ) -> None:
        """See the class."""
        self.model, self.walks, self.centre = model, walks, centre
        self.contexts = contexts

    def walk(self, reading: str, open_loop: bool, steps: Sequence[int]) -> Iterator[Step]:
        """Yield the scores of ``steps``.

        Args:
            reading: one of :data:`READINGS`.
            open_loop: the model goes on from what it predicted and remembers that; else it is shown
                the real state at every step and remembers what really followed.
            steps: ascending, from 1.
        """
        parts = torch.arange(len(self.walks)).split(CHUNK)
        walks = [self._walk(part, reading, open_loop, steps) for part in parts]
        for pieces in zip(*walks, strict=True):
            sides = [[getattr(piece, side) for piece in pieces] for side in ("cosine", "copy")]
            joined = [{m: np.concatenate([p[m] for p in side]) for m in side[0]} for side in sides]
            yield Step(pieces[0].number, *joined)

    def _walk(
        self, rows: Tensor, reading: str, open_loop: bool, steps: Sequence[int]
    ) -> Iterator[Step]:
        start = torch.from_numpy(self.walks.start)[rows]
        left = torch.from_numpy(self.walks.left)[rows]
        memory = WorkingMemory.of(self.model, len(rows), MemoryConfig(count=self.contexts))
        origin, present = self._at(start)
        state, there = origin, present
        for number in range(1, steps[-1] + 1):
            moment = start + (left - 1).clamp(max=number - 1)  # who is through stands still
            if not open_loop:
                state, there = self._at(moment)
                origin, present = state, there
            action = self.walks.data.action[moment]
            predicted, guess = self._predict(state, action, there, memory, reading)
            truth, seen = self._at(moment + 1)
            if number in steps:
                counts = {m: left.ge(number) & seen[m] for m in seen}
                yield self._score(number, guess, truth, counts, origin, present)
            following, after = (predicted, there) if open_loop else (truth, seen)
            memory.write(state, action, following, present=there, present_next=after)
            state = following

    def _predict(
        self, state: State, action: Tensor, there: Presence, memory: WorkingMemory, reading: str
    ) -> tuple[State, dict[Modality, Tensor]]:
        """Return the likeliest next state and its expected latents, on the CPU."""
        device = self.model.device
        contexts = None if reading == "none" else memory.recall()
        prediction = self.model.predict(
            {m: codes.to(device) for m, codes in state.items()},
            action.to(device),
            present={m: mask.to(device) for m, mask in there.items()},
            expected=True,
            contexts=contexts,
            reflected=reading == "reflected",
        )
        state, latent = prediction.state, prediction.latent or {}
        return {m: x.cpu() for m, x in state.items()}, {
            m: x.float().cpu() for m, x in latent.items()
        }

    def _at(self, moments: Tensor) -> tuple[State, Presence]:
        data = self.walks.data
        state = {m: codes[moments] for m, codes in data.state.items()}
        state = {
            m: codes if codes.is_floating_point() else codes.long() for m, codes in state.items()
        }
        everywhere = torch.ones(len(moments), dtype=torch.bool)
        return state, {
            m: data.present[m][moments] if m in data.present else everywhere for m in state
        }

    def _score(
        self,
        number: int,
        guess: dict[Modality, Tensor],
        truth: State,
        counts: Presence,
        origin: State,
        present: Presence,
    ) -> Step:
        real, copied = (self._latent(state) for state in (truth, origin))
        step = Step(number, {}, {})
        for modality, mask in counts.items():
            target, centre = real[modality], self.centre[modality]
            sides = (
                (step.cosine, guess[modality], mask),
                (step.copy, copied[modality], mask & present[modality]),
            )
            for scores, latent, known in sides:
                score = cosine(latent - centre, target - centre).double()
                scores[modality] = score.masked_fill(~known, torch.nan).numpy()
        return step

    def _latent(self, state: State) -> dict[Modality, Tensor]:
        device = self.model.device
        seen = self.model.latent({m: codes.to(device) for m, codes in state.items()})
        return {m: part.float().cpu() for m, part in seen.items()}


def centres(model: WorldGPT, data: TransitionStore) -> dict[Modality, Tensor]:
    """Return the mean latent of each modality over all moments that have it, ``(F,)`` float32."""
    found = {}
    for modality, codes in data.state.items():
        there = data.present.get(modality)
        chosen = codes if there is None else codes[there]
        total, size = torch.zeros(model.codec(modality).latent_size), max(1, len(chosen))
        for part in chosen.split(CHUNK):
            whole = part if part.is_floating_point() else part.long()
            total += model.latent({modality: whole.to(model.device)})[modality].float().cpu().sum(0)
        found[modality] = total / size
    return found
