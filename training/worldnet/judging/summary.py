"""From rows to figures: means, skills and their intervals over episodes and over models."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldgpt_env.model.curriculum import Combination

from ...statistics import mean_interval, percentile_interval
from .judge import BASELINES, Cell
from .metrics import skill

Draws = dict[str, np.ndarray]
"""Per figure ``(1 + S,)`` float64: the estimate, then its value in each bootstrap draw."""

MODEL, RIVAL = " of the model", " of the baseline"  # cosines that a skill is made of
MEANS = ("cosine", "raw", "raw_copy", "retrieval", "retrieval_copy", "chance")


@dataclass(frozen=True)
class Estimate:
    """A figure with both of its intervals.

    Attributes:
        value: mean over the models.
        episodes: 95 % bounds if other episodes had been held out (stratified cluster bootstrap);
            None if there was nothing to draw.
        models: 95 % bounds if other models had been trained (Student's t over models); None for one
            model.
        each: the value of each model.
    """

    value: float
    episodes: tuple[float, float] | None
    models: tuple[float, float] | None
    each: tuple[float, ...]

    @classmethod
    def of(cls, draws: Sequence[np.ndarray]) -> Estimate | None:
        """Return the estimate from the draws ``(1 + S,)`` of each model; None if one has none."""
        if not draws or not all(np.isfinite(part[0]) for part in draws):
            return None
        each = tuple(float(part[0]) for part in draws)
        drawn = percentile_interval(np.mean(draws, axis=0))
        bounds = None
        if drawn is not None and math.isfinite(drawn.low):
            bounds = (drawn.low, drawn.high)
        over = mean_interval(each) if len(each) > 1 else None
        models = None if over is None else (over.low, over.high)
        return cls(float(np.mean(each)), bounds, models, each)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        sides = {"episodes": self.episodes, "models": self.models}
        return {
            "value": self.value,
            **{name: None if side is None else list(side) for name, side in sides.items()},
            "each": list(self.each),
        }


def cell_draws(cell: Cell, weights: np.ndarray, episode: np.ndarray) -> tuple[Draws, str]:
    """Return the draws of every mean of one output, and which allowed baseline was the best.

    Args:
        cell: what was judged.
        weights: ``(1 + S, E)``, how often each episode counts in each draw.
        episode: ``(N,)`` number of the episode of every held-out transition.
    """
    if not len(cell.rows):
        return {}, ""
    mean = averager(weights, episode[cell.rows])
    scores = cell.scores
    found = {name: mean(scores[name]) for name in (*MEANS, *BASELINES) if name in scores}
    rivals = {"skill": "copy", "skill_static": "static"}
    judged = {
        name: mean(np.where(np.isfinite(scores[name]), scores["cosine"], np.nan))
        for name in BASELINES
        if name in scores
    }  # the model where the baseline has a say
    copying = ("copy",) if cell.output in cell.combination.inputs else ()
    allowed = [n for n in (*copying, "mean_next", "nearest") if np.isfinite(found[n][0])]
    best = max(allowed, key=lambda name: float((found[name] - judged[name])[0]), default="")
    rivals |= {"skill_allowed": best} if best else {}
    for figure, name in rivals.items():
        if name in judged:
            found[f"{figure}{MODEL}"], found[f"{figure}{RIVAL}"] = judged[name], found[name]
    return found, best


def with_skills(draws: Draws) -> Draws:
    """Return ``draws`` with the skills in place of the mean cosines they are made of.

    The skill of several outputs, or of a class, is that of their mean cosines. The mean of their
    skills would be ruled by the one whose baseline is nearly perfect.
    """
    whole = {name: part for name, part in draws.items() if not name.endswith((MODEL, RIVAL))}
    figures = [name.removesuffix(MODEL) for name in draws if name.endswith(MODEL)]
    return whole | {n: skill(draws[n + MODEL], draws[n + RIVAL]) for n in figures}


def averager(weights: np.ndarray, episode: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return what averages a figure ``(n,)`` under each draw, ``(1 + S,)``, NaN rows left out."""
    size = weights.shape[1]

    def mean(values: np.ndarray) -> np.ndarray:
        known = np.isfinite(values)
        sums = np.bincount(episode[known], values[known], size)
        counts = weights @ np.bincount(episode[known], minlength=size)
        return np.divide(
            weights @ sums, counts, out=np.full(len(weights), np.nan), where=counts > 0
        )

    return mean


def average_draws(parts: Iterable[Mapping[str, np.ndarray]]) -> Draws:
    """Return the mean of each figure over ``parts`` (outputs or combinations) that have it."""
    found = list(parts)
    names = dict.fromkeys(name for part in found for name in part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a draw in which nothing has a value: NaN
        stacks = {name: np.stack([p[name] for p in found if name in p]) for name in names}
        return {name: np.nanmean(stack, axis=0) for name, stack in stacks.items()}


@dataclass(frozen=True)
class Summary:
    """The draws of one model.

    Attributes:
        outputs: per combination and output the draws of :func:`cell_draws`.
        best: likewise the best baseline that the inputs allow.
        combinations: per combination the means over its outputs; only those that were measured.
    """

    outputs: dict[Combination, dict[str, Draws]]
    best: dict[Combination, dict[str, str]]
    combinations: dict[Combination, Draws]

    @classmethod
    def of(cls, cells: Iterable[Cell], weights: np.ndarray, episode: np.ndarray) -> Summary:
        """Summarise ``cells``; the arguments are those of :func:`cell_draws`."""
        outputs: dict[Combination, dict[str, Draws]] = {}
        best: dict[Combination, dict[str, str]] = {}
        for cell in cells:
            draws, name = cell_draws(cell, weights, episode)
            outputs.setdefault(cell.combination, {})[str(cell.output)] = draws
            best.setdefault(cell.combination, {})[str(cell.output)] = name
        whole = {c: average_draws(parts.values()) for c, parts in outputs.items()}
        return cls(outputs, best, {c: draws for c, draws in whole.items() if draws})

    def over(self, chosen: Iterable[Combination]) -> Draws:
        """Return the figures of the measured ones of ``chosen``, each counting the same."""
        known = (self.combinations[c] for c in chosen if c in self.combinations)
        return with_skills(average_draws(known))

    def over_output(self, chosen: Iterable[Combination], output: str) -> Draws:
        """Return the figures of one output modality over those of ``chosen`` that predict it."""
        known = (self.outputs[c].get(output, {}) for c in chosen)
        return with_skills(average_draws(part for part in known if part))
