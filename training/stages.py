"""The two stages of training: codecs one after another, then the dynamics by a curriculum."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch

from worldgpt_env.model.batch import LossOutput
from worldgpt_env.model.curriculum import Combination, Curriculum, Kind
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.trainer import Stage, Trainer
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.model.worldgpt import WorldGPT

from .histories import LONGEST, SHORTEST, Histories
from .recording import Recording
from .windows import WindowSampler, described, has, sample_moments

if TYPE_CHECKING:
    from .train import TrainConfig

DESCRIBED = 0.05
"""Share of the updates that complete a moment from its words, where actions are words."""


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


class Lessons:
    """What each update learns: a combination, and the batch for it.

    Args:
        config: of the training.
        model: gives levels and modalities.
        data: the encoded recording.
        curriculum: the order of the combinations.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: WorldGPT,
        data: TransitionStore,
        curriculum: Curriculum,
    ) -> None:
        """See the class."""
        self.config, self.model, self.curriculum = config, model, curriculum
        self.whole = tuple(model.specs)
        self.updates = config.updates_of()
        complete = curriculum.schedule == "complete"
        self.single_until = 0 if complete else round((1 - config.sequences) * self.updates)
        levels = {modality: model.codec(modality).levels for modality in model.specs}
        self.windows, self.singles = (
            WindowSampler(
                data, length, rows, config.event_share, config.seed, config.rarity, levels,
                config.blurred,
            )
            for length, rows in (
                (config.length, config.rows), (1, config.rows * config.length)
            )
        )  # fmt: skip
        self.histories = Histories(data)
        self.device = torch.device(config.device)

    def loss(self, update: int) -> LossOutput:
        """Return the loss of ``update`` under its combination."""
        recalled = self._recalled(update)
        sampler = self.singles if recalled or update < self.single_until else self.windows
        batch = sampler.batch(update)
        lesson = self.curriculum.combination(update, self.single_until or self.updates)
        reading = None
        if self._describes(update):
            lesson, batch = Combination((Modality.TEXT,), self.whole), described(batch)
        elif recalled:
            moments = sampler.moments(update)[0][:, 0]
            contexts = self.histories.contexts(moments, recalled, self.config.histories_over)
            batch = dataclasses.replace(batch, contexts=contexts)
            reading = self.model.dynamics.reading(recalled, reflected=False)
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=low_precision_pays(self.device)
        ):
            output = self.model(
                batch.to(self.device), lesson.inputs, lesson.outputs, self.config.weights, reading
            )
        if self.curriculum.schedule == "complete":
            return output
        return LossOutput(output.loss, {f"loss/{lesson.kind}": output.metrics["state"]})

    def _recalled(self, update: int) -> int:
        """Return how many earlier transitions ``update`` is shown; mostly none."""
        generator = np.random.default_rng([self.config.seed, 17, update])
        if generator.random() >= self.config.histories:
            return 0
        return int(generator.integers(SHORTEST, LONGEST + 1))

    def _describes(self, update: int) -> bool:
        able = self.model.action_spec.kind == "text" and Modality.TEXT in self.whole
        if not able or self.curriculum.schedule not in ("progressive", "naive"):
            return False
        return bool(np.random.default_rng([self.config.seed, 11, update]).random() < DESCRIBED)


class HeldOut:
    """The loss of the next state on held-out transitions, for each class of combinations.

    Args:
        model: is looked at as it is.
        data: held-out episodes.
        curriculum: gives the combinations.
        rows: transitions of a batch.
        batches: of each of up to eight combinations a class.
    """

    def __init__(
        self,
        model: WorldGPT,
        data: TransitionStore,
        curriculum: Curriculum,
        rows: int = 256,
        batches: int = 1,
    ) -> None:
        """See the class."""
        self.model, self.batches = model, batches
        self.sampler = WindowSampler(data, 1, rows, 0.0, 1)
        order = np.random.default_rng(1)
        self.chosen: dict[str, list[Combination]] = {}
        for kind in Kind:
            members = [c for c in curriculum.combinations if c.kind is kind]
            picked = order.permutation(len(members))[:8]
            if len(picked) and curriculum.schedule != "complete":
                self.chosen[str(kind)] = [members[int(n)] for n in picked]

    @torch.no_grad()
    def losses(self) -> dict[str, float]:
        """Return ``held_out/CLASS`` for each class: mean loss of an output modality's state."""
        training = self.model.training
        self.model.eval()
        losses = {}
        for kind, members in self.chosen.items():
            parts = [
                float(self._loss(combination, number))
                for combination in members
                for number in range(self.batches)
            ]
            losses[f"held_out/{kind}"] = sum(parts) / len(parts)
        self.model.train(training)
        return losses

    def _loss(self, combination: Combination, number: int) -> torch.Tensor:
        batch = self.sampler.batch(number).to(self.model.device)
        output = self.model(batch, combination.inputs, combination.outputs)
        return output.metrics["state"]


def train_dynamics(
    config: TrainConfig,
    model: WorldGPT,
    data: TransitionStore,
    held_out: TransitionStore,
    curriculum: Curriculum,
    trainer: Trainer,
) -> None:
    """Train everything but the codecs, by the curriculum."""
    model.train()
    model.processor.eval()
    lessons = Lessons(config, model, data, curriculum)
    watched = HeldOut(model, held_out, curriculum)
    trainer.run(
        Stage(
            "dynamics",
            lessons.updates,
            config.learning_rate,
            lessons.loss,
            model.dynamics_parameters(),
            watch=watched.losses if watched.chosen else None,
            watch_every=config.watch_every,
            seed=config.seed,
        )
    )


def low_precision_pays(device: torch.device) -> bool:
    """Return whether bfloat16 is faster in training: on GPUs, and on CPUs with tile units (AMX)."""
    return device.type == "cuda" or torch.cpu._is_amx_tile_supported()
