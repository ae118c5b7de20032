"""Film: the real world beside the dream of it, under the same actions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.policies.baselines import Predictor
from worldgpt_env.rendering import draw_panel, save_gif, side_by_side
from worldgpt_env.simulator import Simulator, SimulatorConfig
from worldgpt_env.worlds import World

from .policy_evaluation import See

HOLD = 4
"""Frames for which the end of an episode is shown."""


def film(
    model: WorldGPT,
    policy: Predictor,
    see: See,
    world: World,
    path: Path,
    *,
    episodes: int = 6,
    steps: int = 75,
    seed: int = 20_000,
) -> int:
    """Write a GIF of real episodes beside dreams that begin with the same observation.

    The policy sees the real world only; the dream gets its actions and nothing else, so what stands
    on the right after the first frame is imagined. A dream that ends before the world stands still.

    Args:
        model: the dreaming world model.
        policy: acts in the real world.
        see: how it sees, see :func:`~worldgpt_env.training.policy_evaluation.eyes`.
        world: the real world.
        path: of the GIF.
        episodes: how many, one after another.
        steps: of each, at most.
        seed: of the first episode.

    Returns:
        The number of frames.
    """
    frames: list[np.ndarray] = []
    for number in range(episodes):
        frames += _episode(model, policy, see, world, steps, seed + number)
    save_gif(frames, path)
    return len(frames)


def _episode(
    model: WorldGPT, policy: Predictor, see: See, world: World, steps: int, seed: int
) -> list[np.ndarray]:
    """Return the frames of one episode."""
    dream = Simulator(model, 1, SimulatorConfig(horizon=steps))
    real, _ = world.reset(seed=seed)
    dream.reset(seeds=[seed], options={"observation": real})
    totals, ended = [0.0, 0.0], False
    frames = [_frame(dream, real, world, totals, 0)]
    for time in range(1, steps + 1):
        batch = {key: value[None] for key, value in real.items()}
        actions, _ = policy.predict(see(batch), deterministic=True)
        real, reward, terminated, truncated, _ = world.step(actions[0])
        imagined = dream.step(np.asarray(actions))
        totals = [totals[0] + reward, totals[1] + float(imagined.reward[0])]
        ended = bool(imagined.terminated[0]) or ended
        frames.append(_frame(dream, real, world, totals, time))
        if terminated or truncated:
            break
    return frames + [frames[-1]] * HOLD


def _frame(
    dream: Simulator, real: dict[str, np.ndarray], world: World, totals: list[float], time: int
) -> np.ndarray:
    """Return the two panels of one moment."""
    imagined = {key: values[0] for key, values in dream.raw().items()}
    over = " · over" if dream.ended[0] else ""
    left = draw_panel(real, world.specs, f"real · step {time} · return {totals[0]:.0f}")
    right = draw_panel(imagined, world.specs, f"dream · return {totals[1]:.0f}{over}")
    return side_by_side(left, right)
