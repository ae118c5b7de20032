"""From a recording to a world model: codecs, dynamics, calibration, start states, card."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldgpt_env.model.calibration import calibrate_termination
from worldgpt_env.model.checkpoint import write_folder
from worldgpt_env.model.configuration import RewardBins, WorldGPTConfig
from worldgpt_env.model.curriculum import Curriculum
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.paper import paper_settings
from worldgpt_env.model.safe_io import RunLock, write_json
from worldgpt_env.model.trainer import Observer, Trainer
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.model.worldgpt import WorldGPT
from worldgpt_env.start_states import StartStates

from .card import write_card
from .codec_training import check_codecs, train_codecs
from .data_checks import check_for_model
from .encoding import encode_part, encode_recording
from .objectives import train_dynamics
from .observers import ProgressObserver
from .recording import Recording
from .train_config import TrainConfig, run_of
from .validation import Validation
from .windows import WindowSampler, has, sample_moments
from .worldnet.format.load import load_recording


def train(config: TrainConfig, observer: Observer | None = None) -> dict[str, Any]:
    """Train a world model and write it to ``config.out``; the same call continues a cut run.

    Returns:
        The figures of the run: updates, CPU-seconds, final losses, health of the codecs.

    Raises:
        ConfigurationError: the run that was cut had other settings.
        LockedError: another process trains this model.
    """
    run = run_of(config.out)
    with RunLock(config.out), RunLock(run), ProgressObserver(run / "tensorboard") as progress:
        return _train(config, run, observer or progress)


def _train(config: TrainConfig, run: Path, observer: Observer) -> dict[str, Any]:
    """Train with the locks held."""
    began = time.process_time()
    whole = load_recording(list(config.data))
    recording = whole.of(config.scenarios)
    recording.tell_lacks()
    learned, held_out = recording.split(config.held_out, config.seed)
    learned = learned.sample(config.share, config.seed)
    torch.manual_seed(config.seed)
    shown = learned.in_memory(config.seed)
    model = build_model(config, learned, shown).to(config.device)
    check_for_model(recording, model.specs, model.action_spec)
    trainer = Trainer(model, run / "state", observer, settings=config.identity(whole))
    train_codecs(config, model, shown, trainer)
    model.eval()
    health = check_codecs(model, held_out.in_memory(config.seed))
    store = encode_recording(model.processor, recording)
    data, checked = (
        encode_part(model.processor, store, recording, part) for part in (learned, held_out)
    )
    curriculum = config.curriculum(list(model.specs))
    train_dynamics(config, model, data, checked, curriculum, trainer)
    model.eval()
    remember_combinations(model, curriculum)
    windows = WindowSampler(checked, config.length, 256, 0.0, 1)
    figures = calibrate_termination(model, windows.batch)
    figures |= Validation(model, checked, curriculum, batches=4).losses()
    summary = {
        "world": recording.world,
        "recorded_steps": recording.steps,
        "learned_steps": learned.steps,
        "schedule": config.schedule,
        "seed": config.seed,
        "scenarios": recording.scenarios,
        "updates": config.updates_of(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": round(trainer.spent + time.process_time() - began, 1),
        "codecs": health,
        "held_out": figures,
    }
    save(config, model, data, summary)
    trainer.remove()
    return summary


def build_model(config: TrainConfig, recording: Recording, shown: Recording) -> WorldGPT:
    """Return a new model of the preset's size for the recorded world, or the one to start from.

    Args:
        config: of the training.
        recording: what is learned from.
        shown: as much of it as codecs are trained on.
    """
    if config.init is not None:
        return WorldGPT.from_pretrained(config.init)
    shared = None if config.codecs_from is None else WorldGPT.from_pretrained(config.codecs_from)
    if shared is not None and shared.specs != recording.specs:
        raise ConfigurationError(
            f"the codecs of {config.codecs_from} are of {shared.specs}; the data has "
            f"{recording.specs}."
        )
    model = WorldGPT(
        WorldGPTConfig.from_preset(
            config.preset,
            recording.specs,
            recording.action_spec,
            world=recording.world,
            world_options=recording.world_options,
            reward=dataclasses.asdict(reward_bins(recording)),
            rewarded=any(np.isfinite(e.rewards).any() for e in recording.episodes),
            outcome=config.outcome,
            horizon=config.horizon,
            temperature=config.temperature,
            agent_modalities=config.agent_modalities and list(config.agent_modalities),
            **model_settings(config, shared),
        )
    )
    if shared is not None:
        model.processor.load_state_dict(shared.processor.state_dict())
        return model
    for modality in filter(lambda m: has(shown, m), recording.specs):
        now, _ = sample_moments(shown, modality, 0, 2048, config.seed + 1)
        model.codec(modality).fit_statistics(now)
    return model


def model_settings(config: TrainConfig, shared: WorldGPT | None) -> dict[str, Any]:
    """Return the fields of the configuration that depend on parts given by name."""
    settings = pretrained_parts(config)
    codecs = config.codecs if shared is None else shared.config.codecs
    settings["codecs"] = codecs | settings.get("codecs", {})
    return settings | ({"context": config.context} if config.context else {})


def pretrained_parts(config: TrainConfig) -> dict[str, Any]:
    """Return the settings of the paper's pretrained parts; none for the other presets."""
    if config.preset != "paper":
        if config.language_model or config.encoders:
            raise ConfigurationError(
                "--language-model and --encoders belong to --preset paper; add it, or leave them "
                "out."
            )
        return {}
    encoders = {}
    for modality, named in config.encoders.items():
        kind, colon, name = named.partition(":")
        if not colon or modality not in list(Modality):
            raise ConfigurationError(
                f"the encoder {modality}={named} is not MODALITY=KIND:NAME, as "
                "image=clip:openai/clip-vit-base-patch32."
            )
        encoders[Modality(modality)] = (kind, name)
    return paper_settings(config.language_model, encoders)


def reward_bins(recording: Recording) -> RewardBins:
    """Return bins over the recorded rewards; rewards that nobody recorded are NaN."""
    rewards = np.concatenate([e.rewards for e in recording.episodes])
    known = rewards[np.isfinite(rewards)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return RewardBins(low, high if high > low else low + 1.0)


def remember_combinations(model: WorldGPT, curriculum: Curriculum) -> None:
    """Store in the configuration which combinations the model has met."""
    met = {c.name for c in curriculum.combinations} | set(model.config.combinations or ())
    model.config.combinations = sorted(met)


def save(
    config: TrainConfig, model: WorldGPT, store: TransitionStore, summary: dict[str, Any]
) -> None:
    """Write the model, its start states, figures and card in one atomic step."""

    def write(draft: Path) -> None:
        model.write(draft)
        StartStates.from_store(store, config.start_states).save(draft)
        write_json(draft / "metrics.json", summary)
        write_card(draft / "README.md", config, model, summary)

    write_folder(config.out, write)
