"""Collect: record episodes of a real world; Ctrl-C loses the running episode at most."""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.worlds import World, make_world

from .actors import Actor, make_actor
from .dataset import Description, Episode, read_description
from .shelf import Shelf


@dataclass(frozen=True)
class CollectConfig:
    """What to record.

    Attributes:
        world: name of the world.
        steps: how many steps; the last episode is cut there, which counts as truncated.
        out: folder of the dataset.
        policy: ``"random"`` (uniform), ``"least-tried"`` (of the actions one that was tried least
            at this observation in this episode), or the folder of a policy.
        seed: the same seed records the same episodes.
        epsilon: except with ``"random"``, the share of actions that are random.
        world_options: keyword arguments of ``make_world``.
    """

    world: str
    steps: int
    out: str
    policy: str = "random"
    seed: int = 0
    epsilon: float = 0.0
    world_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.steps < 1:
            raise ConfigurationError(f"steps is {self.steps}; record at least one step.")
        if self.seed < 0:
            raise ConfigurationError(f"seed is {self.seed}; give a whole number from 0.")
        if not 0 <= self.epsilon <= 1:
            raise ConfigurationError(f"epsilon is {self.epsilon}; give a share from 0 to 1.")

    def settings(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON values."""
        return {key: value for key, value in asdict(self).items() if key != "out"}


def collect(config: CollectConfig) -> dict[str, Any]:
    """Record ``config.steps`` steps into a Minari dataset at ``config.out``.

    Finished episodes are kept as they come, so the same call goes on where the last one stopped,
    and ends with the same dataset as one that was never stopped.

    Returns:
        A summary: ``world``, ``out``, ``steps``, ``episodes``, ``mean_return``, ``terminated``
        (share of episodes), and for this call ``new_steps``, ``seconds`` and ``cpu_seconds``.

    Raises:
        RecordingError: the folder holds something else, or cannot be written.
        ConfigurationError: the world or the policy does not exist.
        WorldError: the world cannot start here.
    """
    started, cpu = time.perf_counter(), _cpu_seconds()
    folder = Path(config.out)
    shelf = Shelf(folder, config.settings())
    new_steps = 0
    if not shelf.complete:
        new_steps = config.steps - shelf.steps
        world = make_world(config.world, **config.world_options)
        try:
            _fill(shelf, world, config)
        finally:
            world.close()
        settings = {**config.settings(), **shelf.totals()}
        shelf.finish(Description(config.world, world.specs, world.action_spec, settings))
    figures = read_description(folder).settings
    return {
        **{key: figures[key] for key in ("world", "steps", "episodes", "mean_return")},
        "terminated": figures["terminated"],
        "out": str(folder),
        "new_steps": new_steps,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": _cpu_seconds() - cpu,
    }


def _fill(shelf: Shelf, world: World, config: CollectConfig) -> None:
    """Record episodes until the shelf holds all steps."""
    actor = make_actor(config.policy, world, config.epsilon)
    with tqdm(
        desc=f"collect {config.world}",
        total=config.steps,
        initial=shelf.steps,
        unit="step",
        disable=None,  # quiet when nobody watches
    ) as bar:
        while shelf.steps < config.steps:
            seeds = np.random.SeedSequence([config.seed, len(shelf.lengths)])
            episode = _record(world, actor, seeds, config.steps - shelf.steps, bar)
            shelf.add(episode)


def _record(
    world: World, actor: Actor, seeds: np.random.SeedSequence, limit: int, bar: tqdm
) -> Episode:
    """Live one episode, at most ``limit`` steps; all its randomness comes from ``seeds``."""
    seed = int(seeds.generate_state(1)[0])
    actor.begin(np.random.default_rng(seeds), seed)
    observation, _ = world.reset(seed=seed)
    moments, actions, rewards = [observation], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        action = actor(observation)
        observation, reward, terminated, truncated, _ = world.step(action)
        moments.append(observation)
        actions.append(action)
        rewards.append(reward)
        truncated = truncated or (len(actions) == limit and not terminated)
        bar.update()
    return Episode(
        {m: np.stack([moment[str(m)] for moment in moments]) for m in world.specs},
        np.array(actions),
        np.array(rewards, np.float32),
        terminated,
        truncated,
        seed,
    )


def _cpu_seconds() -> float:
    """Return the processor time of this process and of its ended children (the game)."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
