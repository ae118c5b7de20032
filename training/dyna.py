"""Dyna: rounds of recording with the newest policy, learning from all data, and dreaming anew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from gymnasium import spaces

from worldgpt_env.model.bounds import COUNT, EPISODES, STEPS, check_fields, from_fields
from worldgpt_env.model.checkpoint import MANIFEST
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.run_settings import claim_run
from worldgpt_env.model.safe_io import RunLock, write_json
from worldgpt_env.model.safe_json import read_json
from worldgpt_env.model.trainer import remove_saves
from worldgpt_env.worlds import make_world

from .collect import CollectConfig, collect
from .dataset import read_episodes
from .imagination import DreamConfig, dream
from .policy_evaluation import EvaluateConfig, evaluate
from .repeats import Repeats
from .stopwatch import Stopwatch
from .train import train
from .train_config import TrainConfig, run_of

SMALL_UPDATES = 600
"""Optimiser steps of a ``small`` model of a few thousand time steps."""
SMALL_RECORDING = {"blurred": 0.05, "rarity": 0.75}
"""How a model learns a few thousand time steps, and not by heart."""

ONE_STEP = {"context": 1, "length": 1, "rows": 512}
"""How a model learns a world whose next state depends on nothing but state and action."""


@dataclass(frozen=True)
class DynaConfig:
    """What ``worldgpt dyna`` does.

    Attributes:
        out: folder of the rounds: ``round-0/recording``, ``round-0/model``, ``round-0/policy``, ...
        world: name of the real world.
        rounds: how many; the first records actions that were least tried, or random ones.
        steps_per_round: real steps recorded in each round.
        real_steps: in all, in place of ``steps_per_round``: each round doubles what was recorded.
        epsilon: share of random actions in recordings by a policy. Where actions are numbered, a
            policy that walks in circles gives way to what was least tried.
        preset: size of the world model.
        updates: optimiser steps of the first model; by default the preset's own number, but 600
            for ``"small"``, which learns a small recording by heart with more.
        round_updates: those of later rounds, as many by default.
        algo: the agent, ``"ppo"``, ``"a2c"`` or ``"dqn"``.
        dream_steps: imagined steps of each round; every agent begins anew.
        dream: further fields of :class:`DreamConfig`.
        train: further fields of :class:`TrainConfig`. By default the model reads no past where
            every repeat of an observation and an action led to the same.
        episodes: real episodes that judge each round's agent; 0 for none. They are shown and never
            used to choose anything.
        seed: of everything.
    """

    out: Path
    world: str
    rounds: int = 2
    steps_per_round: int = 10_000
    real_steps: int | None = None
    epsilon: float = 0.1
    preset: str = "small"
    updates: int | None = None
    round_updates: int | None = None
    algo: str = "ppo"
    dream_steps: int = 150_000
    dream: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values; those of the parts are checked by them."""
        check_fields(
            self,
            rounds=COUNT,
            steps_per_round=STEPS,
            real_steps=STEPS,
            dream_steps=STEPS,
            updates=COUNT,
            round_updates=COUNT,
            epsilon=(0, 1),
            episodes=(0, EPISODES),
        )
        if not all(self.steps_of(number) for number in range(self.rounds)):
            raise ConfigurationError(
                f"real_steps is {self.real_steps}, too few for {self.rounds} rounds; use more."
            )
        _train_config(self, 0), _dream_config(self, 0)  # refuse what they do not understand

    def folder(self, number: int) -> Path:
        """Return the folder of round ``number``."""
        return self.out / f"round-{number}"

    def updates_of(self, number: int) -> int | None:
        """Return the optimiser steps of the model of round ``number``; None: the preset's own."""
        if number and self.round_updates:
            return self.round_updates
        return self.updates or (SMALL_UPDATES if self.preset == "small" else None)

    def steps_of(self, number: int) -> int:
        """Return the real steps that round ``number`` records."""
        if self.real_steps is None:
            return self.steps_per_round
        begin, end = (_before(self.real_steps, n, self.rounds) for n in (number, number + 1))
        return end - begin


def _before(steps: int, number: int, rounds: int) -> int:
    """Return how many of ``steps`` come before round ``number``: each round doubles them."""
    return math.ceil(steps * 2.0 ** (number - rounds)) if number else 0


def dyna(config: DynaConfig) -> dict[str, Any]:
    """Run all rounds; the same call goes on where the last one stopped.

    Returns:
        ``rounds``: per round ``real_steps`` in all so far and the figures of recording, model,
        dream and judgement; ``real_steps`` in all, ``seconds`` and ``cpu_seconds`` of this call.

    Raises:
        ConfigurationError: ``out`` holds rounds with other settings.
        LockedError: another process writes to ``out``.
    """
    watch = Stopwatch()
    make_world(config.world).close()  # one that cannot start says so before anything is written
    with RunLock(config.out):
        _begin(config)
        rounds = [run_round(config, number) for number in range(config.rounds)]
    counts = accumulate(figures["recording"]["steps"] for figures in rounds)
    rounds = [{"real_steps": n} | figures for n, figures in zip(counts, rounds, strict=True)]
    return {
        "world": config.world,
        "rounds": rounds,
        "real_steps": rounds[-1]["real_steps"],
        **watch.figures(),
    }


