"""Evaluate: every combination of modalities on held-out transitions, beside its baselines."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.curriculum import Combination, combinations
from worldgpt_env.model.errors import (
    ConfigurationError,
    MissingModalityError,
    UntrainedCombinationWarning,
)
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.safe_json import Fields, read_json
from worldgpt_env.model.worldgpt import WorldGPT

from ..recording import Recording
from ..statistics import cluster_weights
from .format.annotation import WorldNetError
from .format.load import load_worldnet
from .judging.beside import Beside, from_knowledge, from_memory
from .judging.cost import measure_cost
from .judging.judge import Cell, Judge
from .judging.ledger import build_figures
from .judging.report import print_report, write_report
from .judging.samples import EncodedSamples, Samples
from .judging.summary import Summary

PERCEIVED = (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO)
PAPER = (
    "image>image", "video>video", "audio>audio", "image+audio>video", "video+audio>image",
    "image>video+audio", "video>image+audio", "image+video+audio>image+video+audio",
)  # fmt: skip


@dataclass(frozen=True)
class EvaluateConfig:
    """What ``worldgpt worldnet evaluate`` does.

    Attributes:
        models: names or folders of models of one recipe, which differ in their seeds.
        data: a WorldNet folder, or an annotation file.
        split: whose transitions are judged.
        scenarios: judge only these; all if None.
        known: the scenarios of the train split that centre, means and neighbours come from; those
            that the first model has learned from if None.
        modalities: that are judged; image, video and audio where the models have them by default.
        combinations: ``"all"``, ``"paper8"``, or names such as ``"image>audio,image+audio>video"``.
        static: a model trained with ``--schedule static`` on the same data, or None.
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
        out: folder of tables, TensorBoard and picture, or None.
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


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Judge models on all combinations of modalities.

    Returns:
        The figures that :func:`~worldgpt_env.training.worldnet.judging.ledger.build_figures` lists.

    Raises:
        ConfigurationError: the models do not belong together, or nothing is left to judge.
        MissingModalityError: the models lack a modality that was asked for.
        WorldNetError: the data is not there.
    """
    models = [WorldGPT.from_pretrained(name, config.device) for name in config.models]
    static = (
        None if config.static is None else WorldGPT.from_pretrained(config.static, config.device)
    )
    check_alike(config.models, models)
    chosen = choose_combinations(config, models[0])
    judged = [m for m in Modality if any(m in (*c.inputs, *c.outputs) for c in chosen)]
    shown = config.memory or config.knowledge  # what is shown beside has all modalities
    loaded = list(models[0].specs) if shown else judged
    test = _draw(config, models[0], loaded, config.split, config.scenarios, config.samples)
    learned = config.known or learned_scenarios(config.models[0])
    known = _draw(config, models[0], judged, "train", learned, config.references)
    clusters, episode = np.unique(test.episode, return_inverse=True)
    strata = [test.recording.episodes[number].scenario for number in clusters]
    weights = cluster_weights(strata, config.draws, config.seed)
    cells: list[list[Cell]] = []
    speed = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrainedCombinationWarning)  # the tables say it
        for model in models:
            encoded = [EncodedSamples.of(model, part, judged) for part in (test, known)]
            beside = show_beside(config, model, encoded[0], len(cells))
            judge = Judge(
                model, encoded[0], encoded[1], judged, candidates=config.candidates,
                decoded=config.decoded, static=static, beside=beside, seed=config.seed,
            )  # fmt: skip
            cells.append([cell for combination in chosen for cell in judge.judge(combination)])
            if config.speed and speed is None:  # models of one recipe are equally fast
                speed = measure_cost(model, encoded[0])
    summaries = [Summary.of(part, weights, episode) for part in cells]
    about = _about(config, test, known, strata, judged)
    scenarios = {name: _within(weights, np.array(strata) == name) for name in about["clusters"]}
    apart = {n: [Summary.of(c, w, episode) for c in cells] for n, w in scenarios.items()}
    trained = {c: models[0].was_trained_on(c) for c in chosen}
    return build_figures(about, chosen, trained, cells, summaries, apart, speed)


def show_beside(
    config: EvaluateConfig, model: WorldGPT, test: EncodedSamples, number: int
) -> Beside | None:
    """Return what the model of that number is shown beside each transition, None for nothing."""
    if config.memory:
        return Beside(from_memory(model, test, config.contexts), not config.raw)
    if not config.knowledge:
        return None
    base = config.knowledge[number]
    return Beside(from_knowledge(model, base, test, config.contexts), not config.raw)


def check_alike(names: Sequence[str], models: Sequence[WorldGPT]) -> None:
    """Refuse models that are not of one recipe: a mean over them would say nothing."""
    first = models[0]
    for name, model in zip(names[1:], models[1:], strict=True):
        for what in ("specs", "action_spec"):
            if getattr(model, what) != getattr(first, what):
                raise ConfigurationError(
                    f"{names[0]} and {name} differ in their {what}; evaluate them one by one."
                )
        if model.config.combinations != first.config.combinations:
            raise ConfigurationError(
                f"{names[0]} and {name} were trained on other combinations; evaluate them one by "
                "one, and put the figures side by side: worldgpt worldnet compare."
            )


def choose_combinations(config: EvaluateConfig, model: WorldGPT) -> list[Combination]:
    """Return the combinations that ``config`` asks for, if ``model`` has their modalities."""
    if config.modalities is None:
        modalities = [m for m in PERCEIVED if m in model.specs]
    else:
        modalities = list(model.specs) if config.modalities == ("all",) else []
        modalities = modalities or [_modality(name) for name in config.modalities]
    if config.combinations == "all":
        chosen = combinations(modalities)
    elif config.combinations == "paper8":
        chosen = [Combination.parse(name) for name in PAPER]
    else:
        chosen = [Combination.parse(name) for name in config.combinations.split(",")]
    needed = {m for c in chosen for m in (*c.inputs, *c.outputs)} | set(modalities)
    missing = [str(m) for m in Modality if m in needed and m not in model.specs]
    if missing:
        raise MissingModalityError(
            f"the model has no {missing}; it has {[str(m) for m in model.specs]}. Name those with "
            "--modalities or --combinations."
        )
    if not chosen or any(not c.inputs for c in chosen):
        raise ConfigurationError(
            f"--combinations {config.combinations!r} of {[str(m) for m in modalities]} reads "
            "nothing; every combination needs an input, as image>audio."
        )
    return chosen


def _modality(name: str) -> Modality:
    try:
        return Modality(name)
    except ValueError as error:
        raise ConfigurationError(
            f"there is no modality {name!r}; there are {[str(m) for m in Modality]}, and 'all'."
        ) from error


def learned_scenarios(model: str) -> tuple[str, ...] | None:
    """Return the scenarios that a model has learned from, as its training noted; else None."""
    path = Path(model) / "metrics.json"
    if not path.is_file():
        return None  # an embedded world, or a model that was saved by hand
    told = Fields(read_json(path, figures=True), path)
    noted = told.texts("scenarios") if told.data.get("scenarios") is not None else []
    return tuple(noted) if any(noted) else None


def _draw(
    config: EvaluateConfig,
    model: WorldGPT,
    judged: Iterable[Modality],
    split: str,
    scenarios: Iterable[str] | None,
    count: int,
) -> Samples:
    """Load the judged modalities of a split, fitted to the model, and draw its transitions."""
    names = None if scenarios is None else list(scenarios)
    loaded = load_worldnet(config.data, split, {m: model.specs[m] for m in judged}, names)
    recording: Recording = loaded.recording
    samples = Samples.draw(recording, count, config.seed)
    if not len(samples):
        of = f" of the scenarios {names}" if names else ""
        raise WorldNetError(
            f"the split {split!r} of {config.data} holds no transition{of} "
            f"({len(loaded.rejected)} rows were rejected); see: worldgpt worldnet inspect."
        )
    return samples


def _within(weights: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return ``weights`` of the chosen episodes alone, without draws if there is but one."""
    return (weights if chosen.sum() > 1 else weights[:1]) * chosen


