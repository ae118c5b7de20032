"""Cognitive-augmented tuning: only the reflector learns, to read memories and knowledge."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.batch import LossOutput
from worldgpt_env.model.bounds import COUNT, HORIZON, LENGTH, ROWS, check_fields
from worldgpt_env.model.checkpoint import write_folder
from worldgpt_env.model.configuration import ReflectorConfig
from worldgpt_env.model.contexts import Contexts
from worldgpt_env.model.curriculum import Combination, Curriculum
from worldgpt_env.model.dynamics.reflector import ContextReflector
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.safe_io import RunLock, write_json
from worldgpt_env.model.trainer import Observer, Stage, Trainer
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.model.worldgpt import WorldGPT
from worldgpt_env.start_states import StartStates

from .encoding import encode_recording
from .histories import LONGEST, SHORTEST, Histories
from .identity import identity_of
from .observers import ProgressObserver
from .train_config import run_of
from .windows import WindowSampler
from .worldnet.format.load import load_recording

ContextSource = Callable[[Tensor, int], Contexts]
"""Gives contexts for moments ``(B,)`` of the recording, as many as asked for."""


@dataclass(frozen=True)
class TuneConfig:
    """What ``worldgpt tune`` does.

    Attributes:
        model: a trained model; everything of it but the reflector stays as it is.
        data: recordings to learn from.
        out: the tuned model's folder.
        knowledge: a knowledge base of the same model; every other update reads from it.
        scenarios: learn from episodes of these alone; from all by default.
        shortest: fewest transitions of a history (WorldGPT §4.2 draws from 2 to 5).
        longest: most transitions of a history.
        horizon: the transitions of a history are spread evenly over so many steps; they are the
            last ones by default.
        retrieved: transitions that are read from the knowledge base.
        updates: optimiser steps.
        rows: transitions of a batch.
        learning_rate: peak.
        seed: of all draws.
    """

    model: Path
    data: tuple[Path, ...]
    out: Path
    knowledge: Path | None = None
    scenarios: tuple[str, ...] = ()
    shortest: int = SHORTEST
    longest: int = LONGEST
    horizon: int | None = None
    retrieved: int = 3
    updates: int = 400
    rows: int = 256
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        check_fields(
            self,
            longest=LENGTH,
            horizon=(0, HORIZON),
            retrieved=LENGTH,
            updates=COUNT,
            rows=ROWS,
            learning_rate=(1e-12, 10.0),
        )
        if not 1 <= self.shortest <= self.longest or self.retrieved < 1:
            raise ConfigurationError(
                f"histories of {self.shortest} to {self.longest} and {self.retrieved} retrieved "
                "transitions cannot be; use at least 1, and the shorter first."
            )
        if self.horizon is not None and self.horizon < self.longest:
            raise ConfigurationError(
                f"{self.longest} transitions cannot be spread over {self.horizon} steps; raise "
                "--horizon, or leave it out."
            )


def tune(config: TuneConfig, observer: Observer | None = None) -> dict[str, Any]:
    """Teach the reflector of a model to read contexts, and write the tuned model.

    The language model, its LoRA, the codecs and the heads are frozen; the contexts of a moment are
    what went before it, or transitions of other episodes (WorldGPT §4.2): never the moment's own.

    Raises:
        ConfigurationError: the run that was cut had other settings.
        LockedError: another process tunes this model.
    """
    run = run_of(config.out)
    with RunLock(config.out), RunLock(run), ProgressObserver(run / "tensorboard") as progress:
        return _tune(config, run, observer or progress)


def _tune(config: TuneConfig, run: Path, observer: Observer) -> dict[str, Any]:
    """Tune with the locks held."""
    began = time.process_time()
    torch.manual_seed(config.seed)
    model = WorldGPT.from_pretrained(config.model)
    reflector = with_reflector(model)
    recording = load_recording(list(config.data))
    settings = identity_of(config, recording, free=())
    recording = recording.of(config.scenarios)
    data = encode_recording(model.processor, recording)
    sources: list[tuple[ContextSource, tuple[int, int]]] = [
        (_remembered(data, config.horizon), (config.shortest, config.longest))
    ]
    if config.knowledge is not None:
        from .knowledge import neighbours

        told = neighbours(model, config.knowledge, data)
        sources.append((told, (config.retrieved, config.retrieved)))
    trainer = Trainer(model, run / "state", observer, settings=settings)
    sampler = WindowSampler(data, 1, config.rows, 0.25, config.seed)
    lessons = _lessons(model, config.seed)

    def loss(update: int) -> LossOutput:
        batch, moments = sampler.batch(update), sampler.moments(update)[0][:, 0]
        source, (low, high) = sources[update % len(sources)]
        generator = np.random.default_rng([config.seed, 13, update])
        count = int(generator.integers(low, high + 1))
        batch = dataclasses.replace(batch, contexts=source(moments, count))
        lesson = lessons(update, config.updates)
        reading = model.dynamics.reading(count, reflected=True)
        output = model(batch, lesson.inputs, lesson.outputs, reading=reading)
        return LossOutput(output.loss, {"state": output.metrics["state"]})

    model.eval()
    reflector.train()
    parameters = list(reflector.parameters())
    trainer.run(
        Stage("reflector", config.updates, config.learning_rate, loss, parameters, seed=config.seed)
    )
    model.eval().requires_grad_(True)
    summary = {
        "model": str(config.model),
        "updates": config.updates,
        "knowledge": config.knowledge is not None,
        "reflector_parameters": sum(p.numel() for p in parameters),
        "cpu_seconds": round(trainer.spent + time.process_time() - began, 1),
    }
    save_tuned(config, model, summary)
    trainer.remove()
    return summary


def _remembered(data: TransitionStore, horizon: int | None) -> ContextSource:
    histories = Histories(data)
    return lambda moments, count: histories.contexts(moments, count, horizon)


def with_reflector(model: WorldGPT) -> ContextReflector:
    """Give ``model`` a reflector if it has none, and freeze all the rest."""
    model.requires_grad_(False)
    settings = ReflectorConfig()
    if model.config.reflector is None:
        model.config.reflector = dataclasses.asdict(settings)
    reflector = model.dynamics.embedding.add_reflector(settings, model.dynamics.backbone.hidden)
    reflector.requires_grad_(True)
    return reflector


def _lessons(model: WorldGPT, seed: int) -> Callable[[int, int], Combination]:
    """Return which combination each update reads: of those that the model was trained on."""
    known = model.config.combinations or []
    whole = tuple(model.specs)
    if len(known) < 2:
        return Curriculum(whole).combination
    every = Curriculum(whole, "naive", seed=seed)
    untrained = [c for c in every.combinations if c.name not in known]
    return Curriculum(whole, "naive", untrained, seed).combination


def save_tuned(config: TuneConfig, model: WorldGPT, summary: dict[str, Any]) -> None:
    """Write the tuned model with the start states and the card of the one it came from."""
    source = Path(config.model)

    def write(draft: Path) -> None:
        model.write(draft)
        if (source / "start_states.safetensors").is_file():
            StartStates.load(source).save(draft)
        for name in ("README.md", "metrics.json"):
            if (source / name).is_file():
                (draft / name).write_bytes((source / name).read_bytes())
        write_json(draft / "tuning.json", summary)

    write_folder(config.out, write)
