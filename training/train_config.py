"""TrainConfig: what ``worldgpt train`` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldgpt_env.model.arguments import check_choice, check_temperature
from worldgpt_env.model.bounds import COUNT, LENGTH, ROWS, check_fields
from worldgpt_env.model.curriculum import SCHEDULES, Combination, Curriculum
from worldgpt_env.model.devices import check_device
from worldgpt_env.model.dynamics.losses import LossWeights
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality

from .histories import LONGEST
from .identity import identity_of
from .recording import Recording

PRESET_UPDATES = {"tiny": 200, "small": 1000, "medium": 20_000, "paper": 62_500}


@dataclass(frozen=True)
class TrainConfig:
    """What ``worldgpt train`` does.

    Attributes:
        data: recordings of one world (folders written by ``worldgpt collect``).
        out: the model's folder; the run lies beside it in ``OUT.run`` until it is complete.
        preset: size of the model, or ``"paper"``: pretrained parts.
        language_model: name or folder of the pretrained language model of ``"paper"``.
        encoders: of ``"paper"``, per modality kind and name, as ``{"image": "clip:NAME"}``.
        updates: optimiser steps of the dynamics; the preset's own number by default.
        codec_updates: optimiser steps of each codec; the codec's own number by default.
        init: a model to go on from, for a Dyna round; its sizes and its codecs are kept.
        context: blocks that the model looks back; the preset's own number by default.
        outcome: where reward and end are read: ``"action"``, at the action slot; ``"next"``, there
            and from the next state, which learns from a few examples what can be seen, and is
            misled where the next state is predicted badly.
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
        start_states: moments of the recording that are stored with the model, for dreams to begin
            from and for :class:`WaypointProposer` to find its way.
        agent_modalities: what agents observe by default, stored with the model; all if None. Leave
            out what tells an agent nothing: it would learn the errors of its prediction.
        schedule: what is read and predicted, a key of :data:`~worldgpt_env.model.SCHEDULES`:
            ``complete`` for an environment; ``progressive``, ``naive`` and ``static`` for any
            combination of modalities, see :class:`Curriculum`.
        without: names of combinations that are never trained, such as ``"image>audio"``.
        sequences: share of the updates, the last ones, that learn windows of ``length``; the
            others learn single transitions, as many of them. The schedule ``complete`` learns
            windows alone.
        histories: share of the updates that learn single transitions and are shown 2 to 5 earlier
            ones of the same episode, as they are: without it a model is shown none before
            ``worldgpt tune``, and reads its memory raw only by chance.
        histories_over: steps that they are spread over; they are the last ones by default.
        watch_every: updates between two looks at the held-out loss of each class.
        codecs_from: a model whose codecs are taken as they are.
        scenarios: learn from episodes of these scenarios alone; from all by default.
        share: learn from this share of the transitions.
        weights: of the objective.
        codecs: settings per modality, such as ``{"image": {"digits": 8}}``.
        seed: of everything.
        device: ``"cpu"`` or ``"cuda"``.
    """

    data: tuple[Path, ...]
    out: Path
    preset: str = "small"
    language_model: str = ""
    encoders: dict[str, str] = dataclasses.field(default_factory=dict)
    updates: int | None = None
    codec_updates: int | None = None
    init: Path | None = None
    context: int | None = None
    outcome: str = "action"
    temperature: float = 0.0
    rows: int = 128
    length: int = 4
    learning_rate: float = 2e-3
    event_share: float = 0.25
    rarity: float = 0.5
    blurred: float = 0.0
    held_out: float = 0.05
    horizon: int = 64
    start_states: int = 4096
    agent_modalities: tuple[str, ...] | None = None
    schedule: str = "complete"
    without: tuple[str, ...] = ()
    sequences: float = 0.2
    histories: float = 0.0
    histories_over: int | None = None
    watch_every: int = 100
    codecs_from: Path | None = None
    scenarios: tuple[str, ...] = ()
    share: float = 1.0
    weights: LossWeights = LossWeights()
    codecs: dict[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse values that no run can have."""
        if not self.data:
            raise ConfigurationError("no recording was given; add --data DIR.")
        check_fields(
            self,
            updates=COUNT,
            codec_updates=COUNT,
            context=LENGTH,
            rows=ROWS,
            length=LENGTH,
            learning_rate=(1e-12, 10.0),
            rarity=(0, 100.0),
            horizon=COUNT,
            start_states=(1, 2**24),
            watch_every=COUNT,
        )
        check_temperature("temperature", self.temperature)
        check_choice("preset", self.preset, tuple(PRESET_UPDATES))
        check_choice("outcome", self.outcome, ("action", "next"))
        check_choice("schedule", self.schedule, SCHEDULES)
        for name in self.without:
            Combination.parse(name)  # refuses what is none
        check_device(self.device)
        for name in ("event_share", "blurred", "histories"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be in [0, 1).")
        if not 0 < self.held_out < 1:
            raise ConfigurationError(f"held_out is {self.held_out}; it must be in (0, 1).")
        if self.histories_over is not None and self.histories_over < LONGEST:
            raise ConfigurationError(
                f"histories_over is {self.histories_over}; {LONGEST} transitions need as many."
            )
        if not 0 < self.share <= 1 or not 0 <= self.sequences <= 1:
            raise ConfigurationError(
                f"share {self.share} must be in (0, 1] and sequences {self.sequences} in [0, 1]."
            )
        if self.init is not None and self.codecs_from is not None:
            raise ConfigurationError("give --init or --codecs-from; a model brings its codecs.")

    def updates_of(self) -> int:
        """Return the optimiser steps of the dynamics."""
        return self.updates or PRESET_UPDATES[self.preset]

    def identity(self, recording: Recording) -> dict[str, Any]:
        """Return what two calls must share for the second to go on with the first."""
        chosen = identity_of(self, recording, free=("device", "watch_every"))
        return chosen | {"updates": self.updates_of()}

    def curriculum(self, modalities: Sequence[Modality]) -> Curriculum:
        """Return which combination each update learns."""
        without = [Combination.parse(name) for name in self.without]
        return Curriculum(modalities, self.schedule, without, self.seed)


def run_of(out: Path) -> Path:
    """Return the folder of the run that makes the model ``out``."""
    return out.parent / f"{out.name}.run"
