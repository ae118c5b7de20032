"""Speed: imagined steps per CPU-second: alone, side by side, decoded, with an agent learning."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.bounds import COUNT, ROWS, STEPS, check_fields
from worldgpt_env.simulator import DEFAULT_WORLD, Simulator, SimulatorConfig

from .imagination import DreamConfig, dream


@dataclass(frozen=True)
class SpeedConfig:
    """What ``worldgpt speed`` does.

    Attributes:
        model: name of an embedded world, or folder of a model.
        num_envs: rows side by side.
        steps: steps of one measurement (of every row).
        repeats: measurements, of which the median counts.
        dream_steps: imagined steps of PPO; 0 leaves it out.
        memory: ``"raw"`` or ``"reflected"``: the model reads past steps of the episode meanwhile.
        knowledge: folder of a knowledge base that the model reads meanwhile, through its reflector.
    """

    model: str = DEFAULT_WORLD
    num_envs: int = 64
    steps: int = 100
    repeats: int = 5
    dream_steps: int = 65_536
    memory: str | None = None
    knowledge: Path | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        check_fields(self, num_envs=ROWS, steps=STEPS, repeats=COUNT, dream_steps=(0, STEPS[1]))


def measure_speed(config: SpeedConfig) -> dict[str, Any]:
    """Measure how fast a learned world is dreamt, resets of ended episodes included.

    Returns:
        Steps per CPU-second of all threads (``latent_1``, ``latent_N``, ``decoded_N`` with
        ``N = num_envs``; ``ppo_latent_N`` from the first rollout to the saved policy), and
        ``import_cpu_seconds`` of ``import worldgpt_env`` in a fresh interpreter.
    """
    model = WorldGPT.from_pretrained(config.model)
    figures: dict[str, Any] = {"model": str(config.model), "world": model.config.world}
    for obs_mode, rows in (
        ("latent", 1),
        ("latent", config.num_envs),
        ("decoded", config.num_envs),
    ):
        figures[f"{obs_mode}_{rows}"] = steps_per_second(model, obs_mode, rows, config)
    if config.dream_steps:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "policy")
            run = dream(
                DreamConfig(
                    out,
                    config.model,
                    steps=config.dream_steps,
                    num_envs=config.num_envs,
                    memory=config.memory,
                    knowledge=config.knowledge,
                )
            )
        figures[f"ppo_latent_{config.num_envs}"] = run["steps"] / run["cpu_seconds"]
    figures["import_cpu_seconds"] = import_seconds(config.repeats)
    return figures


def steps_per_second(model: WorldGPT, obs_mode: str, rows: int, config: SpeedConfig) -> float:
    """Return the median of imagined steps of ``rows`` rows per CPU-second."""
    settings = SimulatorConfig(
        obs_mode=obs_mode,
        start_states="mixed",
        memory=config.memory,
        knowledge=config.knowledge,
    )
    simulator = Simulator(model, rows, settings)
    simulator.reset(seeds=list(range(rows)))
    simulator.action_space.seed(0)
    actions = [
        np.stack([simulator.action_space.sample() for _ in range(rows)])
        for _ in range(config.steps)
    ]
    imagine(simulator, actions[:10])
    speeds = []
    for _ in range(config.repeats):
        began = time.process_time()
        imagine(simulator, actions)
        speeds.append(rows * config.steps / (time.process_time() - began))
    return statistics.median(speeds)


def imagine(simulator: Simulator, actions: list[np.ndarray]) -> None:
    """Take all ``actions``, look at every step, and begin ended rows anew."""
    for action in actions:
        step = simulator.step(action)
        simulator.observe(step.state)
        ended = np.flatnonzero(step.terminated | step.truncated)
        if len(ended):
            simulator.reset(ended)


def import_seconds(repeats: int) -> float:
    """Return the least CPU-seconds of ``import worldgpt_env``, the interpreter's start left out."""
    code = (
        "import time; began = time.process_time(); import worldgpt_env; "
        "print(time.process_time() - began)"
    )
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, check=True) for _ in range(repeats)]
    return min(float(run.stdout) for run in runs)
