"""Sequences: how well a model predicts step after step, with and without its memory."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.errors import ConfigurationError, UntrainedCombinationWarning
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.model.worldgpt import WorldGPT

from ..statistics import cluster_weights
from ..tables import markdown_table
from .evaluate import check_alike, learned_scenarios
from .format.annotation import WorldNetError
from .format.load import load_worldnet
from .judging.ledger import ALL
from .judging.metrics import skill
from .judging.summary import Draws, Estimate, average_draws, averager
from .judging.walks import READINGS, Step, Walker, Walks, centres

MODES = {"shown": "shown the real state at every step", "open": "in open loop"}


@dataclass(frozen=True)
class SequencesConfig:
    """What ``worldgpt worldnet sequences`` does.

    Attributes:
        models: names or folders of models of one recipe, which differ in their seeds.
        data: a WorldNet folder, or recordings.
        split: whose sequences are judged; its latents are centred on those of the train split.
        scenarios: judge only these; all if None.
        length: transitions of a sequence (WorldGPT §5.3 has 7).
        sequences: at most, shared out evenly over the scenarios (WorldGPT §5.3 has 200).
        steps: at which the model is judged while it is shown the real state.
        open_steps: at which it is judged while it goes on from its own predictions; sequences that
            begin later in their episode may be over by then.
        readings: what is read of the memory: ``none``, ``raw``, ``reflected``; the first is what
            the others are compared with.
        contexts: remembered transitions that are read, the last ones.
        draws: of the bootstrap over episodes.
        seed: of all draws.
        device: where the models compute.
    """

    models: tuple[str, ...]
    data: Path
    split: str = "test"
    scenarios: tuple[str, ...] | None = None
    length: int = 7
    sequences: int = 200
    steps: tuple[int, ...] = (1, 3, 5, 7)
    open_steps: tuple[int, ...] = (1, 3, 5, 7, 15, 30, 49)
    readings: tuple[str, ...] = READINGS
    contexts: int = 5
    draws: int = 1000
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse settings that measure nothing."""
        for name in ("steps", "open_steps"):
            told = getattr(self, name)
            if not told or list(told) != sorted(set(told)) or told[0] < 1:
                raise ConfigurationError(f"{name} {list(told)} must ascend from 1 or later.")
        if self.steps[-1] > self.length:
            raise ConfigurationError(
                f"step {self.steps[-1]} lies beyond the sequences; they have {self.length}: "
                "--length."
            )
        if not self.readings or set(self.readings) - set(READINGS):
            told = ", ".join(READINGS)
            raise ConfigurationError(f"readings {list(self.readings)}: there are {told}.")
        if min(self.length, self.sequences, self.contexts) < 1 or not self.models:
            raise ConfigurationError("name a model; length, sequences and contexts start at 1.")


def judge_sequences(config: SequencesConfig) -> dict[str, Any]:
    """Judge models step by step, with what they remember of a sequence read in several ways.

    Returns:
        What was judged, and under ``modes`` per mode, step and reading the estimates ``cosine``,
        ``copy``, ``skill`` and ``difference`` (of the cosine to the first reading) of every
        modality and of ``all``, where they count the same, as
        :class:`~worldgpt_env.training.worldnet.judging.summary.Estimate` writes them.

    Raises:
        ConfigurationError: the models do not belong together, or have no reflector to read with.
        WorldNetError: there is no sequence so long.
    """
    models = [WorldGPT.from_pretrained(name, config.device) for name in config.models]
    check_alike(config.models, models)
    if "reflected" in config.readings and models[0].reflector is None:
        raise ConfigurationError(
            f"{config.models[0]} has no reflector; teach it one with worldgpt tune, or leave that "
            "out: --readings none,raw."
        )
    found: dict[str, dict[int, dict[str, list[dict[str, Draws]]]]] = {mode: {} for mode in MODES}
    about: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrainedCombinationWarning)
        for name, model in zip(config.models, models, strict=True):
            walks, strata, walker = _prepare(config, name, model)
            clusters, episode = np.unique(walks.episode, return_inverse=True)
            weights = cluster_weights([strata[e] for e in clusters], config.draws, config.seed)
            about = {"sequences": len(walks), "episodes": len(clusters)}
            for mode, steps in (("shown", config.steps), ("open", config.open_steps)):
                for reading in config.readings:
                    for step in walker.walk(reading, mode == "open", steps):
                        place = found[mode].setdefault(step.number, {})
                        place.setdefault(reading, []).append(_draws(step, weights, episode))
    return {
        "models": list(config.models),
        "data": str(config.data),
        "split": config.split,
        "contexts": config.contexts,
        "readings": list(config.readings),
        **about,
        "modes": {
            mode: {str(step): _compare(parts) for step, parts in steps.items()}
            for mode, steps in found.items()
        },
    }


