"""One loop for every stage of training: batch, loss, step, log, save; resumable at any update."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .batch import LossOutput
from .checkpoint import check_fit, verify, write_folder
from .errors import (
    CheckpointError,
    ConfigurationError,
    NonFiniteError,
    OlderSaveWarning,
)
from .run_settings import check_settings, plain_settings
from .safe_io import held_signals, recover_folder, remove_folder, write_json, write_tensors
from .safe_json import Fields, read_json
from .safe_tensors import read_tensors

RUN = "run.json"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Stage:
    """A part of training: which loss, how long, how fast.

    Attributes:
        name: of the curves and of the progress bar.
        updates: optimiser steps.
        learning_rate: peak; warmed up over 3 % of the updates, then falling linearly to 0.
        loss: gives the loss of an update by its number, so that a resumed run draws the same data.
        parameters: exactly those that this stage trains.
        weight_decay: of AdamW, on matrices alone.
        watch: figures to log besides the loss, such as those on held-out data.
        watch_every: updates between two looks at them.
        seed: of what layers draw by themselves (dropout).
    """

    name: str
    updates: int
    learning_rate: float
    loss: Callable[[int], LossOutput]
    parameters: list[nn.Parameter]
    weight_decay: float = 0.01
    watch: Callable[[], dict[str, float]] | None = None
    watch_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse stages that train nothing."""
        if self.updates < 1 or self.learning_rate <= 0 or not self.parameters:
            raise ConfigurationError(
                f"stage {self.name!r} has {self.updates} updates at rate {self.learning_rate} of "
                f"{len(self.parameters)} parameters; all three must be positive."
            )

    def rate(self, update: int) -> float:
        """Return the learning rate of ``update``."""
        warm = max(1, int(0.03 * self.updates))
        return self.learning_rate * min((update + 1) / warm, 1 - update / self.updates)


class Observer(Protocol):
    """Who is told about training: a progress bar, TensorBoard, a test."""

    def start(self, stage: str, updates: int, done: int) -> None:
        """A stage of ``updates`` begins, or goes on after ``done`` of them."""

    def log(self, stage: str, update: int, metrics: dict[str, float]) -> None:
        """The mean of the figures since the last call."""


