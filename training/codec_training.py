"""Codecs are trained one after another, and checked on observations that they never saw."""

from __future__ import annotations

from worldgpt_env.model.batch import LossOutput
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.trainer import Stage, Trainer
from worldgpt_env.model.worldgpt import WorldGPT

from .recording import Recording
from .train_config import TrainConfig
from .windows import has, sample_moments


def train_codecs(
    config: TrainConfig, model: WorldGPT, recording: Recording, trainer: Trainer
) -> None:
    """Train each codec that has something to train and to learn from, one after another."""
    if config.init is not None or config.codecs_from is not None:
        return
    for modality in model.specs:
        codec = model.codec(modality)
        if not codec.trainable or not has(recording, modality):
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
                seed=config.seed,
            )
        )
        codec.eval()


def check_codecs(model: WorldGPT, recording: Recording) -> dict[str, dict[str, float]]:
    """Return the health of every codec on observations it was not trained on.

    A modality that none of them has is left out.

    Raises:
        CodecCollapseError: if one of them gives different observations the same codes.
    """
    health = {}
    for modality in model.specs:
        if not has(recording, modality):
            continue
        now, _ = sample_moments(recording, modality, 0, 512, 3)
        health[str(modality)] = model.codec(modality).health(now.to(model.device))
    return health