def _prepare(
    config: SequencesConfig, name: str, model: WorldGPT
) -> tuple[Walks, list[str], Walker]:
    """Return the sequences as ``model`` encodes them, the scenario of each episode, the walker."""
    specs = {m: model.specs[m] for m in model.specs}
    test = load_worldnet(config.data, config.split, specs, config.scenarios).recording
    known = load_worldnet(config.data, "train", specs, learned_scenarios(name)).recording
    walks = Walks.draw(model, test, config.length, config.sequences, config.seed)
    if not len(walks):
        raise WorldNetError(
            f"no episode of the split {config.split!r} of {config.data} lasts {config.length} "
            "steps; ask for shorter sequences: --length."
        )
    centre = centres(model, TransitionStore.encode(model.processor, known.episodes))
    scenarios = [episode.scenario for episode in test.episodes]
    return walks, scenarios, Walker(model, walks, centre, config.contexts)


def _draws(step: Step, weights: np.ndarray, episode: np.ndarray) -> dict[str, Draws]:
    """Return the draws of ``cosine`` and ``copy`` per modality that was seen, and over all."""
    mean = averager(weights, episode)
    outputs = {
        str(modality): {"cosine": mean(scores), "copy": mean(step.copy[modality])}
        for modality, scores in step.cosine.items()
        if np.isfinite(scores).any()
    }
    return {ALL: average_draws(outputs.values()), **outputs}


def _compare(parts: Mapping[str, Sequence[Mapping[str, Draws]]]) -> dict[str, Any]:
    """Return the estimates of each reading, and how its cosine differs from the first's."""
    first = next(iter(parts.values()))
    found: dict[str, Any] = {}
    for reading, models in parts.items():
        found[reading] = {}
        for output in models[0]:
            own = [model[output] for model in models]
            draws = {name: [part[name] for part in own] for name in ("cosine", "copy")}
            draws["skill"] = [skill(part["cosine"], part["copy"]) for part in own]
            if models is not first:
                pairs = zip(own, (model[output] for model in first), strict=True)
                draws["difference"] = [a["cosine"] - b["cosine"] for a, b in pairs]
            estimates = {name: Estimate.of(part) for name, part in draws.items()}
            found[reading][output] = {n: e.to_json() if e else None for n, e in estimates.items()}
    return found


def sequence_table(figures: Mapping[str, Any], mode: str, output: str = ALL) -> str:
    """Return a row per step: the cosine of each reading, copying, and what the readings add."""
    first, *others = figures["readings"]
    header = ["step", "copy ×100", *(f"{name} ×100" for name in figures["readings"])]
    header += [f"{name} less {first}" for name in others]
    rows = []
    for step, parts in figures["modes"][mode].items():
        if output not in parts[first]:
            continue
        row = [step, _hundred(parts[first][output]["copy"])]
        row += [_hundred(parts[name][output]["cosine"]) for name in figures["readings"]]
        row += [_hundred(parts[name][output]["difference"], True) for name in others]
        rows.append(row)
    return markdown_table(header, rows)


def _hundred(part: Mapping[str, Any] | None, bounds: bool = False) -> str:
    """Return an estimate times 100; ``bounds`` over episodes [] and over models {}."""
    if part is None:
        return "–"
    text = f"{100 * part['value']:+.1f}" if bounds else f"{100 * part['value']:.1f}"
    for side, (left, right) in (("episodes", "[]"), ("models", "{}")) if bounds else ():
        if part[side] is not None:
            low, high = (f"{100 * bound:+.1f}" for bound in part[side])
            text += f" {left}{low}, {high}{right}"
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``worldgpt worldnet sequences``."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="folders; seeds of one recipe")
    parser.add_argument("--data", type=Path, required=True, metavar="WORLDNET")
    parser.add_argument("--split", help="default: test")
    parser.add_argument("--scenarios", type=_words, metavar="A,B", help="judge only these")
    parser.add_argument("--length", type=int, help="transitions of a sequence; default: 7")
    parser.add_argument("--sequences", type=int, help="at most; default: 200")
    parser.add_argument("--steps", type=_numbers, help="that are judged; default: 1,3,5,7")
    parser.add_argument("--open-steps", type=_numbers, help="likewise, in open loop; to 49")
    parser.add_argument("--readings", type=_words, help="default: none,raw,reflected")
    parser.add_argument("--contexts", type=int, help="remembered steps that are read; default: 5")
    parser.add_argument("--draws", type=int, help="of the bootstrap; default: 1000")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", help="cpu (default) or cuda")


def run(**options: Any) -> dict[str, Any]:
    """Judge and print the tables."""
    options["models"] = tuple(options["models"])
    figures = judge_sequences(SequencesConfig(**options))
    print(
        f"{len(figures['models'])} models on {figures['sequences']} sequences of "
        f"{figures['episodes']} episodes, split {figures['split']!r} of {figures['data']}; "
        f"{figures['contexts']} remembered transitions are read.\n[a, b]: 95 % over episodes "
        "(cluster bootstrap); {a, b}: 95 % over models (Student's t)."
    )
    for mode, words in MODES.items():
        print(f"\nCosine {words}\n\n{sequence_table(figures, mode)}")
    return figures


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in _words(text))
