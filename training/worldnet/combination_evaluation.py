"""A WorldNet's held-out transitions, predicted from any modalities to any, beside baselines."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.bounds import check_fields
from worldgpt_env.model.devices import check_device
from worldgpt_env.model.errors import ConfigurationError, UntrainedCombinationWarning
from worldgpt_env.model.modalities import Modality

from ..evaluation.combinations import CombinationEvaluator, OutputScores
from ..evaluation.context_sources import (
    ContextSource,
    contexts_from_knowledge,
    contexts_from_memory,
)
from ..evaluation.estimates import Bootstrap
from ..evaluation.plots import require_matplotlib
from ..evaluation.prediction_cost import measure_cost
from ..evaluation.recipes import choose_combinations, learned_scenarios, open_models
from ..evaluation.report import write_report
from ..evaluation.results import EvaluationResult, Subject
from ..evaluation.samples import EncodedSamples, Samples
from .format.annotation import WorldNetError
from .format.load import load_worldnet


@dataclass(frozen=True)
class CombinationsConfig:
    """What ``worldgpt worldnet evaluate`` does.

    Attributes:
        models: names or folders of models of one recipe, which differ in their seeds.
        data: a WorldNet folder, or an annotation file.
        split: whose transitions are held out.
        scenarios: evaluate only these; all by default.
        known: the scenarios of the train split that centre, means and neighbours come from; those
            that the first model has learned from by default.
        modalities: that are evaluated, or ``all``; image, video and audio where the models have
            them by default.
        combinations: ``all``, ``paper8``, or names such as ``image>audio,image+audio>video``.
        static: a model trained with ``--schedule static`` on the same data.
        samples: held-out transitions at most, shared out evenly over the scenarios.
        references: training transitions at most, likewise.
        candidates: next states of which a retrieval finds one.
        decoded: rows of each modality that are decoded; 0 for none.
        draws: of the bootstrap over episodes.
        knowledge: knowledge bases (of ``worldgpt knowledge``), one a model, that are shown to it.
        memory: show what went before in the episode.
        contexts: transitions that are shown.
        raw: show them as they are, and not through the reflector.
        speed: measure predictions per CPU-second, decoded and not.
        seed: of all draws.
        device: where the models compute.
        out: folder of tables, TensorBoard and heat map.
    """

    models: tuple[str, ...]
    data: Path
    split: str = "test"
    scenarios: tuple[str, ...] | None = None
    known: tuple[str, ...] | None = None
    modalities: tuple[str, ...] | None = None
    combinations: str = "all"
    static: str | None = None
    samples: int = 500
    references: int = 4000
    candidates: int = 16
    decoded: int = 128
    draws: int = 1000
    knowledge: tuple[Path, ...] = ()
    memory: bool = False
    contexts: int = 3
    raw: bool = False
    speed: bool = False
    seed: int = 0
    device: str = "cpu"
    out: Path | None = None

    def __post_init__(self) -> None:
        """Refuse settings that measure nothing."""
        check_fields(self, contexts=(0, 1024))
        check_device(self.device)
        if not self.models:
            raise ConfigurationError("no model was named; give one folder or more.")
        if self.knowledge and (self.memory or len(self.knowledge) != len(self.models)):
            raise ConfigurationError(
                f"{len(self.knowledge)} knowledge bases do not fit {len(self.models)} models; give "
                "one for each model, in their order, and no --memory beside."
            )
        for name, least in (
            ("contexts", 1), ("samples", 1), ("references", 1), ("candidates", 2), ("decoded", 0),
            ("draws", 100),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}; it must be at least {least}."
                )


def evaluate_combinations(config: CombinationsConfig) -> EvaluationResult:
    """Evaluate models on all combinations of modalities.

    Raises:
        ConfigurationError: the models do not belong together, nothing is left to evaluate, or the
            picture of ``out`` cannot be drawn here.
        MissingModalityError: the models lack a modality that was asked for.
        WorldNetError: the data is not there.
    """
    if config.out is not None:
        require_matplotlib()
    models = open_models(config.models, config.device)
    static = WorldGPT.from_pretrained(config.static, config.device) if config.static else None
    chosen = choose_combinations(models[0], config.combinations, config.modalities)
    evaluated = [m for m in Modality if any(m in (*c.inputs, *c.outputs) for c in chosen)]
    with_contexts = config.memory or config.knowledge  # contexts have all modalities
    loaded = list(models[0].specs) if with_contexts else evaluated
    test = _draw(config, models[0], loaded, config.split, config.scenarios, config.samples)
    learned = config.known or learned_scenarios(config.models[0])
    known = _draw(config, models[0], evaluated, "train", learned, config.references)
    scores: list[list[OutputScores]] = []
    speed = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrainedCombinationWarning)  # the tables say it
        for number, model in enumerate(models):
            own = [EncodedSamples.of(model, part, evaluated) for part in (test, known)]
            evaluator = CombinationEvaluator(
                model, *own, candidates=config.candidates, decoded=config.decoded, static=static,
                contexts=_contexts(config, model, own[0], number), reflected=not config.raw,
                seed=config.seed,
            )  # fmt: skip
            scores.append([part for c in chosen for part in evaluator.evaluate(c)])
            if config.speed and speed is None:  # models of one recipe are equally fast
                speed = measure_cost(model, own[0])
    names = [episode.scenario for episode in test.recording.episodes]
    bootstrap = Bootstrap.draw(test.episode, names, config.draws, config.seed)
    subject = _subject(config, test, known, bootstrap.scenarios, evaluated)
    trained = {c: models[0].was_trained_on(c) for c in chosen}
    result = EvaluationResult.of(subject, trained, scores, bootstrap, speed)
    if config.out is not None:
        write_report(result, config.out)
    return result


def _contexts(
    config: CombinationsConfig, model: WorldGPT, test: EncodedSamples, number: int
) -> ContextSource | None:
    """Return what the model of that number is given beside each transition, None for nothing."""
    if config.memory:
        return contexts_from_memory(model, test, config.contexts)
    if config.knowledge:
        return contexts_from_knowledge(model, config.knowledge[number], test, config.contexts)
    return None


def _draw(
    config: CombinationsConfig,
    model: WorldGPT,
    modalities: Iterable[Modality],
    split: str,
    scenarios: Sequence[str] | None,
    count: int,
) -> Samples:
    """Load some modalities of a split, fitted to the model, and draw its transitions."""
    specs = {m: model.specs[m] for m in modalities}
    loaded = load_worldnet(config.data, split, specs, scenarios)
    samples = Samples.draw(loaded.recording, count, config.seed)
    if not len(samples):
        of = f" of the scenarios {list(scenarios)}" if scenarios else ""
        raise WorldNetError(
            f"the split {split!r} of {config.data} holds no transition{of} "
            f"({len(loaded.rejected)} rows were rejected); see: worldgpt worldnet inspect."
        )
    return samples


def _subject(
    config: CombinationsConfig,
    test: Samples,
    known: Samples,
    episodes: Sequence[str],
    modalities: Iterable[Modality],
) -> Subject:
    """Return what is evaluated; ``episodes``: the scenario of each held-out episode."""
    return Subject(
        models=config.models,
        data=str(config.data),
        split=config.split,
        scenarios=tuple(sorted(set(test.scenario.tolist()))),
        known_scenarios=tuple(sorted(set(known.scenario.tolist()))),
        modalities=tuple(map(str, modalities)),
        transitions=len(test),
        episodes=len(episodes),
        clusters={name: episodes.count(name) for name in sorted(set(episodes))},
        references=len(known),
        candidates=config.candidates,
        static=config.static,
        seed=config.seed,
        test=test.identity(),
    )
