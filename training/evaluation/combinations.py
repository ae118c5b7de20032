"""Combinations: held-out transitions predicted from any modalities to any, beside baselines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import State
from worldgpt_env.model.curriculum import Combination
from worldgpt_env.model.errors import ConfigurationError, MissingHeadError
from worldgpt_env.model.modalities import Modality

from .context_sources import ContextSource
from .metrics import cosine, observation_metrics, retrieval
from .observations import CHUNK, Compared, ObservationScorer
from .prediction_baselines import NearestNeighbours, mean_next_state, static_latents
from .samples import EncodedSamples

BASELINES = ("copy", "mean_next", "nearest", "static")


@dataclass(frozen=True)
class OutputScores:
    """One output of one combination.

    The scores are ``cosine`` and the cosines of the :data:`BASELINES`, all centred; ``raw`` and
    ``raw_copy``, not centred, as the paper has them; ``retrieval``, ``retrieval_copy``, ``chance``.
    """

    combination: Combination
    output: Modality
    rows: np.ndarray  # (n,) int64, the held-out transitions that the combination allows
    scores: dict[str, np.ndarray]  # (n,) float64 each, NaN where there is none
    decoded: dict[str, Compared[np.ndarray]] = field(default_factory=dict)  # pairs (k, 2)


@dataclass(frozen=True)
class Candidates:
    """Next states among which the true one is to be found: ``(N, K)`` rows, and which count."""

    rows: Tensor
    present: Tensor

    @classmethod
    def draw(cls, present: np.ndarray, scenario: np.ndarray, count: int, seed: int) -> Candidates:
        """Draw for each row up to ``K - 1 = count - 1`` others of its scenario; it is the first.

        ``present`` ``(N,)`` bool says which rows have a next state, ``scenario`` ``(N,)`` whose.
        """
        generator = np.random.default_rng(seed)
        rows = np.tile(np.arange(len(present))[:, None], (1, count))
        known = np.zeros((len(present), count), bool)
        known[:, 0] = present
        pools = {name: np.flatnonzero(present & (scenario == name)) for name in np.unique(scenario)}
        for row in np.flatnonzero(present):
            others = generator.permutation(pools[scenario[row]])
            others = others[others != row][: count - 1]
            rows[row, 1 : 1 + len(others)], known[row, 1 : 1 + len(others)] = others, True
        return cls(torch.from_numpy(rows), torch.from_numpy(known))


class CombinationEvaluator:
    """Evaluates one model.

    Args:
        model: the world model.
        test: held-out transitions, as the model encodes them.
        known: training transitions, likewise, for the centre and the baselines.
        candidates: next states that a retrieval chooses among, the true one included.
        decoded: rows of each modality that are decoded; 0 for none.
        static: a generator that reads the action alone, or None.
        contexts: gives the model transitions beside each one, or None.
        reflected: it reads them through its reflector, or raw.
        seed: of the draw of candidates.
    """

    def __init__(
        self,
        model: WorldGPT,
        test: EncodedSamples,
        known: EncodedSamples,
        *,
        candidates: int = 16,
        decoded: int = 0,
        static: WorldGPT | None = None,
        contexts: ContextSource | None = None,
        reflected: bool = True,
        seed: int = 0,
    ) -> None:
        """See the class."""
        self.model, self.test, self.known = model, test, known
        self.contexts, self.reflected = contexts, reflected
        modalities = tuple(test.state.codes)
        self.centre = {m: _centre(known, m) for m in modalities}
        self.candidates = {
            m: Candidates.draw(
                test.next_state.present[m].numpy(), test.samples.scenario, candidates,
                seed + list(Modality).index(m),
            )
            for m in modalities
        }  # fmt: skip
        self.means = {
            m: mean_next_state(
                known.next_state.latent[m] - self.centre[m], known.next_state.present[m],
                known.samples.scenario, test.samples.scenario,
            )
            for m in modalities
        }  # fmt: skip
        self.static = {} if static is None else static_latents(static, model, test, modalities)
        self.decoded = {m: self._decoded(m, decoded) for m in modalities}
        self._near: tuple[tuple[Modality, ...], Tensor] | None = None

    def evaluate(self, combination: Combination) -> list[OutputScores]:
        """Return the scores of each output, without rows where no transition allows them."""
        present = [self.test.state.present[m] for m in combination.inputs]
        present += [self.test.next_state.present[m] for m in combination.outputs]
        rows = np.flatnonzero(torch.stack(present).all(0).numpy())
        if not len(rows):
            return [OutputScores(combination, m, rows, {}) for m in combination.outputs]
        latent, codes = self._predict(combination, torch.from_numpy(rows))
        return [
            OutputScores(
                combination, m, rows, self._scores(combination.inputs, m, rows, latent[m]),
                self._compare(m, rows, codes[m]),
            )
            for m in combination.outputs
        ]  # fmt: skip

    def _predict(
        self, combination: Combination, rows: Tensor
    ) -> tuple[dict[Modality, Tensor], State]:
        """Return expected latents ``(n, F)`` and likeliest codes ``(n, C, G)`` of the outputs."""
        device, parts = self.model.device, []
        for chunk in rows.split(CHUNK):
            state = {m: self.test.state.codes[m][chunk].to(device) for m in combination.inputs}
            action, beside = self.test.action[chunk].to(device), dict[str, Any]()
            if self.contexts is not None:
                beside["contexts"] = self.contexts(combination, chunk).to(device)
                beside["reflected"] = self.reflected
            outputs = combination.outputs
            parts.append(self.model.predict(state, action, outputs, expected=True, **beside))
        latents = [part.latent or {} for part in parts]
        return (
            {m: torch.cat([x[m].cpu() for x in latents]) for m in combination.outputs},
            {m: torch.cat([part.state[m].cpu() for part in parts]) for m in combination.outputs},
        )

    def _scores(
        self, inputs: tuple[Modality, ...], output: Modality, numbers: np.ndarray, guess: Tensor
    ) -> dict[str, np.ndarray]:
        """Return the metrics of predicted latents ``(n, F)`` and of the baselines."""
        rows, centre = torch.from_numpy(numbers), self.centre[output]
        state, next_state = (
            side.latent[output] for side in (self.test.state, self.test.next_state)
        )
        copied, target = state[rows], next_state[rows]
        present, candidates = self.test.state.present[output][rows], self.candidates[output]
        others = next_state[candidates.rows[rows]] - centre  # (n, K, F)
        counts = candidates.present[rows]
        means, any_mean = self.means[output]
        near, any_near = self._nearest(inputs, output, rows)
        found = {
            "cosine": cosine(guess - centre, target - centre),
            "raw": cosine(guess, target),
            "raw_copy": _only(present, cosine(copied, target)),
            "retrieval": retrieval(guess - centre, others, counts),
            "retrieval_copy": _only(present, retrieval(copied - centre, others, counts)),
            "chance": 1 / counts.sum(1),
            "copy": _only(present, cosine(copied - centre, target - centre)),
            "mean_next": _only(any_mean[rows], cosine(means[rows], target - centre)),
            "nearest": _only(any_near, cosine(near, target - centre)),
        }
        if output in self.static:
            found["static"] = cosine(self.static[output][rows] - centre, target - centre)
        return {name: score.double().numpy() for name, score in found.items()}

    def _nearest(
        self, inputs: tuple[Modality, ...], output: Modality, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the centred next states ``(n, F)`` of the nearest neighbours, and where any is."""
        if self._near is None or self._near[0] != inputs:
            present = torch.stack([self.known.state.present[m] for m in inputs]).all(0)
            known, asked = (
                [side.state.latent[m] - self.centre[m] for m in inputs]
                for side in (self.known, self.test)
            )
            finder = NearestNeighbours(known, present, self.known.action)
            self._near = inputs, finder.nearness(asked, self.test.action)
        next_state = self.known.next_state
        index, found = NearestNeighbours.nearest(self._near[1][rows], next_state.present[output])
        return next_state.latent[output][index] - self.centre[output], found

    def _decoded(
        self, modality: Modality, limit: int
    ) -> tuple[np.ndarray, ObservationScorer] | None:
        """Return rows that are decoded and their scorer; None if there are none, or no decoder."""
        test, samples = self.test, self.test.samples
        both = test.state.present[modality] & test.next_state.present[modality]
        found = np.flatnonzero(both.numpy())
        count = min(limit, len(found))
        if not count:
            return None
        rows = found[np.linspace(0, len(found) - 1, count).round().astype(int)]
        pairs = [samples.observations(modality, rows, shift) for shift in (0, 1)]
        try:
            return rows, ObservationScorer(
                self.model, modality, np.concatenate(pairs), np.arange(count),
                count + np.arange(count), test.next_state.codes[modality][rows],
                observation_metrics(self.model.specs[modality]),
            )  # fmt: skip
        except MissingHeadError:
            return None  # the tables say so: it has no decoded scores

    def _compare(
        self, modality: Modality, rows: np.ndarray, codes: Tensor
    ) -> dict[str, Compared[np.ndarray]]:
        """Return the metrics of predicted codes ``(n, C, G)`` of ``rows`` that are decoded."""
        if (known := self.decoded[modality]) is None:
            return {}
        _, place, own = np.intersect1d(rows, known[0], return_indices=True)
        return known[1].compare(codes[place], own) if len(own) else {}


def _centre(known: EncodedSamples, modality: Modality) -> Tensor:
    """Return the mean latent of all training states, ``(F,)``."""
    sides = (known.state, known.next_state)
    latent = torch.cat([side.latent[modality][side.present[modality]] for side in sides])
    if not len(latent):
        raise ConfigurationError(
            f"no training transition has {modality}, so its figures cannot be centred; "
            "leave it out: --modalities."
        )
    return latent.mean(0)


def _only(known: Tensor, score: Tensor) -> Tensor:
    """Return ``score`` ``(n,)`` where ``known``, NaN elsewhere."""
    return torch.where(known, score, torch.full_like(score, torch.nan))
