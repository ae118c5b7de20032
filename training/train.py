"""From a recording to a world model: codecs, dynamics, calibration, start states, card."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldgpt_env.model.calibration import calibrate_termination
from worldgpt_env.model.checkpoint import write_folder, write_model
from worldgpt_env.model.configuration import RewardBins, WorldGPTConfig
from worldgpt_env.model.curriculum import Combination, Curriculum
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.losses import LossWeights
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.paper import paper_settings
from worldgpt_env.model.safe_io import RunLock, write_json
from worldgpt_env.model.trainer import Observer, Trainer
from worldgpt_env.model.worldgpt import WorldGPT
from worldgpt_env.start_states import StartStates

from .card import write_card
from .histories import LONGEST
from .identity import identity_of
from .observers import ProgressObserver
from .recording import Recording
from .stages import HeldOut, check_codecs, train_codecs, train_dynamics
from .windows import WindowSampler, encode_recording, has, sample_moments
from .worldnet.format.load import load_recording

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
            from and for :class:`WayProposer` to find its way.
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
        for name in ("rows", "length", "horizon", "start_states"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be positive.")
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


def run_of(out: Path) -> Path:
    """Return the folder of the run that makes the model ``out``."""
    return out.parent / f"{out.name}.run"


def _train(config: TrainConfig, run: Path, observer: Observer) -> dict[str, Any]:
    """Train with the locks held."""
    began = time.process_time()
    whole = load_recording(list(config.data))
    recording = whole.of(config.scenarios)
    learned, held_out = recording.split(config.held_out, config.seed)
    learned = learned.sample(config.share, config.seed)
    torch.manual_seed(config.seed)
    model = build_model(config, learned).to(config.device)
    trainer = Trainer(model, run / "state", observer, settings=config.identity(whole))
    train_codecs(config, model, learned, trainer)
    model.eval()
    health = check_codecs(model, held_out)
    data, checked = encode_recording(model, learned), encode_recording(model, held_out)
    curriculum = config.curriculum(list(model.specs))
    train_dynamics(config, model, data, checked, curriculum, trainer)
    model.eval()
    remember_combinations(model, curriculum)
    windows = WindowSampler(checked, config.length, 256, 0.0, 1)
    figures = calibrate_termination(model, windows.batch)
    figures |= HeldOut(model, checked, curriculum, batches=4).losses()
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
    save(config, model, learned, summary)
    trainer.remove()
    return summary


def build_model(config: TrainConfig, recording: Recording) -> WorldGPT:
    """Return a new model of the preset's size for the recorded world, or the one to start from."""
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
        model.codecs.load_state_dict(shared.codecs.state_dict())
        return model
    for modality in filter(lambda m: has(recording, m), recording.specs):
        now, _ = sample_moments(recording, modality, 0, 2048, config.seed + 1)
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
    config: TrainConfig, model: WorldGPT, recording: Recording, summary: dict[str, Any]
) -> None:
    """Write the model, its start states, figures and card in one atomic step."""

    def write(draft: Path) -> None:
        write_model(model, draft)
        StartStates.from_recording(model, recording, config.start_states).save(draft)
        write_json(draft / "metrics.json", summary)
        write_card(draft / "README.md", config, model, summary)

    write_folder(config.out, write)
