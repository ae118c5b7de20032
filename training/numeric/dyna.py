"""Dyna on numbers: real steps, a dynamics of all of them, agents in its dreams, round by round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from worldgpt_env.model.checkpoint import MANIFEST, verify, write_folder
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.run_settings import claim_run
from worldgpt_env.model.safe_io import RunLock, recover_folder, write_json
from worldgpt_env.model.safe_json import read_json
from worldgpt_env.worlds import GymWorld, make_world

from ..stopwatch import Stopwatch
from .agents import recipe_for
from .config import NumericDynaConfig
from .round import Run

SETTINGS, METRICS = "dyna.json", "metrics.json"
CURE_SETTINGS = "Nobody knows how these rounds were made: choose another --out."


def check_numeric(config: NumericDynaConfig) -> None:
    """Refuse a world whose observations are more than numbers, and settings that no agent has.

    Raises:
        ConfigurationError: it is, or there is no such world or setting.
        MissingDependencyError: its package is not installed.
    """
    name = config.world
    world = make_world(name)
    recipe_for(world.action_space, dict(config.agent))
    observed = ", ".join(str(modality) for modality in world.specs)
    world.close()
    if not (isinstance(world, GymWorld) and world.is_numeric):
        raise ConfigurationError(
            f"{name} is observed by {observed}, and this route learns worlds of numbers; "
            f"type: worldgpt dyna --world {name} --out DIR"
        )


def numeric_dyna(config: NumericDynaConfig) -> dict[str, Any]:
    """Run all rounds; the same call goes on after the last whole round, bit for bit.

    Returns:
        ``world``, ``real_steps``, ``rounds`` (per round ``real_steps`` in all so far, ``dynamics``,
        ``agent``, ``dream`` and ``judgement``), the folders of the last ``model`` and ``policy``,
        and ``seconds`` and ``cpu_seconds`` of all calls together.

    Raises:
        ConfigurationError: the world is none of numbers, or ``out`` holds another run.
        CheckpointError: a round cannot be read.
        WriteError: a round cannot be written; those before are untouched.
        LockedError: another process writes to ``out``.
        WorldError: the world fails again and again.
    """
    check_numeric(config)  # before anything is written
    lengths = config.round_lengths()
    with RunLock(config.out):
        _claim(config)
        done = [_read(config, number) for number in range(_finished(config, len(lengths)))]
        with tqdm(
            desc=f"dyna {config.world}",
            total=config.real_steps,
            initial=sum(lengths[: len(done)]),
            unit="real step",
            disable=None,
        ) as bar:
            if len(done) < len(lengths):
                _go_on(config, lengths, done, bar)
    return {
        "world": config.world,
        "real_steps": done[-1]["real_steps"],
        "rounds": done,
        "model": str(config.out / f"round-{len(lengths) - 1}" / "model"),
        "policy": str(config.out / f"round-{len(lengths) - 1}" / "policy"),
        "seconds": round(sum(figures["seconds"] for figures in done), 2),
        "cpu_seconds": round(sum(figures["cpu_seconds"] for figures in done), 2),
    }


def _go_on(
    config: NumericDynaConfig, lengths: list[int], done: list[dict[str, Any]], bar: tqdm
) -> None:
    """Live the rounds that are still to do, and append their figures to ``done``."""
    run = Run(config, lengths, bar)
    try:
        if done:
            folders = [config.out / f"round-{number}" for number in range(len(done))]
            run.restore(folders, done[-1]["recording"]["crashes"])
        for number in range(len(done), len(lengths)):
            watch = Stopwatch()
            figures = run.live(number)
            figures = {"round": number, **figures, **watch.figures()}

            def write(draft: Path, number: int = number, figures: dict[str, Any] = figures) -> None:
                run.write(draft, number)
                write_json(draft / METRICS, figures)

            write_folder(config.out / f"round-{number}", write)
            done.append(figures)
    finally:
        run.close()


def _claim(config: NumericDynaConfig) -> None:
    """Write the settings of the run, or compare them with those that are there."""
    path = config.out / SETTINGS
    if not path.is_file() and any(config.out.glob("round-*")):
        raise ConfigurationError(f"{config.out} holds another run; choose another --out.")
    claim_run(path, config.to_json(), CURE_SETTINGS)


def _finished(config: NumericDynaConfig, rounds: int) -> int:
    """Return how many whole rounds ``out`` holds."""
    for number in range(rounds):
        recover_folder(config.out / f"round-{number}")
        if not (config.out / f"round-{number}" / MANIFEST).is_file():
            return number
    return rounds


def _read(config: NumericDynaConfig, number: int) -> dict[str, Any]:
    folder = config.out / f"round-{number}"
    verify(folder, METRICS)
    return read_json(folder / METRICS, figures=True)
