"""Results of an evaluation of combinations: means, skills and their intervals, by class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from worldgpt_env.model.curriculum import Combination, Kind

from ..results_io import MERGED, Result
from .combinations import BASELINES, OutputScores
from .estimates import Bootstrap, Draws, Estimate, Estimates, average_draws, estimate
from .metrics import average, skill
from .observations import Score
from .prediction_cost import Cost

ALL = "all"  # the name of the row over all classes
KEPT_DRAWS = ("skill", "skill_allowed")  # what comparisons are made of
MODEL, RIVAL = " of the model", " of the baseline"  # cosines that a skill is made of
MEANS = ("cosine", "raw", "raw_copy", "retrieval", "retrieval_copy", "chance")


@dataclass(frozen=True)
class Subject(Result):
    """What was evaluated, and against what."""

    models: tuple[str, ...]  # of one recipe, which differ in their seeds
    data: str  # where the transitions are
    split: str  # whose transitions are held out
    scenarios: tuple[str, ...]  # of the held-out transitions
    known_scenarios: tuple[str, ...]  # of the training transitions
    modalities: tuple[str, ...]
    transitions: int  # held-out ones
    episodes: int  # that these are of
    clusters: dict[str, int]  # episodes of each scenario
    references: int  # training transitions that the baselines know
    candidates: int  # next states of which a retrieval finds one
    static: str | None  # the static generator
    seed: int  # of all draws
    test: str  # a word that evaluations of the same held-out transitions share


@dataclass(frozen=True)
class ClassResult(Result):
    """A class: how many combinations it has and how many were measured, and their means."""

    combinations: int
    measured: int
    estimates: Estimates = field(metadata=MERGED)


@dataclass(frozen=True)
class OutputResult(Result):
    """One output of a combination, with the best baselines that the inputs allow."""

    estimates: Estimates = field(metadata=MERGED)
    best_baseline: str
    decoded: dict[str, Score]  # per metric


@dataclass(frozen=True)
class CombinationResult(Result):
    """A combination: whether training met it, its transitions, and the means of its outputs."""

    kind: Kind = field(metadata={"name": "class"})
    trained: bool
    rows: int
    estimates: Estimates = field(metadata=MERGED)
    outputs: dict[str, OutputResult]


@dataclass(frozen=True)
class Gap(Result):
    """A figure of trained and of never trained combinations, and what the first have more."""

    seen: Estimate | None
    unseen: Estimate | None
    gap: Estimate | None


@dataclass(frozen=True)
class SeenResult(Result):
    """How many combinations were trained and never trained, and the gaps between them."""

    seen_combinations: int
    unseen_combinations: int
    gaps: dict[str, Gap] = field(metadata=MERGED)


@dataclass(frozen=True)
class EvaluationResult(Result):
    """Everything that an evaluation found; classes go by their names, and ``"all"``."""

    subject: Subject = field(metadata=MERGED)
    classes: dict[str, ClassResult]
    combinations: dict[str, CombinationResult]
    outputs: dict[str, dict[str, Estimates]]  # per class and output, {} if nothing was measured
    scenarios: dict[str, dict[str, Estimates]]  # per scenario and class
    seen: dict[str, SeenResult]  # per class
    decoded: dict[str, dict[str, dict[str, Score]]]  # per output, class and metric
    draws: dict[str, dict[str, list[float]]]  # per class those of KEPT_DRAWS, means over models
    speed: Cost | None = None

    @classmethod
    def of(
        cls,
        subject: Subject,
        trained: Mapping[Combination, bool],
        scores: Sequence[Sequence[OutputScores]],
        bootstrap: Bootstrap,
        speed: Cost | None = None,
    ) -> EvaluationResult:
        """Summarise an evaluation.

        Args:
            subject: what was evaluated.
            trained: of every combination whether training met it.
            scores: of each model.
            bootstrap: over the held-out transitions.
            speed: predictions per CPU-second, if they were measured.
        """
        models = [ModelDraws.of(part, bootstrap) for part in scores]
        groups = classes_of(trained)
        scenarios = {}
        for name in subject.clusters:
            own = [ModelDraws.of(part, bootstrap.within(name)) for part in scores]
            scenarios[name] = {kind: _over(own, members) for kind, members in groups.items()}
        return cls(
            subject,
            {name: _class(members, models) for name, members in groups.items()},
            {c.name: _combination(c, trained[c], scores, models) for c in trained},
            {
                name: {output: _over(models, members, output) for output in subject.modalities}
                for name, members in groups.items()
            },
            scenarios,
            {name: _seen(members, trained, models) for name, members in groups.items()},
            _decoded([output for part in scores for output in part]),
            {name: _kept([m.over(members) for m in models]) for name, members in groups.items()},
            speed,
        )


@dataclass(frozen=True)
class ModelDraws:
    """The draws of one model."""

    outputs: dict[Combination, dict[str, Draws]]  # and output, see output_draws
    best: dict[Combination, dict[str, str]]  # likewise the best baseline that the inputs allow
    combinations: dict[Combination, Draws]  # means over outputs, of those that were measured

    @classmethod
    def of(cls, scores: Iterable[OutputScores], bootstrap: Bootstrap) -> ModelDraws:
        """Draw the figures of every output."""
        found = cls({}, {}, {})
        for part in scores:
            draws, name = output_draws(part, bootstrap)
            found.outputs.setdefault(part.combination, {})[str(part.output)] = draws
            found.best.setdefault(part.combination, {})[str(part.output)] = name
        for combination, parts in found.outputs.items():
            if whole := average_draws(parts.values()):
                found.combinations[combination] = whole
        return found

    def over(self, chosen: Iterable[Combination], output: str | None = None) -> Draws:
        """Return the means over the measured ones of ``chosen``, of one output or of all."""
        if output is None:
            parts = [self.combinations.get(c) for c in chosen]
        else:
            parts = [self.outputs[c].get(output) for c in chosen]
        return with_skills(average_draws(part for part in parts if part))


def output_draws(part: OutputScores, bootstrap: Bootstrap) -> tuple[Draws, str]:
    """Return the draws of every mean of one output, and which allowed baseline was the best."""
    if not len(part.rows):
        return {}, ""
    scores = part.scores
    found = {n: bootstrap.mean(scores[n], part.rows) for n in (*MEANS, *BASELINES) if n in scores}
    model = {}  # the model where the baseline has a value
    for name in BASELINES:
        if name in scores:
            comparable = np.where(np.isfinite(scores[name]), scores["cosine"], np.nan)
            model[name] = bootstrap.mean(comparable, part.rows)
    copying = ("copy",) if part.output in part.combination.inputs else ()
    allowed = [n for n in (*copying, "mean_next", "nearest") if np.isfinite(found[n][0])]
    best = max(allowed, key=lambda name: float((found[name] - model[name])[0]), default="")
    rivals = {"skill": "copy", "skill_static": "static", "skill_allowed": best}
    for figure, name in rivals.items():
        if name in model:
            found[f"{figure}{MODEL}"], found[f"{figure}{RIVAL}"] = model[name], found[name]
    return found, best


def with_skills(draws: Draws) -> Draws:
    """Return ``draws`` with the skills in place of the mean cosines they are made of.

    The skill of several outputs, or of a class, is that of their mean cosines. The mean of their
    skills would be ruled by the one whose baseline is nearly perfect.
    """
    whole = {name: part for name, part in draws.items() if not name.endswith((MODEL, RIVAL))}
    figures = [name.removesuffix(MODEL) for name in draws if name.endswith(MODEL)]
    return whole | {n: skill(draws[n + MODEL], draws[n + RIVAL]) for n in figures}


def classes_of(chosen: Iterable[Combination]) -> dict[str, list[Combination]]:
    """Return the combinations of each class that has some, and of all together."""
    every = list(chosen)
    groups = {str(kind): [c for c in every if c.kind is kind] for kind in Kind}
    return {name: members for name, members in groups.items() if members} | {ALL: every}


def _over(
    models: Sequence[ModelDraws], members: Sequence[Combination], output: str | None = None
) -> Estimates:
    return estimate([model.over(members, output) for model in models])


def _class(members: Sequence[Combination], models: Sequence[ModelDraws]) -> ClassResult:
    measured = sum(c in models[0].combinations for c in members)
    return ClassResult(len(members), measured, _over(models, members))


def _combination(
    combination: Combination,
    trained: bool,
    scores: Sequence[Sequence[OutputScores]],
    models: Sequence[ModelDraws],
) -> CombinationResult:
    own = [part for parts in scores for part in parts if part.combination == combination]
    outputs = {}
    for output in map(str, combination.outputs):
        draws = [with_skills(model.outputs[combination][output]) for model in models]
        best = {model.best[combination][output] for model in models}
        decoded = _merge([part for part in own if part.output == output])
        outputs[output] = OutputResult(estimate(draws), "/".join(sorted(best)), decoded)
    estimates, rows = _over(models, [combination]), len(own[0].rows)
    return CombinationResult(combination.kind, trained, rows, estimates, outputs)


def _seen(
    members: Sequence[Combination],
    trained: Mapping[Combination, bool],
    models: Sequence[ModelDraws],
) -> SeenResult:
    """Return figures of trained and untrained combinations, and the gap between them."""
    sides = [[c for c in members if trained[c] is known] for known in (True, False)]
    draws = [[model.over(side) for model in models] for side in sides]
    gaps = {}
    for name in KEPT_DRAWS:
        pairs = [pair for pair in zip(*draws, strict=True) if all(name in part for part in pair)]
        parts = [[part[name] for part in side if name in part] for side in draws]
        parts.append([seen[name] - unseen[name] for seen, unseen in pairs])
        gaps[name] = Gap(*map(Estimate.of, parts))
    return SeenResult(len(sides[0]), len(sides[1]), gaps)


def _decoded(scores: Sequence[OutputScores]) -> dict[str, dict[str, dict[str, Score]]]:
    """Return the decoded scores per output and class, over all combinations and models."""
    found: dict[str, dict[str, list[OutputScores]]] = {}
    for kind in Kind:
        for part in scores:
            if part.combination.kind is kind and part.decoded:
                found.setdefault(str(part.output), {}).setdefault(str(kind), []).append(part)
    return {
        output: {kind: _merge(parts) for kind, parts in kinds.items()}
        for output, kinds in found.items()
    }


def _merge(parts: Sequence[OutputScores]) -> dict[str, Score]:
    """Return the decoded scores of all rows of ``parts`` together."""
    merged = {}
    for name in dict.fromkeys(name for part in parts for name in part.decoded):
        own = [part.decoded[name] for part in parts if name in part.decoded]
        model, copy, codec = (
            average(name, np.concatenate([getattr(pairs, who) for pairs in own]))
            for who in ("model", "copy", "codec")
        )
        merged[name] = Score(model, copy, codec, sum(len(pairs.model) for pairs in own))
    return merged


def _kept(draws: Sequence[Draws]) -> dict[str, list[float]]:
    """Return the draws, averaged over models, that a comparison needs."""
    found = {}
    for figure in KEPT_DRAWS:
        parts = [part[figure] for part in draws if figure in part]
        if len(parts) == len(draws):
            found[figure] = [round(float(x), 5) for x in np.mean(parts, axis=0)]
    return found
