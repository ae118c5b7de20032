"""TrainingObjective: what each update of the dynamics learns, and its loss."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from worldgpt_env.model.batch import LossOutput
from worldgpt_env.model.curriculum import Combination, Curriculum
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.trainer import Stage, Trainer
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.model.worldgpt import WorldGPT

from .histories import LONGEST, SHORTEST, Histories
from .train_config import TrainConfig
from .validation import Validation
from .windows import WindowSampler, described

DESCRIBED = 0.05
"""Share of the updates that complete a moment from its words, where actions are words."""


class TrainingObjective:
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
        combination = self.curriculum.combination(update, self.single_until or self.updates)
        reading = None
        if self._describes(update):
            combination, batch = Combination((Modality.TEXT,), self.whole), described(batch)
        elif recalled:
            moments = sampler.moments(update)[0][:, 0]
            contexts = self.histories.contexts(moments, recalled, self.config.histories_over)
            batch = dataclasses.replace(batch, contexts=contexts)
            reading = self.model.dynamics.reading(recalled, reflected=False)
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=low_precision_pays(self.device)
        ):
            output = self.model(
                batch.to(self.device),
                combination.inputs,
                combination.outputs,
                self.config.weights,
                reading,
            )
        if self.curriculum.schedule == "complete":
            return output
        return LossOutput(output.loss, {f"loss/{combination.kind}": output.metrics["state"]})

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
    objective = TrainingObjective(config, model, data, curriculum)
    validation = Validation(model, held_out, curriculum)
    trainer.run(
        Stage(
            "dynamics",
            objective.updates,
            config.learning_rate,
            objective.loss,
            model.dynamics_parameters(),
            watch=validation.losses if validation.chosen else None,
            watch_every=config.watch_every,
            seed=config.seed,
        )
    )


def low_precision_pays(device: torch.device) -> bool:
    """Return whether bfloat16 is faster in training: on GPUs, and on CPUs with tile units (AMX)."""
    return device.type == "cuda" or torch.cpu._is_amx_tile_supported()
