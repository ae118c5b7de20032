"""A WorldNet's held-out sequences, predicted step after step, with and without memory."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.bounds import HORIZON, check_fields
from worldgpt_env.model.devices import check_device
from worldgpt_env.model.errors import ConfigurationError, UntrainedCombinationWarning
from worldgpt_env.model.transitions import TransitionStore

from ..evaluation.estimates import Bootstrap, Draws
from ..evaluation.recipes import learned_scenarios, open_models
from ..evaluation.sequence_results import MODES, SequencesResult, compare_readings, step_draws
from ..evaluation.sequence_rollout import (
    MEMORY_READINGS,
    RecordedSequences,
    SequenceRollout,
    centres,
)
from .format.annotation import WorldNetError
from .format.load import load_worldnet


@dataclass(frozen=True)
class SequencesConfig:
    """What ``worldgpt worldnet sequences`` does.

    Attributes:
        models: names or folders of models of one recipe, which differ in their seeds.
        data: a WorldNet folder, or an annotation file.
        split: whose sequences are held out; its latents are centred on those of the train split.
        scenarios: evaluate only these; all by default.
        length: transitions of a sequence (WorldGPT §5.3 has 7).
        sequences: at most, shared out evenly over the scenarios (WorldGPT §5.3 has 200).
        steps: at which the model is evaluated while it is given the real state.
        open_steps: at which it is evaluated while it goes on from its own predictions; sequences
            that begin later in their episode may be over by then.
        readings: what is read of the memory, ``none,raw,reflected`` by default; the first is what
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
    readings: tuple[str, ...] = MEMORY_READINGS
    contexts: int = 5
    draws: int = 1000
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse settings that measure nothing."""
        span = (0, HORIZON)
        check_fields(self, length=span, steps=span, open_steps=span, contexts=(0, 1024))
        check_device(self.device)
        for name in ("steps", "open_steps"):
            steps = getattr(self, name)
            if not steps or list(steps) != sorted(set(steps)) or steps[0] < 1:
                raise ConfigurationError(f"{name} {list(steps)} must ascend from 1 or later.")
        if self.steps[-1] > self.length:
            raise ConfigurationError(
                f"step {self.steps[-1]} lies beyond the sequences; they have {self.length}: "
                "--length."
            )
        if not self.readings or set(self.readings) - set(MEMORY_READINGS):
            known = ", ".join(MEMORY_READINGS)
            raise ConfigurationError(f"readings {list(self.readings)}: there are {known}.")
        if min(self.length, self.sequences, self.contexts) < 1 or not self.models:
            raise ConfigurationError("name a model; length, sequences and contexts start at 1.")


def evaluate_sequences(config: SequencesConfig) -> SequencesResult:
    """Evaluate models step by step, with what they remember of a sequence read in several ways.

    Raises:
        ConfigurationError: the models do not belong together, or have no reflector to read with.
        WorldNetError: there is no sequence so long.
    """
    models = open_models(config.models, config.device)
    if "reflected" in config.readings and models[0].config.reflector is None:
        raise ConfigurationError(
            f"{config.models[0]} has no reflector; teach it one with worldgpt tune, or leave that "
            "out: --readings none,raw."
        )
    draws: dict[str, dict[int, dict[str, list[dict[str, Draws]]]]] = {mode: {} for mode in MODES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrainedCombinationWarning)
        for name, model in zip(config.models, models, strict=True):
            rollout, bootstrap = _prepare(config, name, model)
            for mode, steps in (("shown", config.steps), ("open", config.open_steps)):
                for reading in config.readings:
                    for step in rollout.steps(reading, mode == "open", steps):
                        place = draws[mode].setdefault(step.number, {})
                        place.setdefault(reading, []).append(step_draws(step, bootstrap))
    return SequencesResult(
        models=config.models,
        data=str(config.data),
        split=config.split,
        contexts=config.contexts,
        readings=config.readings,
        sequences=len(bootstrap.episode),  # the same of every model
        episodes=len(bootstrap.scenarios),
        modes={
            mode: {number: compare_readings(parts) for number, parts in steps.items()}
            for mode, steps in draws.items()
        },
    )


def _prepare(
    config: SequencesConfig, name: str, model: WorldGPT
) -> tuple[SequenceRollout, Bootstrap]:
    """Return the sequences as ``model`` encodes them, and the draws of their episodes."""
    test = load_worldnet(config.data, config.split, model.specs, config.scenarios).recording
    known = load_worldnet(config.data, "train", model.specs, learned_scenarios(name)).recording
    sequences = RecordedSequences.draw(model, test, config.length, config.sequences, config.seed)
    if not len(sequences):
        raise WorldNetError(
            f"no episode of the split {config.split!r} of {config.data} lasts {config.length} "
            "steps; ask for shorter sequences: --length."
        )
    centre = centres(model, TransitionStore.encode(model.processor, known.episodes))
    scenarios = [episode.scenario for episode in test.episodes]
    bootstrap = Bootstrap.draw(sequences.episode, scenarios, config.draws, config.seed)
    return SequenceRollout(model, sequences, centre, config.contexts), bootstrap