def _begin(config: DynaConfig) -> None:
    """Write down the settings of the rounds, or compare them to those of the call before."""
    settings = asdict(config)
    free = ["out", "episodes"]
    free += ["real_steps", "rounds"] if config.real_steps is None else ["steps_per_round"]
    settings = {name: value for name, value in settings.items() if name not in free}
    cure = "Nobody knows how these rounds were made: choose another --out."
    claim_run(config.out / "dyna.json", settings, cure)


def run_round(config: DynaConfig, number: int) -> dict[str, Any]:
    """Record, learn, dream and judge once; finished parts are not repeated."""
    folder = config.folder(number)
    figures: dict[str, Any] = {"round": number}
    figures["recording"] = collect(_collect_config(config, number))
    figures["model"] = _learn(config, number)
    figures["dream"] = dream(_dream_config(config, number))
    if config.episodes:
        figures["judgement"] = _judge(config, folder)
    return figures


def _collect_config(config: DynaConfig, number: int) -> CollectConfig:
    """Return how round ``number`` records: least tried first, then with the last policy."""
    last, counts = config.folder(number - 1) / "policy", _has_numbered_actions(config.world)
    return CollectConfig(
        world=config.world,
        steps=config.steps_of(number),
        out=str(config.folder(number) / "recording"),
        policy=str(last) if number else "least-tried" if counts else "random",
        epsilon=config.epsilon if number else 0.0,
        break_circles=counts and number > 0,
        seed=config.seed + 1000 * number,
    )


def _has_numbered_actions(name: str) -> bool:
    """Return whether the actions of a world can be counted."""
    world = make_world(name)
    world.close()
    return isinstance(world.action_space, spaces.Discrete)


def _without_past(config: DynaConfig, number: int) -> Mapping[str, Any]:
    """Return that the model of round ``number`` reads no past, where none is needed."""
    folders = [config.folder(i) / "recording" for i in range(number + 1)]
    repeats = Repeats.of(episode for folder in folders for episode in read_episodes(folder))
    return ONE_STEP if repeats.are_exact else {}


def _train_config(
    config: DynaConfig, number: int, found: Mapping[str, Any] | None = None
) -> TrainConfig:
    """Return how round ``number`` learns: from all recordings, and from nothing else.

    Args:
        config: of all rounds.
        number: of the round.
        found: fields that the recordings decide.

    The codecs of the round before have not seen what only a better agent comes to see, and draw it
    wrong: a model that keeps them keeps their errors.
    """
    fields: dict[str, Any] = {
        "data": tuple(config.folder(i) / "recording" for i in range(number + 1)),
        "out": config.folder(number) / "model",
        "preset": config.preset,
        "updates": config.updates_of(number),
        "seed": config.seed + number,
    }
    fields |= SMALL_RECORDING | dict(found or {}) | dict(config.train)
    return from_fields(TrainConfig, fields, "--train")


def _dream_config(config: DynaConfig, number: int) -> DreamConfig:
    """Return how the agent of round ``number`` dreams."""
    folder = config.folder(number)
    fields = {
        "out": folder / "policy",
        "model": str(folder / "model"),
        "algo": config.algo,
        "steps": config.dream_steps,
        "seed": config.seed,
    }
    return from_fields(DreamConfig, fields | dict(config.dream), "--dream")


def _learn(config: DynaConfig, number: int) -> dict[str, Any]:
    """Train the model of round ``number``, unless it is there."""
    model = config.folder(number) / "model"
    if (model / MANIFEST).is_file():
        with RunLock(model), RunLock(run_of(model)):  # killed before it was tidied up
            remove_saves(run_of(model) / "state")
        return read_json(model / "metrics.json", figures=True)
    return train(_train_config(config, number, _without_past(config, number)))


def _judge(config: DynaConfig, folder: Path) -> dict[str, Any]:
    """Judge the agent of a round in the real world, unless that was done."""
    asked: dict[str, Any] = {
        "policy": str(folder / "policy"),
        "world": config.world,
        "episodes": config.episodes,
    }
    path = folder / "judgement.json"
    if path.is_file():
        found = read_json(path, "Delete it to judge again.", figures=True)
        if all(found.get(name) == value for name, value in asked.items()):
            return dict(found)
    with RunLock(path):
        figures = evaluate(EvaluateConfig(**asked))
        write_json(path, figures)
    return figures
