"""Demo: an agent learns in a dream and is judged in the real world, in one command."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.checkpoint import resolve
from worldgpt_env.model.errors import CheckpointError, ConfigurationError, WorldGPTError
from worldgpt_env.policies.store import load_policy, read_policy
from worldgpt_env.simulator import DEFAULT_WORLD
from worldgpt_env.worlds import make_world

from .evaluate import EvaluateConfig, evaluate, eyes
from .film import film
from .imagination import DreamConfig, dream
from .stopwatch import Stopwatch
from .tables import markdown_table


@dataclass(frozen=True)
class DemoConfig:
    """What ``worldgpt demo`` does.

    Attributes:
        out: folder of the two policies, the GIF, the table and the TensorBoard curves.
        model: name of an embedded world, or folder of a model.
        steps: imagined steps that the agent learns from.
        real_steps: real steps that the control learns from; by default as many as the recording
            that the world model was made from.
        episodes: real episodes that judge each agent.
        seed: of everything.
    """

    out: Path = Path("runs/demo")
    model: str = DEFAULT_WORLD
    steps: int = 150_000
    real_steps: int | None = None
    episodes: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("steps", "episodes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be positive.")
        if self.real_steps is not None and self.real_steps < 1:
            raise ConfigurationError(f"real_steps is {self.real_steps}; it must be positive.")


def demo(config: DemoConfig) -> dict[str, Any]:
    """Train in the dream, judge in the real world beside two controls, and film both worlds.

    The controls are random actions, and the same agent that learned from as many real steps as the
    world model's recording held; it learns in a process beside this one.

    Returns:
        ``agents`` (per name the steps it learned from and its judgement), ``table`` (Markdown),
        ``gif``, ``tensorboard``, ``seconds`` and ``cpu_seconds``.

    Raises:
        WorldGPTError: the model or its real world cannot be opened here.
    """
    watch = Stopwatch()
    model = WorldGPT.from_pretrained(config.model)
    name = model.config.world
    make_world(
        name, **model.config.world_options
    ).close()  # a world that cannot start says so before anything is trained
    real_steps = config.real_steps or recorded_steps(config.model)
    with _control(config, real_steps) as wait_for_control:
        imagined = dream(
            DreamConfig(config.out / "dream", config.model, steps=config.steps, seed=config.seed)
        )
        agents = {
            "random actions": _judged(config, name, "random", 0, 0),
            "PPO in the dream": _judged(config, name, "dream", 0, imagined["steps"]),
        }
        gif = _film(config, model)
        wait_for_control()
    agents["PPO in the real world"] = _judged(config, name, "direct", real_steps, 0)
    table = comparison(agents, name, imagined["imagined_return"], recorded_steps(config.model))
    return {
        "model": config.model,
        "world": name,
        "agents": agents,
        "imagined_return": imagined["imagined_return"],
        "table": table,
        "gif": str(gif),
        "tensorboard": str(config.out),
        **watch.figures(),
    }


def recorded_steps(model: str) -> int:
    """Return how many real steps the recording held that ``model`` was made from.

    Raises:
        CheckpointError: the model does not say.
    """
    path = resolve(model) / "metrics.json"
    try:
        return int(json.loads(path.read_text())["recorded_steps"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not say how many steps were recorded; pass --real-steps N."
        ) from error


def comparison(
    agents: dict[str, dict[str, Any]], world: str, imagined_return: float | None, recorded: int
) -> str:
    """Return the table of the demo, and how to read it."""
    rows = [
        [
            name,
            f"{figures['real_steps']:,}",
            f"{figures['imagined_steps']:,}",
            f"{figures['return']:.1f}",
            f"{figures['return_low']:.1f} … {figures['return_high']:.1f}",
            f"{figures['success']:.0%}",
            f"{figures['length']:.0f}",
        ]
        for name, figures in agents.items()
    ]
    header = ["agent", "real steps", "imagined steps", "real return", "95 %", "success", "length"]
    episodes = next(iter(agents.values()))["episodes"]
    claimed = "" if imagined_return is None else f" Its dream claimed {imagined_return:.1f}."
    return (
        f"{markdown_table(header, rows)}\n\n"
        f"Judged by {episodes} episodes of the real world {world!r} that no agent had seen. The "
        f"agent of the\ndream never acted there: its world model was learned from {recorded:,} "
        f"recorded steps.{claimed}\nThe agent of the real world sees through the codecs of that "
        "model too, and acted in each of its own steps."
    )


def _judged(
    config: DemoConfig, world: str, agent: str, real_steps: int, imagined_steps: int
) -> dict[str, Any]:
    """Judge one agent in the real world."""
    policy = agent if agent == "random" else str(config.out / agent)
    figures = evaluate(
        EvaluateConfig(
            policy, world, episodes=config.episodes, model="" if agent == "random" else config.model
        )
    )
    return {"real_steps": real_steps, "imagined_steps": imagined_steps, **figures}


def _film(config: DemoConfig, model: WorldGPT) -> Path:
    """Write the GIF of the agent of the dream and return its path."""
    folder, path = config.out / "dream", config.out / "real_beside_dream.gif"
    world = make_world(model.config.world, **model.config.world_options)
    try:
        film(model, load_policy(folder), eyes(read_policy(folder), world, model), world, path)
    finally:
        world.close()
    return path


@contextmanager
def _control(config: DemoConfig, real_steps: int) -> Iterator[Any]:
    """Train the control in a process of its own; yield a function that waits for it."""
    options = {
        "--model": config.model,
        "--out": str(config.out / "direct"),
        "--steps": str(real_steps),
        "--seed": str(config.seed),
    }
    command = [sys.executable, "-m", "worldgpt_env", "direct"]
    command += [part for option in options.items() for part in option]
    prctl, us = ctypes.CDLL(None).prctl, os.getpid()

    def end_with_us() -> None:
        prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG: also when we are killed
        if os.getppid() != us:
            os._exit(1)

    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=end_with_us,
    )

    def wait() -> None:
        _, errors = process.communicate()
        if process.returncode:
            raise WorldGPTError(f"the control could not be trained: {errors.strip()[-500:]}")

    try:
        yield wait
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