class Trainer:
    """Runs stages one after another and keeps what is needed to go on after any interruption.

    The last two saves are kept, in ``folder`` and ``folder.previous``: where the newer one is
    damaged, the run goes on from the older one, with an :class:`OlderSaveWarning`.

    Args:
        model: whose state is saved with the run.
        folder: the run's own folder; a run found there is continued.
        observer: is told about progress.
        save_every: updates between two saves.
        log_every: updates between two logs.
        settings: what decides the result, as JSON values; a run begun with others is refused.

    Attributes:
        spent: CPU-seconds of the calls before this one.

    Raises:
        ConfigurationError: the run that was found is of other settings.
        CheckpointError: it is damaged, or of another model.
    """

    def __init__(
        self,
        model: nn.Module,
        folder: Path,
        observer: Observer,
        save_every: int = 200,
        log_every: int = 20,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """See the class."""
        self.model, self.folder, self.observer = model, folder, observer
        self.save_every, self.log_every = save_every, log_every
        self.settings = None if settings is None else plain_settings(settings)
        self.finished: list[str] = []
        self.spent, self._began = 0.0, time.process_time()
        self._older = folder.with_name(f"{folder.name}.previous")
        self._pending: tuple[str, int, dict[str, Tensor]] | None = None
        self._resume()

    def run(self, stage: Stage) -> None:
        """Train ``stage`` to its end; return at once if this run has done so before.

        Raises:
            NonFiniteError: if ten updates in a row give no finite gradient.
        """
        if stage.name in self.finished:
            return
        optimizer = _optimizer(stage)
        first = self._restore_optimizer(stage, optimizer)
        self.observer.start(stage.name, stage.updates, first)
        with self._saved_on_interrupt(stage, optimizer) as progress:
            self._updates(stage, optimizer, first, progress)
        self.finished.append(stage.name)
        self.save(stage, stage.updates, None)

    def _updates(
        self, stage: Stage, optimizer: torch.optim.Optimizer, first: int, progress: list[int]
    ) -> None:
        means: dict[str, list[float]] = {}
        skipped = 0
        for update in range(first, stage.updates):
            with held_signals():  # what is saved after half an update would be of no update
                output, finite = self._update(stage, optimizer, update)
                progress[0] = update + 1
            skipped = 0 if finite else skipped + 1
            if skipped >= 10:
                raise NonFiniteError(
                    f"stage {stage.name!r}: no finite gradient for ten updates before {update}; "
                    "lower the learning rate, or look for NaN in the recording."
                )
            for name, value in output.metrics.items():
                means.setdefault(name, []).append(float(value))
            last = update + 1 == stage.updates
            if (update + 1) % self.log_every == 0 or last:
                figures = {name: sum(values) / len(values) for name, values in means.items()}
                self.observer.log(stage.name, update + 1, figures | {"rate": stage.rate(update)})
                means = {}
            if stage.watch and ((update + 1) % stage.watch_every == 0 or last):
                self.observer.log(stage.name, update + 1, stage.watch())
            if (update + 1) % self.save_every == 0:
                self.save(stage, update + 1, optimizer)

    def _update(
        self, stage: Stage, optimizer: torch.optim.Optimizer, update: int
    ) -> tuple[LossOutput, bool]:
        """Learn once; return the loss, and whether its gradient was finite and so was followed."""
        torch.manual_seed((stage.seed << 32) + update)  # of dropout, also in a resumed run
        for group in optimizer.param_groups:
            group["lr"] = stage.rate(update)
        output = stage.loss(update)
        optimizer.zero_grad(set_to_none=True)
        output.loss.backward()
        norm = nn.utils.clip_grad_norm_(stage.parameters, 1.0)
        finite = bool(torch.isfinite(norm))
        if finite:
            optimizer.step()
        return output, finite

    def save(self, stage: Stage, update: int, optimizer: torch.optim.Optimizer | None) -> None:
        """Write the run (model, optimiser, place) in one atomic step."""

        def write(draft: Path) -> None:
            write_tensors(draft / "model.safetensors", self.model.state_dict(), sealed=True)
            moments = {} if optimizer is None else _moments(stage, optimizer)
            write_tensors(draft / "optimizer.safetensors", moments, sealed=True)
            place = {
                "finished": self.finished,
                "stage": stage.name,
                "update": update,
                "cpu_seconds": self.spent + time.process_time() - self._began,
                "settings": self.settings,
            }
            write_json(draft / RUN, place)

        write_folder(self.folder, write, keep=self._older)

    def remove(self) -> None:
        """Remove the saves of a run whose result is safe elsewhere."""
        remove_saves(self.folder)

    def _resume(self) -> None:
        """Go on with the newer of the two saves, or with the older one if that is damaged."""
        recover_folder(self.folder)
        if not self.folder.exists() and not self._older.exists():
            return
        try:
            place, tensors = _read(self.folder)
        except CheckpointError as damage:
            try:
                place, tensors = _read(self._older)
            except CheckpointError:
                raise CheckpointError(
                    f"the training cannot go on: {damage} To begin anew, delete "
                    f"{self.folder.parent}."
                ) from damage
            remove_folder(self.folder)
            os.replace(self._older, self.folder)
            message = (
                f"the last save cannot be used, so the training goes on from the one before, "
                f"{place['update']} updates into {place['stage']!r} ({damage})"
            )
            warnings.warn(message, OlderSaveWarning, stacklevel=3)
        if self.settings is not None:
            check_settings(self.folder.parent, place.get("settings") or {}, self.settings)
        cure = "Choose another --out, or delete that folder."
        check_fit(self.model, tensors["model"], self.folder / "model.safetensors", cure)
        self.model.load_state_dict(tensors["model"])
        self.finished, self.spent = list(place["finished"]), float(place.get("cpu_seconds", 0))
        if place["stage"] not in self.finished:
            self._pending = (place["stage"], place["update"], tensors["optimizer"])

    def _restore_optimizer(self, stage: Stage, optimizer: torch.optim.Optimizer) -> int:
        if self._pending is None:
            return 0
        name, update, moments = self._pending
        self._pending = None
        if name != stage.name or update > stage.updates:
            raise CheckpointError(
                f"{self.folder} holds a run that is {update} updates into {name!r}, and now "
                f"{stage.name!r} of {stage.updates} begins. Choose another --out, or delete that "
                "folder."
            )
        _check_moments(stage, moments, self.folder)
        for number, parameter in enumerate(stage.parameters):
            if f"{number}/step" in moments:
                optimizer.state[parameter] = {
                    name: moments[f"{number}/{name}"].to(
                        parameter.device if name != "step" else "cpu"
                    )
                    for name in ("step", *MOMENTS)
                }
        return update

    @contextmanager
    def _saved_on_interrupt(
        self, stage: Stage, optimizer: torch.optim.Optimizer
    ) -> Iterator[list[int]]:
        progress = [0]
        try:
            yield progress
        except KeyboardInterrupt:
            if progress[0]:
                self.save(stage, progress[0], optimizer)
            raise


def remove_saves(folder: Path) -> None:
    """Remove the saves of a trainer of ``folder``."""
    remove_folder(folder.with_name(f"{folder.name}.previous"))
    remove_folder(folder)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Return the place and the tensors of a save that is whole."""
    names = {name: f"{name}.safetensors" for name in ("model", "optimizer")}
    verify(folder, RUN, *names.values())
    place = Fields(read_json(folder / RUN), folder / RUN)
    place.texts("finished")
    place.text("stage")
    place.whole("update", 0, 2**40)
    if "cpu_seconds" in place:
        place.number("cpu_seconds", 0, 1e12)
    if place.data.get("settings") is not None:
        place.part("settings")
    return dict(place.data), {name: read_tensors(folder / file) for name, file in names.items()}


def _check_moments(stage: Stage, moments: dict[str, Tensor], folder: Path) -> None:
    """Refuse moments that are not of the parameters of ``stage``, or not as AdamW keeps them."""
    kept: dict[str, tuple[torch.dtype, torch.Size]] = {}
    for number, parameter in enumerate(stage.parameters):
        kept |= {f"{number}/{name}": (parameter.dtype, parameter.shape) for name in MOMENTS}
        kept[f"{number}/step"] = (torch.float32, torch.Size())
    for name, moment in moments.items():
        place, _, part = name.partition("/")
        whole = all(f"{place}/{other}" in moments for other in (*MOMENTS, "step"))
        positive = part == "exp_avg" or not bool((moment < 0).any())
        if not whole or kept.get(name) != (moment.dtype, moment.shape) or not positive:
            raise CheckpointError(
                f"{folder} holds moments {name!r} of other parameters than {stage.name!r} trains. "
                "Choose another --out, or delete that folder."
            )


def _optimizer(stage: Stage) -> torch.optim.AdamW:
    matrices = [p for p in stage.parameters if p.ndim >= 2]
    others = [p for p in stage.parameters if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": stage.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=stage.learning_rate, betas=(0.9, 0.95))


def _moments(stage: Stage, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's tensors, numbered as the stage lists its parameters."""
    return {
        f"{number}/{name}": value
        for number, parameter in enumerate(stage.parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
    }
