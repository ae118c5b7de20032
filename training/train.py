"""From a recording to a world model: codecs, dynamics, calibration, start states, card."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldgpt_env.model.batch import LossOutput
from worldgpt_env.model.calibration import calibrate_termination
from worldgpt_env.model.checkpoint import write_folder, write_model
from worldgpt_env.model.configuration import RewardBins, WorldGPTConfig
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.losses import LossWeights
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.trainer import Observer, Stage, Trainer
from worldgpt_env.model.worldgpt import WorldGPT
from worldgpt_env.start_states import StartStates

from .card import write_card
from .observers import ProgressObserver
from .recording import Recording
from .windows import EncodedRecording, WindowSampler, encode_recording, sample_moments

PRESET_UPDATES = {"tiny": 200, "small": 1000, "medium": 20_000}


@dataclass(frozen=True)
class TrainConfig:
    """What ``worldgpt train`` does.

    Attributes:
        data: recordings of one world (folders written by ``worldgpt collect``).
        out: the model's folder; the run lies beside it in ``OUT.run`` until it is complete.
        preset: size of the model.
        updates: optimiser steps of the dynamics; the preset's own number by default.
        codec_updates: optimiser steps of each codec; the codec's own number by default.
        init: a model to go on from, for a Dyna round; its sizes and its codecs are kept.
        context: blocks that the model looks back; the preset's own number by default.
        temperature: of imagined codes and ends, stored with the model: 0 for worlds without
            chance, 1 where sounds or monsters are random.
        rows: windows of a batch.
        length: transitions of a window.
        learning_rate: peak rate of the dynamics.
        event_share: share of the windows that hold a reward, an end or new words.
        rarity: how much more often rare states are drawn, see :class:`WindowSampler`.
        blurred: share of the digits that the model sees at random; against learning a small
            recording by heart.
        held_out: share of the episodes kept for calibration and the card.
        horizon: imagined steps before truncation, stored with the model.
        agent_modalities: what agents observe by default, stored with the model; all if None. Leave
            out what tells an agent nothing: it would learn the errors of its prediction.
        weights: of the objective.
        codecs: settings per modality, such as ``{"image": {"digits": 8}}``.
        seed: of everything.
        device: ``"cpu"`` or ``"cuda"``.
    """

    data: tuple[Path, ...]
    out: Path
    preset: str = "small"
    updates: int | None = None
    codec_updates: int | None = None
    init: Path | None = None
    context: int | None = None
    temperature: float = 0.0
    rows: int = 128
    length: int = 4
    learning_rate: float = 2e-3
    event_share: float = 0.25
    rarity: float = 0.5
    blurred: float = 0.0
    held_out: float = 0.05
    horizon: int = 64
    agent_modalities: tuple[str, ...] | None = None
    weights: LossWeights = LossWeights()
    codecs: dict[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse values that no run can have."""
        if not self.data:
            raise ConfigurationError("no recording was given; add --data DIR.")
        for name in ("rows", "length", "horizon"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be positive.")
        for name in ("event_share", "blurred"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be in [0, 1).")
        if not 0 < self.held_out < 1:
            raise ConfigurationError(f"held_out is {self.held_out}; it must be in (0, 1).")


def train(config: TrainConfig, observer: Observer | None = None) -> dict[str, Any]:
    """Train a world model and write it to ``config.out``; the same call continues a cut run.

    Returns:
        The figures of the run: updates, CPU-seconds, final losses, health of the codecs.
    """
    began = time.process_time()
    recording = Recording.load(list(config.data))
    learned, held_out = recording.split(config.held_out, config.seed)
    torch.manual_seed(config.seed)
    model = build_model(config, learned).to(config.device)
    run = config.out.parent / f"{config.out.name}.run"
    observer = observer or ProgressObserver(run / "tensorboard")
    trainer = Trainer(model, run / "state", observer)
    train_codecs(config, model, learned, trainer)
    model.eval()
    health = check_codecs(model, held_out)
    data = encode_recording(model, learned)
    train_dynamics(config, model, data, trainer)
    model.eval()
    checked = encode_recording(model, held_out)
    figures = calibrate_termination(model, WindowSampler(checked, config.length, 256, 0.0, 1).batch)
    summary = {
        "world": recording.world,
        "recorded_steps": recording.steps,
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": round(time.process_time() - began, 1),
        "codecs": health,
        "held_out": figures,
    }
    save(config, model, learned, summary)
    shutil.rmtree(run / "state", ignore_errors=True)
    return summary


def build_model(config: TrainConfig, recording: Recording) -> WorldGPT:
    """Return a new model of the preset's size for the recorded world, or the one to start from."""
    if config.init is not None:
        return WorldGPT.from_pretrained(config.init)
    rewards = np.concatenate([e.rewards for e in recording.episodes])
    low, high = float(rewards.min()), float(rewards.max())
    bins = RewardBins(low, high if high > low else low + 1.0)
    model = WorldGPT(
        WorldGPTConfig.from_preset(
            config.preset,
            recording.specs,
            recording.action_spec,
            world=recording.world,
            reward=dataclasses.asdict(bins),
            horizon=config.horizon,
            temperature=config.temperature,
            codecs=config.codecs,
            agent_modalities=config.agent_modalities and list(config.agent_modalities),
            **({"context": config.context} if config.context else {}),
        )
    )
    for modality in recording.specs:
        now, _ = sample_moments(recording, modality, 0, 2048, config.seed + 1)
        model.codec(modality).fit_statistics(now)
    return model


def train_codecs(
    config: TrainConfig, model: WorldGPT, recording: Recording, trainer: Trainer
) -> None:
    """Train each codec that has something to train, one after another."""
    for modality in model.specs:
        codec = model.codec(modality)
        if not codec.trainable or config.init is not None:
            continue
        settings = codec.config

        def loss(
            update: int, modality: Modality = modality, rows: int = settings.batch_size
        ) -> LossOutput:
            now, before = sample_moments(recording, modality, update, rows, config.seed + 2)
            output = model.codec(modality)(now.to(model.device), before.to(model.device))
            return LossOutput(output.loss, output.metrics)

        codec.train()
        trainer.run(
            Stage(
                f"codec/{modality}",
                config.codec_updates or settings.updates,
                settings.learning_rate,
                loss,
                list(codec.parameters()),
            )
        )
        codec.eval()


def check_codecs(model: WorldGPT, recording: Recording) -> dict[str, dict[str, float]]:
    """Return the health of every codec on observations it was not trained on.

    Raises:
        CodecCollapseError: if one of them gives different observations the same codes.
    """
    health = {}
    for modality in model.specs:
        now, _ = sample_moments(recording, modality, 0, 512, 3)
        health[str(modality)] = model.codec(modality).health(now.to(model.device))
    return health


def train_dynamics(
    config: TrainConfig, model: WorldGPT, data: EncodedRecording, trainer: Trainer
) -> None:
    """Train everything but the codecs on windows of codes."""
    sampler = WindowSampler(
        data,
        config.length,
        config.rows,
        config.event_share,
        config.seed,
        config.rarity,
        {modality: model.codec(modality).levels for modality in model.specs},
        config.blurred,
    )
    model.train()
    for codec in model.codecs.values():
        codec.eval()
    frozen = {id(p) for p in model.codecs.parameters()}
    parameters = [p for p in model.parameters() if id(p) not in frozen]
    device = torch.device(config.device)

    def loss(update: int) -> LossOutput:
        batch = sampler.batch(update).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=low_precision_pays(device)):
            return model(batch, weights=config.weights)

    updates = config.updates or PRESET_UPDATES[config.preset]
    trainer.run(Stage("dynamics", updates, config.learning_rate, loss, parameters))


def low_precision_pays(device: torch.device) -> bool:
    """Return whether bfloat16 is faster in training: on GPUs, and on CPUs with tile units (AMX)."""
    return device.type == "cuda" or torch.cpu._is_amx_tile_supported()


def save(
    config: TrainConfig, model: WorldGPT, recording: Recording, summary: dict[str, Any]
) -> None:
    """Write the model, its start states, figures and card in one atomic step."""

    def write(draft: Path) -> None:
        write_model(model, draft)
        StartStates.from_recording(model, recording).save(draft)
        (draft / "metrics.json").write_text(json.dumps(summary, indent=1) + "\n")
        write_card(draft / "README.md", config, model, summary)

    write_folder(config.out, write)