def _about(
    config: EvaluateConfig,
    test: Samples,
    known: Samples,
    strata: Sequence[str],
    judged: Iterable[Modality],
) -> dict[str, Any]:
    """Return what was judged, and against what."""
    return {
        "models": list(config.models),
        "data": str(config.data),
        "split": config.split,
        "scenarios": sorted(set(test.scenario.tolist())),
        "known_scenarios": sorted(set(known.scenario.tolist())),
        "modalities": [str(m) for m in judged],
        "transitions": len(test),
        "episodes": len(strata),
        "clusters": {name: strata.count(name) for name in sorted(set(strata))},
        "references": len(known),
        "candidates": config.candidates,
        "static": config.static,
        "seed": config.seed,
        "test": test.identity(),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``worldgpt worldnet evaluate``."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="folders; seeds of one recipe")
    parser.add_argument("--data", type=Path, required=True, metavar="WORLDNET")
    parser.add_argument("--split", help="default: test")
    for name, text in (
        ("--scenarios", "judge only these"),
        ("--known", "scenarios that the baselines know; default: as the model"),
        ("--modalities", "default: image,video,audio; or: all"),
    ):
        parser.add_argument(name, type=_names, metavar="A,B", help=text)
    parser.add_argument("--combinations", help="all (default), paper8, or names as image>audio")
    parser.add_argument("--static", metavar="MODEL", help="trained with --schedule static")
    parser.add_argument("--samples", type=int, help="held-out transitions at most; default: 500")
    parser.add_argument("--references", type=int, help="training transitions; default: 4000")
    parser.add_argument("--candidates", type=int, help="of a retrieval; default: 16")
    parser.add_argument("--decoded", type=int, help="rows that are decoded; default: 128, 0: none")
    parser.add_argument("--draws", type=int, help="of the bootstrap; default: 1000")
    parser.add_argument("--knowledge", type=Path, nargs="+", help="shown beside, one a model")
    parser.add_argument("--memory", action="store_true", help="show what went before")
    parser.add_argument("--contexts", type=int, help="transitions that are shown; default: 3")
    parser.add_argument("--raw", action="store_true", help="show them without the reflector")
    parser.add_argument("--speed", action="store_true", help="predictions per CPU-second too")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", help="cpu (default) or cuda")
    parser.add_argument("--out", type=Path, metavar="DIR", help="tables, TensorBoard, heat map")


def run(**options: Any) -> dict[str, Any]:
    """Judge, print the tables, and write them where ``--out`` says."""
    options["models"] = tuple(options["models"])
    options["knowledge"] = tuple(options.get("knowledge", ()))
    config = EvaluateConfig(**options)
    figures = evaluate(config)
    print_report(figures)
    if config.out is not None:
        write_report(figures, config.out)
    return figures


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
