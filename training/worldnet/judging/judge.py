"""The judge: a model on held-out transitions, combination by combination, beside baselines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.batch import State
from worldgpt_env.model.curriculum import Combination
from worldgpt_env.model.errors import ConfigurationError, MissingHeadError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.worldgpt import WorldGPT

from .baselines import Neighbours, mean_next
from .beside import Beside
from .metrics import cosine, raw_figures, retrieval
from .samples import CHUNK, EncodedSamples
from .static import static_latents

BASELINES = ("copy", "mean_next", "nearest", "static")


@dataclass(frozen=True)
class Compared:
    """Pairs ``(n, 2)`` of a figure of raw observations for the three that guess.

    Attributes:
        model: the decoded prediction.
        copy: the present observation.
        codec: the true next observation, encoded and decoded: no prediction can be better.
    """

    model: np.ndarray
    copy: np.ndarray
    codec: np.ndarray


@dataclass(frozen=True)
class Cell:
    """One output of one combination.

    Attributes:
        combination: what was read and predicted.
        output: the modality that is judged.
        rows: ``(n,)`` int64, the held-out transitions that the combination allows.
        scores: figures per row ``(n,)`` float64, NaN where there is none: ``cosine`` and those of
            the baselines, all centred; ``raw`` and ``raw_copy``, as the paper has them;
            ``retrieval``, ``retrieval_copy`` and ``chance``.
        decoded: figures of raw observations, of the first rows that were decoded.
    """

    combination: Combination
    output: Modality
    rows: np.ndarray
    scores: dict[str, np.ndarray]
    decoded: dict[str, Compared] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidates:
    """Next states among which the true one is to be found: ``(N, K)`` rows, and which count."""

    rows: Tensor
    there: Tensor

    @classmethod
    def draw(cls, there: np.ndarray, scenario: np.ndarray, count: int, seed: int) -> Candidates:
        """Draw for each row up to ``count - 1`` others of its scenario; the row itself is first.

        Args:
            there: ``(N,)`` bool, rows that have a next state.
            scenario: ``(N,)`` names.
            count: ``K``.
            seed: of the draws.
        """
        generator = np.random.default_rng(seed)
        rows = np.tile(np.arange(len(there))[:, None], (1, count))
        known = np.zeros((len(there), count), bool)
        known[:, 0] = there
        pools = {name: np.flatnonzero(there & (scenario == name)) for name in np.unique(scenario)}
        for row in np.flatnonzero(there):
            others = generator.permutation(pools[scenario[row]])
            others = others[others != row][: count - 1]
            rows[row, 1 : 1 + len(others)], known[row, 1 : 1 + len(others)] = others, True
        return cls(torch.from_numpy(rows), torch.from_numpy(known))


class Decoded:
    """Raw observations of some held-out rows of one modality, and what copy and codec make of them.

    Args:
        model: whose codec decodes.
        test: the held-out transitions.
        modality: image, video, audio, text or vector.
        limit: rows at most.
    """

    def __init__(
        self, model: WorldGPT, test: EncodedSamples, modality: Modality, limit: int
    ) -> None:
        """See the class."""
        self.model, self.modality = model, modality
        both = test.before.there[modality] & test.after.there[modality]
        found = np.flatnonzero(both.numpy())
        spread = np.linspace(0, len(found) - 1, min(limit, len(found))).round().astype(int)
        self.rows = found[spread]  # (L,)
        if len(self.rows):
            self.figures_of = raw_figures(model.specs[modality])
            self.before, self.real = (
                test.samples.raw(modality, after, self.rows) for after in (False, True)
            )
            self.copy = self.figures_of(self.before, self.real, self.before)
            drawn = self._draw(test.after.state[modality][self.rows])
            self.codec = self.figures_of(drawn, self.real, self.before)

    def compare(self, rows: np.ndarray, state: Tensor) -> dict[str, Compared]:
        """Return the figures of predicted states ``(n, C, G)`` of ``rows`` that are among ours."""
        _, place, own = np.intersect1d(rows, self.rows, return_indices=True)
        if not len(own):
            return {}
        guess = self._draw(state[place])
        figures = self.figures_of(guess, self.real[own], self.before[own])
        return {
            name: Compared(pairs, self.copy[name][own], self.codec[name][own])
            for name, pairs in figures.items()
        }

    def _draw(self, state: Tensor) -> np.ndarray:
        parts = [
            self.model.decode({self.modality: part.to(self.model.device)})[self.modality].cpu()
            for part in state.split(CHUNK)
        ]
        return torch.cat(parts).numpy()


class Judge:
    """Judges one model.

    Args:
        model: the world model.
        test: held-out transitions, as the model encodes them.
        known: training transitions, likewise, for the centre and the baselines.
        modalities: that are judged.
        candidates: next states that a retrieval chooses among, the true one included.
        decoded: rows of each modality that are decoded; 0 for none.
        static: a generator that reads the action alone, or None.
        beside: what the model is shown beside each transition, or None.
        seed: of the draw of candidates.
    """

    def __init__(
        self,
        model: WorldGPT,
        test: EncodedSamples,
        known: EncodedSamples,
        modalities: Iterable[Modality],
        *,
        candidates: int = 16,
        decoded: int = 0,
        static: WorldGPT | None = None,
        beside: Beside | None = None,
        seed: int = 0,
    ) -> None:
        """See the class."""
        self.model, self.test, self.known = model, test, known
        self.beside = beside
        self.modalities = tuple(modalities)
        self.centre = {m: _centre(known, m) for m in self.modalities}
        self.seed, self.count = seed, candidates
        self.candidates = {m: self._candidates(m) for m in self.modalities}
        self.means = {m: self._means(m) for m in self.modalities}
        self.static = {} if static is None else static_latents(static, model, test, self.modalities)
        self.decoded = self._decoders(decoded)
        self._near: tuple[tuple[Modality, ...], Tensor] | None = None

    def judge(self, combination: Combination) -> list[Cell]:
        """Return a cell per output; cells without rows where no transition allows it."""
        there = [self.test.before.there[m] for m in combination.inputs]
        there += [self.test.after.there[m] for m in combination.outputs]
        rows = np.flatnonzero(torch.stack(there).all(0).numpy())
        if not len(rows):
            return [Cell(combination, m, rows, {}) for m in combination.outputs]
        latent, state = self._predict(combination, torch.from_numpy(rows))
        cells = []
        for modality in combination.outputs:
            scores = self._scores(combination, modality, rows, latent[modality])
            decoder = self.decoded.get(modality)
            raw = decoder.compare(rows, state[modality]) if decoder else {}
            cells.append(Cell(combination, modality, rows, scores, raw))
        return cells

    def _predict(
        self, combination: Combination, rows: Tensor
    ) -> tuple[dict[Modality, Tensor], State]:
        """Return expected latents ``(n, F)`` and likeliest states ``(n, C, G)`` of the outputs."""
        device, parts = self.model.device, []
        for chunk in rows.split(CHUNK):
            state = {m: self.test.before.state[m][chunk].to(device) for m in combination.inputs}
            action = self.test.action[chunk].to(device)
            shown: dict[str, Any] = {}
            if self.beside is not None:
                shown["contexts"] = self.beside.contexts(combination, chunk).to(device)
                shown["reflected"] = self.beside.reflected
            outputs = combination.outputs
            parts.append(self.model.predict(state, action, outputs, expected=True, **shown))
        latents = [part.latent or {} for part in parts]
        return (
            {m: torch.cat([x[m].cpu() for x in latents]) for m in combination.outputs},
            {m: torch.cat([part.state[m].cpu() for part in parts]) for m in combination.outputs},
        )

    def _scores(
        self, combination: Combination, modality: Modality, rows: np.ndarray, guess: Tensor
    ) -> dict[str, np.ndarray]:
        place, centre = torch.from_numpy(rows), self.centre[modality]
        before, after = self.test.before, self.test.after
        truth, copied = after.latent[modality][place], before.latent[modality][place]
        known = before.there[modality][place]
        candidates = self.candidates[modality]
        others = after.latent[modality][candidates.rows[place]] - centre  # (n, K, F)
        counts = candidates.there[place]
        found = {
            "cosine": cosine(guess - centre, truth - centre),
            "raw": cosine(guess, truth),
            "raw_copy": _only(known, cosine(copied, truth)),
            "retrieval": retrieval(guess - centre, others, counts),
            "retrieval_copy": _only(known, retrieval(copied - centre, others, counts)),
            "chance": 1 / counts.sum(1),
            "copy": _only(known, cosine(copied - centre, truth - centre)),
        }
        means, any_mean = self.means[modality]
        near, any_near = self._neighbours(combination.inputs, modality, place)
        found["mean_next"] = _only(any_mean[place], cosine(means[place], truth - centre))
        found["nearest"] = _only(any_near, cosine(near, truth - centre))
        if modality in self.static:
            drawn = self.static[modality][place] - centre
            found["static"] = cosine(drawn, truth - centre)
        return {name: score.double().numpy() for name, score in found.items()}

    def _neighbours(
        self, inputs: tuple[Modality, ...], modality: Modality, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the centred next states ``(n, F)`` of the nearest neighbours, and where any is."""
        if self._near is None or self._near[0] != inputs:
            there = torch.stack([self.known.before.there[m] for m in inputs]).all(0)
            sides = [
                [side.latent[m] - self.centre[m] for m in inputs]
                for side in (self.known.before, self.test.before)
            ]
            finder = Neighbours(sides[0], there, self.known.action)
            self._near = inputs, finder.nearness(sides[1], self.test.action)
        index, known = Neighbours.nearest(self._near[1][rows], self.known.after.there[modality])
        return self.known.after.latent[modality][index] - self.centre[modality], known

    def _candidates(self, modality: Modality) -> Candidates:
        seed = self.seed + list(Modality).index(modality)
        there = self.test.after.there[modality].numpy()
        return Candidates.draw(there, self.test.samples.scenario, self.count, seed)

    def _means(self, modality: Modality) -> tuple[Tensor, Tensor]:
        after = self.known.after
        return mean_next(
            after.latent[modality] - self.centre[modality],
            after.there[modality],
            self.known.samples.scenario,
            self.test.samples.scenario,
        )

    def _decoders(self, limit: int) -> dict[Modality, Decoded]:
        """Return those modalities that can be decoded; a continuous one may have no decoder."""
        found = {}
        for modality in self.modalities if limit else ():
            try:
                found[modality] = Decoded(self.model, self.test, modality, limit)
            except MissingHeadError:
                continue  # told in the report: it has no decoded figures
        return found


def _centre(known: EncodedSamples, modality: Modality) -> Tensor:
    """Return the mean latent of all training states, ``(F,)``."""
    sides = (known.before, known.after)
    latent = torch.cat([side.latent[modality][side.there[modality]] for side in sides])
    if not len(latent):
        raise ConfigurationError(
            f"no training transition has {modality}, so its figures cannot be centred; "
            "leave it out: --modalities."
        )
    return latent.mean(0)


def _only(known: Tensor, score: Tensor) -> Tensor:
    """Return ``score`` ``(n,)`` where ``known``, NaN elsewhere."""
    return torch.where(known, score, torch.full_like(score, torch.nan))
